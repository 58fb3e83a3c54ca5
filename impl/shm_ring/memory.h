// What the two ends of a pair share: one sealed memfd. README.md in this folder draws it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/fd.h"

namespace crucible::shm_ring {

inline constexpr std::size_t kLine = 64;

/// Why a peer should make a system call for us. A word of these is also the futex that its owner sleeps on.
enum Call : std::uint32_t {
  kSleeps = 1,  ///< asleep on this word
  kBell = 2,    ///< asleep in poll(2) on the socket: send a byte
  kSpins = 4,   ///< has been looking for long without sleeping, and may have died meanwhile
  kDeaf = 8,    ///< will never receive again; stays
};

/// The words of one direction. Each line has one writer, or is written rarely.
struct Control {
  /// Where the next record goes. The sender's own; behind the truth by one record if a sender was killed.
  alignas(kLine) std::atomic<std::uint64_t> tail;
  /// Where the next record is taken; what lies before is free. Written by the receiver.
  alignas(kLine) std::atomic<std::uint64_t> head;
  alignas(kLine) std::atomic<std::uint32_t> receiver;  ///< Calls of a waiting receiver
  alignas(kLine) std::atomic<std::uint32_t> sender;    ///< Calls of a waiting sender
  std::atomic<std::uint64_t> wanted;                   ///< a head that is worth waking it for
  /// The sender has given up a message half-way and begun no other since.
  alignas(kLine) std::atomic<bool> given_up;
};

struct Header {
  std::uint64_t magic;
  std::uint64_t capacity;
  std::uint64_t directions;
  /// What each end tells the other.
  struct alignas(kLine) Side {
    std::atomic<std::uint32_t> cpu;     ///< where it last began to wait
    std::atomic<std::uint32_t> closes;  ///< how often a process closed its copy or a direction of it
  };
  std::array<Side, 2> sides;
  /// [i] is received by end i; a simplex pair has only the first.
  std::array<Control, 2> controls;
};

/// One end's view. Each direction's bytes are mapped twice in a row, so that no record is ever cut by the wrap.
class Memory {
 public:
  static constexpr std::size_t kControlBytes = 4096;
  static constexpr std::size_t kLeastCapacity = 4096;
  static constexpr std::size_t kMostCapacity = std::size_t{1} << 40U;

  /// A new one, every page of it allocated. Throws std::system_error.
  static Fd create(std::size_t capacity, std::size_t directions);

  Memory() noexcept = default;
  /// Throws std::system_error; BadArgument unless it is sealed and of a right size and header.
  explicit Memory(int memory);
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  ~Memory();

  explicit operator bool() const noexcept { return base_ != nullptr; }
  Header& header() const noexcept { return *reinterpret_cast<Header*>(base_); }
  std::byte* data(std::size_t direction) const noexcept { return base_ + kControlBytes + direction * 2 * capacity_; }
  std::size_t capacity() const noexcept { return capacity_; }
  std::size_t directions() const noexcept { return directions_; }

 private:
  std::byte* base_ = nullptr;
  std::size_t capacity_ = 0;  // as checked when it was mapped: what the header says later is the peer's word
  std::size_t directions_ = 0;
};
static_assert(sizeof(Header) <= Memory::kControlBytes);

}  // namespace crucible::shm_ring
