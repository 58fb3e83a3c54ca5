// Where the messages stand that are too long for the ring: runs of chunks, found and freed so that no kill loses any.
#pragma once

#include <cstdint>
#include <optional>

#include "shm_ring/queue_memory.h"
#include "shm_ring/queue_ring.h"

namespace crucible::shm_ring {

/// An entry is free or belongs to a process that fills it, to a message in the ring, or to a process that reads it: one
/// word says so. What is free is not written down anywhere else, so that there is nothing a death could falsify.
class Blocks {
 public:
  explicit Blocks(QueueMemory& memory) noexcept : memory_(memory) {}

  static std::uint32_t chunks_for(std::size_t bytes) noexcept {
    return static_cast<std::uint32_t>((bytes + QueueMemory::kChunk - 1) / QueueMemory::kChunk);
  }

  // In the tail's role.

  /// Gives the process a run that find() found in this role. `descriptor` is the memory's. Throws std::system_error:
  /// there is no memory for it.
  void allocate(std::uint32_t first, std::uint32_t chunks, std::uint64_t identity, int descriptor);
  /// Just before the record that refers to it is committed at `place`.
  void enqueue(std::uint32_t first, Place place, std::uint64_t identity) noexcept;
  /// Frees what the dead were filling, committing or reading. Whether there was any.
  bool reap(const QueueRing& ring) noexcept;

  // In the head's role.

  /// Just before the record that refers to it is taken. False: no record of ours refers to that.
  [[nodiscard]] bool claim(std::uint64_t first, std::uint64_t length, std::uint64_t identity) noexcept;

  // Anybody.

  /// A run that is free, or was a moment ago outside of the tail's role.
  std::optional<std::uint32_t> find(std::uint32_t chunks) const noexcept;

  // Whoever it belongs to.

  std::byte* data(std::uint64_t first) const noexcept { return memory_.chunk(first); }
  void free(std::uint64_t first) noexcept { memory_.blocks()[first].state.store(0, std::memory_order_release); }

 private:
  QueueMemory& memory_;
};

}  // namespace crucible::shm_ring
