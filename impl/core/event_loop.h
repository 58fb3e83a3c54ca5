// EventLoop: one thread that serves many things, each as soon as it is ready.
#pragma once

#include <poll.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <unordered_map>
#include <vector>

#include "api/deadline.h"
#include "api/waitable.h"
#include "core/fd.h"

namespace crucible {

/// A descriptor that is ready when it polls readable, hung up or failed. Not owned.
class ReadableDescriptor final : public Waitable {
 public:
  explicit ReadableDescriptor(int descriptor) noexcept : descriptor_(descriptor) {}
  bool begin_wait(pollfd& slot) override {
    slot.fd = descriptor_;
    slot.events = POLLIN;
    return false;
  }
  bool end_wait(short revents) override { return revents != 0; }

 private:
  int descriptor_;
};

/// Sleeps on everything that is watched and calls back for what is ready. A sleep costs one system call however much is
/// watched: what stays idle stays announced (Waitable::begin_wait) from one sleep to the next. Belongs to one thread,
/// which is the receiving user of what is watched; that is free to send and, in its own callback, to receive.
class EventLoop {
 public:
  using Callback = std::function<void()>;

  /// Throws std::system_error (descriptors exhausted).
  EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  /// Calls `on_ready` whenever `object` is ready, or can no longer be waited for, which its next use will tell. One
  /// call per round, so that nobody who always has something keeps the others waiting; it need not take everything.
  /// What has hung up is served before the rest of its round, and often enough to come to its end. `object` stays where
  /// it is until forget(). Not twice for one object.
  void watch(Waitable& object, Callback on_ready);
  /// From any callback, also from the object's own. The object may be destroyed after.
  void forget(Waitable& object) noexcept;
  /// Sleeps until something is ready or `deadline` has passed, and serves what is ready. Throws std::system_error and
  /// what callbacks throw, after which the loop may go on.
  void run_once(Deadline deadline = Deadline::never());
  /// Between two rounds: calls back for what has hung up by now, but for `object`.
  void serve_ended(const Waitable& object);
  /// Withdraws what was announced for `object` until the next sleep, so that somebody else's callback, too, may
  /// receive.
  void stand_down(Waitable& object) noexcept;
  /// From now on another thread may receive from it: the loop does not look at it until resume(). False: it has
  /// something, or has hung up, and stays watched.
  [[nodiscard]] bool pause(Waitable& object) noexcept;
  void resume(Waitable& object) noexcept;
  /// In a forked child, where it must not be destroyed: frees its descriptor.
  void become_copy() noexcept { epoll_.reset(); }

 private:
  struct Entry {
    Waitable* object;
    Callback on_ready;
    int descriptor = -1;  ///< that epoll has for it
    short events = 0;
    int longest_sleep_ms = -1;
    bool armed = false;   ///< begin_wait() was called and end_wait() was not
    bool queued = false;  ///< stands in unarmed_ or ready_
    bool hung_up = false;
    bool paused = false;
  };

  void arm(Entry& entry);
  void disarm(Entry& entry, short revents);
  bool announce(Entry& entry, const pollfd& slot);
  void sleep(Deadline deadline);
  void look_after_naps();
  int longest_sleep_ms(Deadline deadline) const;

  Fd epoll_;
  std::unordered_map<Waitable*, std::unique_ptr<Entry>> entries_;
  std::vector<Entry*> unarmed_;
  std::vector<Entry*> ready_;
  std::vector<std::unique_ptr<Entry>> forgotten_;  // until the end of the round, in which they may still be named
  std::size_t nappers_ = 0;                        // armed ones that must be looked at now and then
  int nap_ms_ = std::numeric_limits<int>::max();   // the shortest that any of them named
  std::int64_t looked_ns_ = 0;
};

}  // namespace crucible
