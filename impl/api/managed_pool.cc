#include "api/managed_pool.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "api/object_server.h"
#include "api/remote_error.h"

namespace crucible::managed {

// --- How tasks and outcomes travel ---------------------------------------------------------------------------------

namespace {

TravellingTask pack_task(PoolTask& task) {
  return {task.is_chunk, task.name, reinterpret_cast<std::uintptr_t>(task.code),
          reinterpret_cast<std::uintptr_t>(task.function), std::move(task.arguments)};
}

}  // namespace

TravellingOutcome pack_outcome(const PoolOutcome& outcome) {
  return {static_cast<int>(outcome.status), outcome.bytes, outcome.exit_code, outcome.text};
}

PoolOutcome unpack_outcome(TravellingOutcome outcome) {
  auto& [status, bytes, exit_code, text] = outcome;
  return {.status = static_cast<Status>(status),
          .bytes = std::move(bytes),
          .exit_code = exit_code,
          .text = std::move(text)};
}

TravellingPoolOptions pack_options(const PoolOptions& options) {
  using Plain = void (*)();
  std::uint64_t initializer = 0;
  if (options.initializer) {
    const Plain* const plain = options.initializer.target<Plain>();
    if (plain == nullptr) throw BadArgument("pool: a managed pool's initializer is a plain function");
    initializer = reinterpret_cast<std::uintptr_t>(*plain);
  }
  const auto given = [](const std::optional<int>& number, const char* what) {
    if (number && *number < 1) throw BadArgument("pool: " + std::string(what) + " is at least 1");
    return number.value_or(0);
  };
  return {given(options.processes, "the number of processes"),
          given(options.max_tasks_per_child, "max_tasks_per_child"),
          options.wait ? static_cast<int>(*options.wait) : -1, options.start_method.value_or(""), initializer};
}

PoolOptions unpack_options(const TravellingPoolOptions& travelling) {
  const auto& [processes, tasks, wait, start_method, initializer] = travelling;
  PoolOptions options;
  if (processes != 0) options.processes = processes;
  if (tasks != 0) options.max_tasks_per_child = tasks;
  if (wait >= 0) options.wait = static_cast<WaitStrategy>(wait);
  if (!start_method.empty()) options.start_method = start_method;
  if (initializer != 0) options.initializer = reinterpret_cast<void (*)()>(initializer);
  return options;
}

// --- What a process has asked for and not yet got ------------------------------------------------------------------

namespace {

std::atomic<std::uint64_t> last_collector = 0;

// Takes the outcomes of jobs, as they come, on a thread that is started with the first.
class Collector {
 public:
  explicit Collector(Proxy pool) : pool_(std::move(pool)) {}
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;
  ~Collector() {
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

  bool is_my_process() const noexcept { return process_ == ::getpid(); }
  bool is_this_thread() const noexcept { return thread_id_.load() == std::this_thread::get_id(); }

  Status submit(const std::vector<TravellingTask>& tasks, const std::shared_ptr<PoolJob>& job) {
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

  // False: the deadline passed while something was under way.
  bool wait_until_none(Deadline deadline) {
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

 private:
  void begin() {
    const std::lock_guard lock(mutex_);
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
    changed_.notify_all();
  }

  void run() {
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

  void finish(std::uint64_t number, std::vector<TravellingOutcome> outcomes) {
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

  static void complete(PoolJob& job) {
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

  void abandon(Status status, const std::string& text) {
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

  const pid_t process_ = ::getpid();
  const std::uint64_t number_ = ++last_collector;
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

}  // namespace

// --- The pool as its clients see it ----------------------------------------------------------------------------------

class RemotePool final : public crucible::Pool {
 public:
  explicit RemotePool(const Proxy& proxy) : proxy_(proxy) {}
  ~RemotePool() override {
    Collector* const collector = collector_;
    if (collector != nullptr && collector->is_my_process()) delete collector;
  }

  // What cannot be asked for where it is needed.
  void look_up() {
    if (size_ == 0) size_ = proxy_.call<std::size_t>("size");
  }

  Status submit(std::span<PoolTask> tasks, const std::shared_ptr<PoolJob>& job) override {
    std::vector<TravellingTask> travelling;
    for (PoolTask& task : tasks) travelling.push_back(pack_task(task));
    return collector().submit(travelling, job);
  }
  Status perform(PoolTask& task, PoolOutcome& outcome) override {
    auto [status, came] = proxy_.call<std::tuple<int, TravellingOutcome>>("perform", pack_task(task));
    outcome = unpack_outcome(std::move(came));
    return static_cast<Status>(status);
  }
  Status close_pool() override { return status_of("close"); }
  Status terminate_pool() override { return status_of("terminate"); }
  Status join_until(Deadline deadline) override {
    if (collector().is_this_thread()) return Status::kState;
    // A server that is stopped does not answer at all.
    constexpr std::chrono::seconds kSlack{5};
    const std::optional<int> status =
        deadline.is_never() ? proxy_.call<int>("join", -1)
                            : proxy_.call_for<int>(deadline.left() + kSlack, "join", deadline.left().count());
    if (!status) return Status::kTimeout;
    if (static_cast<Status>(*status) != Status::kOk) return static_cast<Status>(*status);
    return collector().wait_until_none(deadline) ? Status::kOk : Status::kTimeout;
  }
  PoolStatistics statistics() const override {
    const auto counts = proxy_.call<std::vector<std::uint64_t>>("statistics");
    return {.queued = counts.at(0),
            .running = counts.at(1),
            .done = counts.at(2),
            .lost = counts.at(3),
            .restarts = counts.at(4)};
  }
  std::size_t size() const noexcept override { return size_; }
  std::vector<pid_t> workers() const override { return proxy_.call<std::vector<pid_t>>("workers"); }
  std::string failure() const override { return proxy_.call<std::string>("failure"); }
  std::string_view mechanism() const noexcept override {
    try {
      return dynamic_cast<ClientReferent&>(*proxy_.reference().referent()).server().mechanism();
    } catch (const std::exception&) {  // it has never been reached
      return {};
    }
  }
  std::string_view form() const noexcept override { return "managed"; }

 private:
  Status status_of(const char* method) { return static_cast<Status>(proxy_.call<int>(method)); }

  // A forked child has one of its own; its parent's, whose thread it lacks, is left as it is.
  Collector& collector() {
    Collector* current = collector_;
    if (current != nullptr && current->is_my_process()) return *current;
    auto made = std::make_unique<Collector>(proxy_);
    return collector_.compare_exchange_strong(current, made.get()) ? *made.release() : *current;
  }

  const Proxy proxy_;
  std::atomic<std::size_t> size_ = 0;
  std::atomic<Collector*> collector_ = nullptr;
};

Pool::Pool(const Proxy& proxy) : Proxy(proxy), pool_(std::make_shared<RemotePool>(proxy)) {}

crucible::Pool& Pool::operator*() const {
  if (pool_ == nullptr) throw StateError("a proxy of nothing");
  pool_->look_up();
  return *pool_;
}

}  // namespace crucible::managed
