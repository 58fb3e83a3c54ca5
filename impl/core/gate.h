// Gate: lets close() wake whoever is blocked in a system call on an object, at no system call's cost to the callers.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cassert>

#include "api/status.h"
#include "core/fence.h"

namespace crucible {

/// The signal that close() sends to a thread of this process that is blocked in a call on the closed object. Its
/// handler, which does nothing, is installed when it is first needed; a thread that blocks this signal is not woken.
int wake_signal() noexcept;

/// Sends it to a thread of this process. False: there is no such thread.
bool wake_thread(pid_t thread) noexcept;

/// This thread's id without a system call, right also after fork.
pid_t this_thread() noexcept;

/// One per object. A caller publishes its thread before it looks at the closed flag, close() sets the flag before it
/// looks for a thread (core/fence.h): at least one sees the other. The signal may come before the caller has reached
/// its system call, so close() repeats it until the caller has left.
class Gate {
 public:
  enum Direction : std::size_t { kSend, kReceive };

  /// Held for the length of a call. One at a time per direction; checked in debug builds.
  class Pass {
   public:
    Pass(Gate& gate, Direction direction) noexcept : gate_(gate), direction_(direction) {
      entered_ = gate_.enter(direction_);
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    ~Pass() {
      if (entered_) gate_.leave(direction_);
    }
    /// False: the gate is closed, the object's descriptors must not be touched.
    explicit operator bool() const noexcept { return entered_; }

   private:
    Gate& gate_;
    Direction direction_;
    bool entered_;
  };

  [[nodiscard]] bool enter(Direction direction) noexcept {
    std::atomic<pid_t>& inside = inside_[direction];
    assert(!occupied(inside) && "two users of one direction at a time");
    inside.store(this_thread(), std::memory_order_relaxed);
    light_fence();  // a full one would wait until the last message has left this CPU
    if (!closed_.load(std::memory_order_acquire)) return true;
    leave(direction);
    return false;
  }
  void leave(Direction direction) noexcept { inside_[direction].store(0, std::memory_order_release); }

  bool closed() const noexcept { return closed_.load(std::memory_order_acquire); }
  /// True for the first caller only, and only when nobody is inside any more: it may now free the descriptors.
  bool close() noexcept;

 private:
  /// A fork's copy may name a thread that only the parent has.
  static bool occupied(const std::atomic<pid_t>& inside) noexcept;

  std::array<std::atomic<pid_t>, 2> inside_ = {};
  std::atomic<bool> closed_ = false;
};

}  // namespace crucible
