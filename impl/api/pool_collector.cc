#include "api/pool_collector.h"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <utility>

#include "api/remote_error.h"

namespace crucible::managed {
namespace {

std::atomic<std::uint64_t> last_collector = 0;

}  // namespace

PoolCollector::PoolCollector(Proxy pool) : process_(::getpid()), number_(++last_collector), pool_(std::move(pool)) {}

PoolCollector::~PoolCollector() {
  bool is_collecting = false;
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
    is_collecting = is_collecting_;
    changed_.notify_all();
  }
  if (is_collecting) {
    try {
      pool_.call<void>("uncollect", number_);
    } catch (const std::exception&) {  // without a server the thread's own call has ended
    }
  }
  if (thread_.joinable()) thread_.join();
  abandon(Status::kTerminated, "no handle of the managed pool is left in this process");
}

bool PoolCollector::is_my_process() const noexcept { return process_ == ::getpid(); }

Status PoolCollector::submit(const std::vector<TravellingTask>& tasks, const std::shared_ptr<PoolJob>& job) {
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = ++last_job_;
    jobs_[number] = job;
  }
  const auto forget = [&] {
    const std::lock_guard lock(mutex_);
    jobs_.erase(number);
    changed_.notify_all();
  };
  try {
    const auto status = static_cast<Status>(pool_.call<int>("submit", number_, number, tasks));
    if (status != Status::kOk) forget();
    if (status == Status::kOk) begin();
    return status;
  } catch (...) {
    forget();
    throw;
  }
}

bool PoolCollector::wait_until_none(Deadline deadline) {
  std::unique_lock lock(mutex_);
  while (!jobs_.empty()) {
    if (deadline.is_never()) {
      changed_.wait(lock);
    } else if (deadline.has_passed()) {
      return false;
    } else {
      (void)changed_.wait_for(lock, deadline.left());
    }
  }
  return true;
}

void PoolCollector::begin() {
  const std::lock_guard lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.notify_all();
}

void PoolCollector::run() {
  thread_id_ = std::this_thread::get_id();
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return is_ending_ || !jobs_.empty(); });
    if (is_ending_) return;
    try {
      // Begun with the mutex, so that an "uncollect" is behind it.
      auto answer = pool_.call_async<std::vector<TravellingJob>>("collect", number_);
      is_collecting_ = true;
      lock.unlock();
      std::vector<TravellingJob> jobs = answer.get();
      lock.lock();
      is_collecting_ = false;
      lock.unlock();
      for (auto& [number, outcomes] : jobs) finish(number, std::move(outcomes));
      lock.lock();
    } catch (const std::exception& error) {
      if (!lock.owns_lock()) lock.lock();
      is_collecting_ = false;
      lock.unlock();
      abandon(Status::kBroken, error.what());
      lock.lock();
    }
  }
}

void PoolCollector::finish(std::uint64_t number, std::vector<TravellingOutcome> outcomes) {
  std::shared_ptr<PoolJob> job;
  {
    const std::lock_guard lock(mutex_);
    const auto found = jobs_.find(number);
    if (found == jobs_.end()) return;
    job = found->second;
  }
  bool is_last = outcomes.empty();
  for (std::size_t i = 0; i < outcomes.size(); ++i) is_last = job->finish(i, unpack_outcome(std::move(outcomes[i])));
  if (is_last) complete(*job);
  const std::lock_guard lock(mutex_);
  jobs_.erase(number);
  changed_.notify_all();
}

void PoolCollector::complete(PoolJob& job) {
  if (job.has_callback()) {
    try {
      job.call_back();
    } catch (...) {
      const Failure failure = failure_now();
      std::fprintf(stderr, "crucible: a callback of a Pool threw %s: %s\n", failure.type.c_str(),
                   failure.message.c_str());
    }
  }
  job.publish();
}

void PoolCollector::abandon(Status status, const std::string& text) {
  std::map<std::uint64_t, std::shared_ptr<PoolJob>> jobs;
  {
    const std::lock_guard lock(mutex_);
    jobs = jobs_;
  }
  for (const auto& [number, job] : jobs) {
    const TravellingOutcome outcome = pack_outcome({.status = status, .bytes = {}, .exit_code = 0, .text = text});
    finish(number, std::vector<TravellingOutcome>(job->outcomes().size(), outcome));
  }
}

}  // namespace crucible::managed
