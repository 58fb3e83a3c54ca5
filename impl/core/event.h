// Event: a flag that any number of processes and threads wait for.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <utility>

#include "api/deadline.h"
#include "core/shared_block.h"

namespace crucible {

/// Unset at first. A process that is forked after has the same event; each has its own copy of the handle. Any process
/// and thread may call anything at any time. Whoever dies, in whatever call, harms nobody; waiters that a setter killed
/// in its very call did not come to wake find out within 50 ms.
class Event {
 public:
  /// Throws std::system_error: no space.
  Event();
  /// For unrelated programs; names and errors as SharedBlock's.
  static Event create(const std::string& name);
  static Event open(const std::string& name);
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// From now on wait() does not wait; all who wait now return true, also if clear() comes before they have run. What
  /// was written before is seen by them. Never waits for anybody: at most one system call, none if nobody waits. May be
  /// called in a signal handler, whatever that interrupts; so may clear() and is_set().
  void set() noexcept;
  /// From now on wait() waits. No effect on those who were waiting when it was set, nor if it is not set.
  void clear() noexcept;
  [[nodiscard]] bool is_set() const noexcept;

  /// True once it is or was set since the call began; false only if the deadline passed first, so never without one.
  bool wait(Deadline deadline = Deadline::never()) const noexcept;
  /// Zero and negative durations: whether it is set.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> duration) const noexcept {
    return wait(Deadline::after(duration));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(std::chrono::time_point<Clock, Duration> time) const noexcept {
    return wait(Deadline::after(time - Clock::now()));
  }

 private:
  struct State;

  explicit Event(SharedBlock block) noexcept : block_(std::move(block)) {}

  SharedBlock block_;
};

}  // namespace crucible
