// Semaphore and BoundedSemaphore: counting, between processes and threads, with permits that their holder's death gives
// back.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "api/deadline.h"
#include "core/shared_block.h"

namespace crucible {

struct SemaphoreState;

/// A count that acquire() takes one from, waiting while it is 0, and release() adds one to; who releases need not have
/// acquired. What acquire() took stays taken when its taker dies; a Permit does not: within 100 ms of the end of the
/// process that took it, it is back, once, whatever else dies meanwhile. Stopped is not dead.
///
/// Made here and inherited by fork, or named for unrelated programs. Any thread may call anything; waiting is
/// interrupted by nothing. acquire() and release() are one atomic operation and no system call unless somebody waits.
/// Deadlines are never early; waiters are not served in order. Permits are for processes that see the creator's pids.
/// Executing another program does not end a process. Not for signal handlers.
class Semaphore {
 public:
  static constexpr std::int64_t kGreatest = std::numeric_limits<std::int32_t>::max();
  /// So many processes may hold permits at a time.
  static constexpr std::uint32_t kMostHolders = 1'000;

  /// Throws BadArgument: `value` is negative or above kGreatest; std::system_error: no memory.
  explicit Semaphore(std::int64_t value = 1) : Semaphore(nullptr, kKind, value, kGreatest) {}
  /// The same with a name, and the one of that name. Throw as SharedBlock's.
  static Semaphore create(const std::string& name, std::int64_t value = 1) {
    return Semaphore(&name, kKind, value, kGreatest);
  }
  static Semaphore open(const std::string& name) { return Semaphore(name, kKind); }
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  ~Semaphore() = default;

  /// Takes one. False: there was none until the deadline.
  void acquire() noexcept { (void)acquire_until(Deadline::never()); }
  [[nodiscard]] bool try_acquire() noexcept { return acquire_until(Deadline::immediate()); }
  template <class R, class P>
  [[nodiscard]] bool acquire_for(std::chrono::duration<R, P> duration) noexcept {
    return acquire_until(Deadline::after(duration));
  }
  [[nodiscard]] bool acquire_until(Deadline deadline) noexcept;
  /// Adds one. Throws OverRelease, changing nothing: the count, what permits have taken included, is kGreatest already.
  void release();
  /// What can be taken now; out of date as soon as it is known. Permits of the dead are back in it.
  std::int64_t value() const noexcept;

  /// One of the count, given back by its destructor or by release(), or at the end of the process that took it.
  /// Movable; any thread of that process may end it. Ending a forked child's copy does nothing. Must not outlive the
  /// Semaphore.
  class Permit {
   public:
    Permit(Permit&& other) noexcept
        : semaphore_(std::exchange(other.semaphore_, nullptr)), slot_(other.slot_), taker_(other.taker_) {}
    Permit& operator=(Permit&& other) noexcept {
      std::swap(semaphore_, other.semaphore_);
      std::swap(slot_, other.slot_);
      std::swap(taker_, other.taker_);
      return *this;
    }
    ~Permit() { release(); }
    /// Gives it back now. Idempotent.
    void release() noexcept;

   private:
    friend class Semaphore;
    Permit(const Semaphore& semaphore, std::uint32_t slot, pid_t taker) noexcept
        : semaphore_(&semaphore), slot_(slot), taker_(taker) {}

    const Semaphore* semaphore_;
    std::uint32_t slot_;
    pid_t taker_;
  };
  /// As the acquire()s; nothing: there was none until the deadline. Throw std::system_error: kMostHolders other
  /// processes hold permits (EAGAIN); no descriptor free for this process's first permit; Unsupported: the semaphore
  /// was created where pids are others (pid_namespaces(7)).
  [[nodiscard]] Permit permit() { return std::move(*permit_until(Deadline::never())); }
  [[nodiscard]] std::optional<Permit> try_permit() { return permit_until(Deadline::immediate()); }
  template <class R, class P>
  [[nodiscard]] std::optional<Permit> permit_for(std::chrono::duration<R, P> duration) {
    return permit_until(Deadline::after(duration));
  }
  [[nodiscard]] std::optional<Permit> permit_until(Deadline deadline);

 protected:
  /// A new one, inherited if there is no name.
  Semaphore(const std::string* name, SharedBlock::Kind kind, std::int64_t value, std::int64_t bound);
  Semaphore(const std::string& name, SharedBlock::Kind kind);

 private:
  static constexpr SharedBlock::Kind kKind = {"Semaphore", 1};
  SemaphoreState& state() const noexcept;

  SharedBlock block_;
};

/// A Semaphore that is never released above the value it began with: that is OverRelease, also when several release at
/// once.
class BoundedSemaphore final : public Semaphore {
 public:
  explicit BoundedSemaphore(std::int64_t value = 1) : Semaphore(nullptr, kKind, value, value) {}
  static BoundedSemaphore create(const std::string& name, std::int64_t value = 1) {
    return BoundedSemaphore(name, value);
  }
  static BoundedSemaphore open(const std::string& name) { return BoundedSemaphore(name); }

 private:
  static constexpr SharedBlock::Kind kKind = {"BoundedSemaphore", 1};
  BoundedSemaphore(const std::string& name, std::int64_t value) : Semaphore(&name, kKind, value, value) {}
  explicit BoundedSemaphore(const std::string& name) : Semaphore(name, kKind) {}
};

}  // namespace crucible
