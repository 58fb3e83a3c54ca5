// Lock: an owned lock between processes and threads that survives its holder; and the vocabulary it shares with RLock.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "api/deadline.h"
#include "api/status.h"
#include "core/robust_mutex.h"
#include "core/shared_block.h"

namespace crucible {

namespace detail {

/// The vocabulary that Lock and RLock share: std's TimedLockable and the project's own verbs. Derived offers
/// `Status take(Deadline, RobustMutex::AtDeath)`.
template <class Derived>
class OwnedLock {
 public:
  /// Waits until the calling thread holds it: kOk; kOwnerDied: held as well, and the last holder died holding it, so
  /// that what it guards may be half-changed and is now the caller's to repair; kTimeout, not before the deadline.
  Status acquire(Deadline deadline = Deadline::never()) {
    return checked(self().take(deadline, RobustMutex::AtDeath::kTake));
  }
  template <class R, class P>
  Status acquire_for(std::chrono::duration<R, P> duration) {
    return acquire(Deadline::after(duration));
  }
  Status try_acquire() { return acquire(Deadline::immediate()); }

  /// std's names, for std's guards. Where acquire() would say kOwnerDied they throw OwnerDied and hold nothing, until
  /// somebody has acquired it.
  void lock() { (void)lock_until(Deadline::never()); }
  bool try_lock() { return lock_until(Deadline::immediate()); }
  template <class R, class P>
  bool try_lock_for(std::chrono::duration<R, P> duration) {
    return lock_until(Deadline::after(duration));
  }
  template <class Clock, class D>
  bool try_lock_until(std::chrono::time_point<Clock, D> time) {
    // The clock may be set meanwhile, hence again and again.
    for (;;) {
      const auto left = time - Clock::now();
      if (lock_until(Deadline::after(left))) return true;
      if (Clock::now() >= time) return false;
    }
  }
  void unlock() { self().release(); }

 private:
  friend Derived;
  OwnedLock() = default;
  ~OwnedLock() = default;

  Derived& self() noexcept { return static_cast<Derived&>(*this); }
  static Status checked(Status status) {
    if (status == Status::kState) throw StateError("acquire: the caller holds it and would wait for itself for ever");
    return status;
  }
  bool lock_until(Deadline deadline) {
    const Status status = checked(self().take(deadline, RobustMutex::AtDeath::kRefuse));
    if (status == Status::kOwnerDied) throw OwnerDied("lock: acquire() it and repair what it guards");
    return status == Status::kOk;
  }
};

/// What the state of an owned lock begins with.
struct OwnedLockState {
  std::uint64_t pids;  // the pid_namespace() of its users
  RobustMutex mutex;
};
/// A free one of so many bytes; with this name; that of this name.
SharedBlock make_owned_lock(std::size_t bytes);
SharedBlock create_owned_lock(const std::string& name, SharedBlock::Kind kind, std::size_t bytes);
SharedBlock open_owned_lock(const std::string& name, SharedBlock::Kind kind);

/// Throws what release() came to, if it is an error.
void require_released(Status status);

}  // namespace detail

/// Held by one thread of one process at a time, and released by that thread only. A holder that ends without releasing
/// it, is killed or executes another program lets it go, within 100 ms, and the next acquire() says so; a stopped one
/// keeps it. A forked child does not hold what its parent held; its copy of the handle is the same lock.
///
/// Made here and inherited by fork, or named for unrelated programs. Any thread may call anything; waiting is
/// interrupted by nothing. No system call unless somebody waits. Not for signal handlers. A thread that destroys a
/// handle while it holds the lock lets it go as if it had died; while another thread of this process holds it, the
/// handle must not be destroyed. A thread holds at most RobustMutex::kMostHeld at once. Waiters are not served in
/// order.
class Lock : public detail::OwnedLock<Lock> {
 public:
  /// Free. Throws std::system_error (no memory; no kernel or C library with robust locks).
  Lock() : Lock(detail::make_owned_lock(sizeof(detail::OwnedLockState))) {}
  /// The same with a name, and the one of that name. Throw as SharedBlock's; open() also Unsupported: it was created
  /// where pids are others (pid_namespaces(7)).
  static Lock create(const std::string& name) {
    return Lock(detail::create_owned_lock(name, kKind, sizeof(detail::OwnedLockState)));
  }
  static Lock open(const std::string& name) { return Lock(detail::open_owned_lock(name, kKind)); }
  ~Lock() { mutex().abandon(); }

  /// Throws NotOwner: another thread holds it; OverRelease: nobody who lives does.
  void release() { detail::require_released(mutex().release()); }
  /// Whether somebody who lives holds it, here or elsewhere. Out of date as soon as it is known.
  bool locked() const noexcept { return mutex().locked(); }
  /// Whether the calling thread holds it.
  bool holds() const noexcept { return mutex().held(); }
  /// As RobustMutex's.
  void wake_at_release(const std::atomic<std::uint32_t>& word) noexcept { mutex().wake_at_release(word); }

 private:
  friend class detail::OwnedLock<Lock>;
  Status take(Deadline deadline, RobustMutex::AtDeath at_death) { return mutex().acquire(deadline, at_death); }
  static constexpr SharedBlock::Kind kKind = {"Lock", 1};
  explicit Lock(SharedBlock block) noexcept : block_(std::move(block)) {}
  RobustMutex& mutex() const noexcept { return block_.as<detail::OwnedLockState>().mutex; }

  SharedBlock block_;
};

}  // namespace crucible
