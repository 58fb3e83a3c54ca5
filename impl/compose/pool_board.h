// What the users of a composed pool and its dispatcher share, and the thread of its callbacks.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/async_result.h"
#include "api/pool_task.h"
#include "core/event_fd.h"

namespace crucible {

/// A task and where its outcome belongs.
struct PoolItem {
  std::shared_ptr<PoolJob> job;
  std::size_t index;
  PoolTask task;
  std::uint64_t serial = 0;  ///< the dispatcher's, in the order in which tasks were submitted
};

/// Runs the callbacks of jobs, one after the other, on a thread that is started with the first.
class PoolCallbacks {
 public:
  ~PoolCallbacks() { finish(); }
  /// Publishes the job, after its callback if it has one. Throws nothing that the callback does.
  void complete(std::shared_ptr<PoolJob> job);
  /// Waits until all that were given have run. Not in a callback.
  void finish() noexcept;
  bool is_this_thread() const noexcept {
    return thread_id_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<PoolJob>> jobs_;
  bool finishing_ = false;
  std::unique_ptr<std::thread> thread_;
  std::atomic<std::thread::id> thread_id_ = {};
};

struct PoolBoard {
  enum class Phase : std::uint8_t { kRunning, kClosing, kTerminating };

  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  Phase phase = Phase::kRunning;
  std::string failure;
  std::vector<PoolItem> inbox;
  bool dispatcher_sleeps = false;
  bool workers_gone = false;
  bool ended = false;       // nothing will happen any more
  std::vector<pid_t> pids;  // by place; 0: nobody

  EventFd bell;  // wakes the dispatcher
  std::atomic<std::uint64_t> unfinished = 0;
  std::atomic<std::uint64_t> done = 0;
  std::atomic<std::uint64_t> lost = 0;
  std::atomic<std::uint64_t> restarts = 0;

  /// The mutex is held.
  void wake() {
    if (takes_ringing()) bell.ring();
  }
  /// Whether the bell must be rung. The mutex is held; the bell is better rung without it, for which the dispatcher
  /// would have to sleep again.
  bool takes_ringing() noexcept { return std::exchange(dispatcher_sleeps, false); }
};

}  // namespace crucible
