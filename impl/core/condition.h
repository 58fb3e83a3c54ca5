// Condition: wait until somebody who holds the same lock says that something has changed.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "api/deadline.h"
#include "api/status.h"
#include "core/lock.h"
#include "core/rlock.h"
#include "core/shared_block.h"

namespace crucible {

/// Over a Lock or RLock, which waiters and notifiers hold. Any process and thread; a process that is forked after has
/// the same condition if it has the same lock. Its names are std::condition_variable_any's, less the lock, which it
/// knows.
///
/// The dead cost nothing: a notification is for one who waits and lives. One that was given to a waiter which is killed
/// before it holds the lock again is passed on, within 100 ms, to who has been waiting the longest of those who were
/// waiting when it was given, if any still are. A waiter that is killed later has had it; the lock's next holder learns
/// of that death from the lock. A stopped waiter is not dead: a notification may be given to it and stay with it.
class Condition {
 public:
  /// Waiters at a time. One more gets std::system_error (EAGAIN) from wait().
  static constexpr std::size_t kMaxWaiters = 512;

  /// Over `lock`, which must live as long as this handle; without one over an RLock of its own. Throws
  /// std::system_error (no space).
  Condition();
  explicit Condition(Lock& lock) : Condition(AnyLock(&lock)) {}
  explicit Condition(RLock& lock) : Condition(AnyLock(&lock)) {}
  /// For unrelated programs, which have the lock by a name of its own; names and errors as SharedBlock's.
  static Condition create(const std::string& name, Lock& lock) { return create(name, AnyLock(&lock)); }
  static Condition create(const std::string& name, RLock& lock) { return create(name, AnyLock(&lock)); }
  static Condition open(const std::string& name, Lock& lock) { return open(name, AnyLock(&lock)); }
  static Condition open(const std::string& name, RLock& lock) { return open(name, AnyLock(&lock)); }
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  /// The lock's.
  Status acquire(Deadline deadline = Deadline::never());
  void release();
  void lock();
  bool try_lock();
  void unlock() { release(); }

  /// Lets go of the lock, at all levels, waits until notified, and holds the lock again as before, whatever it returns:
  /// - kOk: notified. There may be no other reason, but as with all conditions it may no longer be true.
  /// - kTimeout: the deadline passed first, and no notification was used up. Zero and negative durations do not wait
  /// and
  ///   do not let go of the lock.
  /// - kOwnerDied: notified or not, and somebody died holding the lock: what it guards is now the caller's to repair.
  /// Signals do not end it. Throws NotOwner: the caller does not hold the lock.
  Status wait(Deadline deadline = Deadline::never());
  template <class Rep, class Period>
  Status wait_for(std::chrono::duration<Rep, Period> duration) {
    return wait(Deadline::after(duration));
  }
  template <class Clock, class Duration>
  Status wait_until(std::chrono::time_point<Clock, Duration> time) {
    return wait(Deadline::after(time - Clock::now()));
  }
  /// Until `is_so()`, which is called holding the lock: kOk. kTimeout: it was not so at the deadline either.
  /// kOwnerDied: as above, without having asked. What `is_so` throws comes out, with the lock held.
  template <std::predicate Predicate>
  Status wait(Predicate is_so, Deadline deadline = Deadline::never()) {
    Status status = Status::kOk;
    while (!is_so()) {
      if (status == Status::kTimeout) return status;
      status = wait(deadline);
      if (status == Status::kOwnerDied) return status;
    }
    return Status::kOk;
  }
  template <class Rep, class Period, std::predicate Predicate>
  Status wait_for(std::chrono::duration<Rep, Period> duration, Predicate is_so) {
    return wait(std::move(is_so), Deadline::after(duration));
  }
  template <class Clock, class Duration, std::predicate Predicate>
  Status wait_until(std::chrono::time_point<Clock, Duration> time, Predicate is_so) {
    return wait(std::move(is_so), Deadline::after(time - Clock::now()));
  }

  /// Wakes `n` of those who wait, or all if they are fewer, in the order in which they came; how many. Whoever comes
  /// later is not meant. Never waits for any of them. They wake when the caller lets go of the lock, without which they
  /// could do nothing; one system call each then. Throws NotOwner: the caller does not hold the lock.
  std::size_t notify(std::size_t n = 1);
  std::size_t notify_one() { return notify(1); }
  std::size_t notify_all() { return notify(std::numeric_limits<std::size_t>::max()); }

  /// Who wait at this moment and were not notified. Any thread, holding the lock or not.
  std::size_t waiters() const;

 private:
  using AnyLock = std::variant<Lock*, RLock*>;
  struct State;

  explicit Condition(AnyLock lock);
  Condition(AnyLock lock, SharedBlock block);
  static Condition create(const std::string& name, AnyLock lock);
  static Condition open(const std::string& name, AnyLock lock);
  State& state() const noexcept;
  void require_held(const char* operation) const;
  std::uint32_t let_go();
  Status hold_again(std::uint32_t depth);

  std::optional<RLock> own_;
  AnyLock lock_;
  SharedBlock block_;
};

}  // namespace crucible
