// RobustMutex: an owned lock in shared memory whose owner's death the kernel tells. What Lock and others are made of.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "api/deadline.h"
#include "api/status.h"

namespace crucible {

/// Lies in memory that several processes share, at whatever address in each; all bytes zero: free. Its owner is a
/// thread. When that ends, however it ends, or executes another program, the kernel marks the word and wakes a waiter:
/// for that the locks that a thread holds stand in the list that it registered for them (set_robust_list(2)). There is
/// one list per thread and it is the C library's, so these locks stand between its robust mutexes, with the same
/// layout. That the library links them as we do is tried once per process with mutexes of its own, before the first
/// use; where it does not, construction of a lock throws std::system_error (ENOTSUP).
///
/// Taking and releasing it uncontended is two atomic operations and no system call. Sleeping waiters look every 50 ms
/// whether a wake-up was lost with a process that was killed. The lock goes to whoever comes first, which is the
/// quickest way, until a waiter has waited 20 ms: from then on those who release it wait until that one has it. Not for
/// signal handlers. The kernel follows 2,048 entries; a thread that already holds kMostHeld gets std::system_error
/// (EAGAIN) instead of one more. The memory must stay mapped while a thread of this process holds it.
class RobustMutex {
 public:
  static constexpr unsigned kMostHeld = 2'000;
  static constexpr unsigned kMostHeldInside = 2'040;  ///< for this library's own, which are held for a moment

  enum class AtDeath {
    kTake,   ///< kOwnerDied: held, and the former owner died holding it
    kRefuse  ///< kOwnerDied: not held; stays so until somebody takes it
  };

  RobustMutex() = default;
  RobustMutex(const RobustMutex&) = delete;
  RobustMutex& operator=(const RobustMutex&) = delete;

  /// kOk, kOwnerDied or, not before the deadline, kTimeout. An owner that acquires it again waits for itself: kTimeout,
  /// and kState at once where there is no deadline.
  Status acquire(Deadline deadline = Deadline::never(), AtDeath at_death = AtDeath::kTake,
                 unsigned most_held = kMostHeld);
  /// kOk; kOverRelease: nobody who lives holds it; kNotOwner: another thread does. Then nothing happens.
  Status release() noexcept;
  /// Whether the calling thread holds it. A forked child holds nothing.
  bool held() const noexcept;
  /// Whether a thread that lives holds it, the caller included; out of date as soon as it is known.
  bool locked() const noexcept;
  /// The calling thread, which holds it, calls futex_wake(word, 1) as soon as it does not: for who cannot go on before.
  /// If it is killed before, nobody does.
  void wake_at_release(const std::atomic<std::uint32_t>& word) noexcept;
  /// Before the memory is unmapped: as if the calling thread had died, if it holds it.
  void abandon() noexcept;

  /// Tries the C library, as said above. acquire() does it where nobody has.
  static void require_supported();

 private:
  Status take_slowly(std::uint32_t seen, Deadline deadline, AtDeath at_death) noexcept;
  bool hurry() noexcept;
  void stop_hurrying() noexcept;
  std::uint32_t hurried_one() noexcept;
  void enlist() noexcept;
  void delist() noexcept;
  void wake_the_owed() const noexcept;
  static bool links_as_the_library() noexcept;

  // As pthread_mutex_t has them. What the kernel knows: a thread's id, FUTEX_WAITERS, FUTEX_OWNER_DIED.
  std::atomic<std::uint32_t> word_ = 0;
  std::atomic<std::uint32_t> hurried_ = 0;  // the thread that has waited too long, to which others give way
  std::uint32_t given_way_ = 0;             // so often in vain; the owner's
  std::uint32_t unused_[3] = {};
  // Of the owner's list: addresses in the owner's process, and of `next_` members, not of objects.
  void* previous_ = nullptr;
  void* next_ = nullptr;
};

}  // namespace crucible
