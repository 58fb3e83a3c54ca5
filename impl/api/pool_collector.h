// PoolCollector: what a process has asked a managed Pool for, and not yet got.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "api/async_result.h"
#include "api/deadline.h"
#include "api/managed_pool.h"
#include "api/proxy.h"
#include "api/status.h"

namespace crucible::managed {

/// Takes the outcomes of jobs as they come, on a thread that is started with the first, which also runs the callbacks.
/// One process's: a forked child lacks the thread, and must leave it as it is. Any thread of that process.
class PoolCollector {
 public:
  explicit PoolCollector(Proxy pool);
  PoolCollector(const PoolCollector&) = delete;
  PoolCollector& operator=(const PoolCollector&) = delete;
  /// What has not come is Terminated. Not in a callback.
  ~PoolCollector();

  bool is_my_process() const noexcept;
  /// Whether this is a callback.
  bool is_this_thread() const noexcept { return thread_id_.load() == std::this_thread::get_id(); }
  /// As Pool::submit(). Throws what a Proxy's calls do; then `job` is nobody's.
  Status submit(const std::vector<TravellingTask>& tasks, const std::shared_ptr<PoolJob>& job);
  /// False: the deadline passed while something was under way.
  bool wait_until_none(Deadline deadline);

 private:
  void begin();
  void run();
  void finish(std::uint64_t number, std::vector<TravellingOutcome> outcomes);
  static void complete(PoolJob& job);
  void abandon(Status status, const std::string& text);

  const pid_t process_;
  const std::uint64_t number_;  // which of this process's the server takes it for
  const Proxy pool_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, std::shared_ptr<PoolJob>> jobs_;
  std::uint64_t last_job_ = 0;
  bool is_collecting_ = false;
  bool is_ending_ = false;
  std::thread thread_;
  std::atomic<std::thread::id> thread_id_ = {};
};

}  // namespace crucible::managed
