// The message queues of a pipe, and the names that they have while its two ends come together.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "api/bytes.h"
#include "core/fd.h"

namespace crucible {

/// How large a queue is: so many parts of at most so many bytes, all of which exist from the beginning.
struct BoostIpcShape {
  static constexpr std::size_t kDefaultDepth = 32;
  static constexpr std::size_t kDefaultPart = 64 * 1024;
  static constexpr std::size_t kLargestPart = kDefaultPart;

  /// Of a capacity in bytes, 0 for the default: in messages of 1 KiB at least half of it fits.
  static BoostIpcShape of(std::size_t capacity);

  std::size_t depth = kDefaultDepth;
  std::size_t part = kDefaultPart;
  bool asked_for = false;  ///< by a capacity, which is then granted or refused with BadArgument
};

/// One direction: a boost::interprocess::message_queue in shared memory that a forked child inherits.
class BoostIpcQueue {
 public:
  struct Memory;  ///< Boost's own object

  explicit BoostIpcQueue(std::unique_ptr<Memory> memory);
  BoostIpcQueue(const BoostIpcQueue&) = delete;
  BoostIpcQueue& operator=(const BoostIpcQueue&) = delete;
  ~BoostIpcQueue();

  /// Most bytes in one part.
  std::size_t part() const noexcept { return part_; }
  /// False: the queue is full, in the second form also `nap` later or whenever the wall clock jumped.
  bool try_send(ByteView part);
  bool send_within(ByteView part, std::chrono::nanoseconds nap);
  /// Takes the next part to `to`, which has room for part() bytes. False: the queue is empty, as above.
  bool try_receive(std::byte* to, std::size_t& received);
  bool receive_within(std::byte* to, std::size_t& received, std::chrono::nanoseconds nap);
  bool empty() const { return count() == 0; }
  /// Parts that are there, and how many there can be.
  std::size_t count() const;
  std::size_t depth() const;

 private:
  std::unique_ptr<Memory> memory_;
  const std::size_t part_;
};

/// The names of one pipe's queues, in /dev/shm because Boost opens by name only. They are there from construction until
/// the object is destroyed in the process that made it, or somebody remove()s them. If that process is killed instead,
/// the next one that makes names removes them: beside them lies a file that their owner keeps locked.
class BoostIpcNames {
 public:
  /// Throws std::system_error (no space left in /dev/shm, descriptors exhausted), BadArgument.
  explicit BoostIpcNames(const BoostIpcShape& shape);
  BoostIpcNames(const BoostIpcNames&) = delete;
  BoostIpcNames& operator=(const BoostIpcNames&) = delete;
  ~BoostIpcNames();

  const std::string& id() const noexcept { return id_; }
  /// The names are not swept away as a dead owner's while any process holds this descriptor.
  int lock() const noexcept { return lock_.get(); }
  /// Leaves the removal to whoever holds the lock besides.
  void leave() noexcept { owner_ = 0; }
  /// Makes queue number `which` and all of its memory. Throws as the constructor.
  std::shared_ptr<BoostIpcQueue> create(std::size_t which) const;

  /// Of another process's names. Throws BadArgument for what is no id, std::system_error.
  static std::shared_ptr<BoostIpcQueue> open(std::string_view id, std::size_t which);
  static void remove(std::string_view id) noexcept;

 private:
  const BoostIpcShape shape_;
  const std::string id_;
  int owner_;
  Fd lock_;
};

}  // namespace crucible
