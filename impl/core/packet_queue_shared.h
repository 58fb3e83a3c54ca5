// What the processes that use a PacketQueue share beside its kernel object. All zeros but for what make_page() sets.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "core/packet_queue.h"

namespace crucible {

/// The numbers are the queue: a put numbers its message under the lock, the kernel keeps the order, so what is there is
/// always a run of numbers that ends before `next`, and its first one is in the first packet. A getter that is killed
/// can so leave nothing wrong behind, and a putter nothing but the question whether its packet went.
struct PacketQueue::Shared {
  /// Numbers that no message has had, as far as is known. The last of them was a killed putter's: somebody may yet come
  /// with it. In one word, so that whoever changes it can be killed at any instruction.
  struct Doubt {
    static constexpr unsigned kShift = 20;
    static std::uint64_t of(std::uint64_t number, std::uint64_t skipped) noexcept {
      return (number + 1) << kShift | (skipped & ((1U << kShift) - 1));
    }
    static bool is_about(std::uint64_t doubt, std::uint64_t number) noexcept { return doubt >> kShift == number + 1; }
    static std::uint64_t skipped(std::uint64_t doubt) noexcept { return doubt & ((1U << kShift) - 1); }
    static std::uint64_t settled(std::uint64_t doubt) noexcept { return skipped(doubt) - 1; }
  };

  // Putters. All but `next` and `doubt` only under the lock. What getters read each time changes only with long
  // messages and deaths, and stands apart from what every put writes.
  alignas(64) pthread_mutex_t lock;
  std::atomic<std::uint64_t> next;                ///< number of the next message
  std::uint64_t known_first;                      ///< all messages before this one are certainly gone
  alignas(64) std::atomic<std::uint64_t> beside;  ///< bytes beside their packets of all messages before the next one
  std::atomic<std::uint64_t> pending;             ///< of those, what the put that is under way adds
  std::atomic<std::uint64_t> doubt;               ///< a Doubt

  // Getters. Lower bounds of the truth, which is in the first packet: whoever is killed leaves them behind.
  alignas(64) std::atomic<std::uint64_t> first;
  std::atomic<std::uint64_t> beside_first;

  // Who waits for room.
  alignas(64) std::atomic<std::uint32_t> wanted;  ///< not 0: ring
  std::atomic<std::uint32_t> bell;

  // Messages that are done with.
  alignas(64) std::atomic<std::uint64_t> done;
  std::atomic<std::uint32_t> all_done;  ///< counts

  std::atomic<std::uint32_t> places;  ///< of the mechanism's own: one bit each, set while it is taken

  // Never changed.
  alignas(64) std::uint64_t maxsize;
  std::uint64_t most_beside;
  std::uint32_t joinable;
};

/// Gives the lock back.
class PacketQueue::Hold {
 public:
  explicit Hold(Shared& shared) noexcept : shared_(shared) {}
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold() { pthread_mutex_unlock(&shared_.lock); }

 private:
  Shared& shared_;
};

}  // namespace crucible
