#include "api/managed_pool.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "api/object_server.h"
#include "api/pool_collector.h"

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

// --- The pool as its clients see it ----------------------------------------------------------------------------------

class RemotePool final : public crucible::Pool {
 public:
  explicit RemotePool(const Proxy& proxy) : proxy_(proxy) {}
  ~RemotePool() override {
    PoolCollector* const collector = collector_;
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
  PoolCollector& collector() {
    PoolCollector* current = collector_;
    if (current != nullptr && current->is_my_process()) return *current;
    auto made = std::make_unique<PoolCollector>(proxy_);
    return collector_.compare_exchange_strong(current, made.get()) ? *made.release() : *current;
  }

  const Proxy proxy_;
  std::atomic<std::size_t> size_ = 0;
  std::atomic<PoolCollector*> collector_ = nullptr;
};

Pool::Pool(const Proxy& proxy) : Proxy(proxy), pool_(std::make_shared<RemotePool>(proxy)) {}

crucible::Pool& Pool::operator*() const {
  if (pool_ == nullptr) throw StateError("a proxy of nothing");
  pool_->look_up();
  return *pool_;
}

}  // namespace crucible::managed
