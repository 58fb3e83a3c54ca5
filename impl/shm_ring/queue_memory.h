// What all users of a queue share: one sealed memfd. README.md in this folder draws it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/fd.h"
#include "shm_ring/crowd.h"
#include "shm_ring/memory.h"
#include "shm_ring/role.h"

namespace crucible::shm_ring {

/// Where in the ring, counted in grains, and how many messages lie before it: one word, so that no kill separates the
/// two. Both count on and wrap at 2^32; only differences mean anything.
class Place {
 public:
  constexpr explicit Place(std::uint64_t raw) noexcept : raw_(raw) {}
  constexpr Place(std::uint32_t grain, std::uint32_t count) noexcept : raw_(std::uint64_t{grain} << 32U | count) {}
  constexpr std::uint64_t raw() const noexcept { return raw_; }
  constexpr std::uint32_t grain() const noexcept { return static_cast<std::uint32_t>(raw_ >> 32U); }
  constexpr std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(raw_); }
  constexpr Place after(std::uint32_t grains) const noexcept { return {grain() + grains, count() + 1}; }

 private:
  std::uint64_t raw_;
};

/// One end of the ring and the role of those who work there.
struct alignas(kApart) QueueEnd {
  Role role;
  std::atomic<std::uint64_t> place;  ///< written in the role only
};

/// A run of chunks that holds one long message, or may: the entry of its first chunk.
struct Block {
  std::atomic<std::uint64_t> state;  ///< 0: free. Otherwise whose it is and what for, blocks.h
  std::atomic<std::uint32_t> chunks;
  std::atomic<std::uint32_t> message;  ///< its count, as in Place
};

struct QueueHeader {
  std::uint64_t magic;
  std::uint64_t ring_bytes;
  std::uint64_t chunks;
  std::uint64_t usual_chunks;  ///< as many are used at a time, more only by a message that is alone
  std::uint64_t maxsize;
  std::uint64_t joinable;
  std::uint64_t pids;  ///< the pid_namespace() of its users
  QueueEnd tail;       ///< where messages are put
  QueueEnd head;       ///< where they are taken
  Crowd getters;
  Crowd putters;
  Crowd joiners;
  alignas(kApart) std::atomic<std::uint32_t> done;    ///< how many messages task_done() was said of, as in Place
  alignas(kApart) std::atomic<std::uint32_t> backed;  ///< so many chunks have memory behind them
};

/// What a queue is made for.
struct QueueShape {
  /// For `storage` bytes of payload (0: the default) and so many messages. Throws BadArgument.
  static QueueShape of(std::size_t storage, std::size_t maxsize, bool joinable);

  std::size_t ring_bytes;
  std::size_t chunks;
  std::size_t usual_chunks;
  std::size_t maxsize;
  bool joinable;
};

/// A process's view. The ring is mapped twice in a row, so that no record is ever cut by the wrap. The chunks are a
/// hole in the file until back() fills it.
class QueueMemory {
 public:
  static constexpr std::size_t kGrain = 16;
  static constexpr std::size_t kChunk = std::size_t{16} * 1024;
  static constexpr std::size_t kLongest = std::size_t{32} * 1024 * 1024;  ///< a message that fits any queue
  static constexpr std::size_t kLongestHere = std::size_t{8} * 1024;      ///< that stands in the ring, if that is large
  static constexpr std::size_t kDefaultStorage = std::size_t{192} * 1024;

  /// Throws std::system_error.
  static Fd create(const QueueShape& shape);
  /// Throws std::system_error; BadArgument unless it is sealed and of a right size and header.
  static std::unique_ptr<QueueMemory> map(int memory);
  QueueMemory(const QueueMemory&) = delete;
  QueueMemory& operator=(const QueueMemory&) = delete;
  ~QueueMemory();

  QueueHeader& header() const noexcept { return *reinterpret_cast<QueueHeader*>(base_); }
  const QueueShape& shape() const noexcept { return shape_; }
  std::byte* ring() const noexcept { return ring_; }
  Block* blocks() const noexcept { return reinterpret_cast<Block*>(base_ + kHeaderBytes); }
  std::byte* chunk(std::size_t index) const noexcept { return arena_ + index * kChunk; }
  /// Sees to it that the chunks before `end` can be touched without SIGBUS. In the tail's role, for `memory` is the
  /// descriptor. Throws std::system_error.
  void back(int memory, std::size_t end);

 private:
  static constexpr std::size_t kHeaderBytes = 4096;
  explicit QueueMemory(const QueueShape& shape) noexcept : shape_(shape) {}
  static std::size_t table_bytes(std::size_t chunks) noexcept;
  static std::size_t arena_offset(const QueueShape& shape) noexcept;
  static std::size_t file_bytes(const QueueShape& shape) noexcept;

  const QueueShape shape_;  // as checked when it was mapped
  std::byte* base_ = nullptr;
  std::size_t mapped_bytes_ = 0;
  std::byte* ring_ = nullptr;
  std::byte* arena_ = nullptr;
};

static_assert(sizeof(QueueHeader) <= 4096);

}  // namespace crucible::shm_ring
