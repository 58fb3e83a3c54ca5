#include "compose/pool.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <tuple>
#include <utility>

#include "core/fork_order.h"
#include "core/fork_registry.h"
#include "core/function.h"
#include "core/process.h"
#include "core/spawn.h"

namespace crucible {
namespace {

PoolPlan plan_of(const QueueCarrier& carrier, bool looks, const PoolOptions& options) {
  const int workers = options.processes.value_or(static_cast<int>(cpu_count()));
  if (workers < 1) throw BadArgument("pool: there is at least 1 worker");
  if (options.max_tasks_per_child && *options.max_tasks_per_child < 1) {
    throw BadArgument("pool: max_tasks_per_child is at least 1");
  }
  const std::string_view method = options.start_method ? std::string_view(*options.start_method) : start_method();
  if (std::ranges::find(start_methods(), method) == start_methods().end()) {
    throw BadArgument("pool: no start method named '" + std::string(method) + "'");
  }
  const bool spawned = method == "spawn";
  if (spawned && options.initializer) throw BadArgument("pool: an initializer needs workers that are forks");
  return {.carrier = carrier,
          .spawned = spawned,
          .looks = looks,
          .workers = static_cast<std::size_t>(workers),
          .initializer = options.initializer,
          .tasks_per_worker = options.max_tasks_per_child.value_or(0),
          .channel = {.capacity_bytes = carrier.pipe_bytes, .wait = options.wait}};
}

}  // namespace

// --- The pools of this process -----------------------------------------------------------------------------------

class ComposedPool::Registry : public ForkRegistry<Registry, ComposedPool> {
 public:
  // What its mechanism does at the program's end must come after the pools' own end: once it has been used, which in a
  // forked child is another time.
  void end_before(std::string_view mechanism) {
    const std::lock_guard lock(mutex);
    if (std::exchange(used_by_[mechanism], ::getpid()) != ::getpid()) std::atexit([] { get().end_all(); });
  }

 private:
  // The program's end is that of the pools that nobody destroys, before that of what their threads use.
  void end_all() {
    std::vector<ComposedPool*> left;
    {
      const std::lock_guard lock(mutex);
      left = objects;
    }
    for (ComposedPool* pool : left) {
      (void)pool->terminate_pool();
      (void)pool->join_until(Deadline::never());
    }
  }

  std::map<std::string_view, pid_t> used_by_;
};

void ComposedPool::register_with_forks() { Registry::get(); }

namespace {
[[gnu::constructor(fork_order::kOwner)]] void register_with_forks() { ComposedPool::register_with_forks(); }
}  // namespace

void ComposedPool::before_fork() {
  board_.mutex.lock();
  dispatcher_->channels_mutex().lock();
}

void ComposedPool::after_fork_in_parent() {
  dispatcher_->channels_mutex().unlock();
  board_.mutex.unlock();
}

// The child keeps no end of a pool's channels. The threads are not there; what they were in the middle of is left as it
// is, but for descriptors.
bool ComposedPool::after_fork_in_child() {
  after_fork_in_parent();
  is_mine_ = false;
  std::ignore = thread_.release();
  dispatcher_.release()->become_copy();
  return false;
}

// --- Life ----------------------------------------------------------------------------------------------------------

ComposedPool::ComposedPool(const PoolPlan& plan) : plan_(plan) {}

std::unique_ptr<ComposedPool> ComposedPool::create(const QueueCarrier& carrier, bool looks,
                                                   const PoolOptions& options) {
  std::unique_ptr<ComposedPool> pool(new ComposedPool(plan_of(carrier, looks, options)));
  pool->dispatcher_ = std::make_unique<PoolDispatcher>(pool->plan_, pool->board_, pool->shared_->callbacks);
  Registry::get().enter(pool.get());
  pool->dispatcher_->bring_up();
  Registry::get().end_before(carrier.mechanism);
  pool->thread_ = std::make_unique<std::thread>([dispatcher = pool->dispatcher_.get()] { dispatcher->run(); });
  return pool;
}

ComposedPool::~ComposedPool() {
  if (!is_mine()) {
    std::ignore = shared_.release();
    return;
  }
  if (thread_ != nullptr) {
    {
      const std::lock_guard lock(board_.mutex);
      const std::uint64_t left = board_.unfinished.load(std::memory_order_relaxed);
      if (board_.phase == PoolBoard::Phase::kRunning && left > 0) {
        std::fprintf(stderr, "crucible: a Pool that was not closed is destroyed, and %llu unfinished tasks with it\n",
                     static_cast<unsigned long long>(left));
      }
    }
    (void)terminate_pool();
    (void)join_until(Deadline::never());
    thread_->join();
  }
  Registry::get().leave(this);
}

// --- Calls -----------------------------------------------------------------------------------------------------------

// The board's mutex is held. kOk: they can be taken.
Status ComposedPool::refusal(std::span<const PoolTask> tasks) const {
  if (!board_.failure.empty()) return Status::kBroken;
  if (board_.phase != PoolBoard::Phase::kRunning) return Status::kState;
  const auto is_known = [](const PoolTask& task) { return !task.name.empty() && find_task(task.name) != nullptr; };
  return !plan_.spawned || std::ranges::all_of(tasks, is_known) ? Status::kOk : Status::kBadArgument;
}

Status ComposedPool::perform(PoolTask& task, PoolOutcome& outcome) {
  if (!is_mine()) return Status::kState;
  std::shared_ptr<PoolJob> job;
  {
    std::unique_lock lock(board_.mutex);
    if (const Status status = refusal({&task, 1}); status != Status::kOk) return status;
    if (dispatcher_->perform(task, outcome, job, lock) && !job) return Status::kOk;
  }
  if (!job) {
    job = std::make_shared<PoolJob>(1);
    if (const Status status = submit({&task, 1}, job); status != Status::kOk) return status;
  }
  (void)job->wait_until(Deadline::never());
  outcome = job->outcomes().front();
  return Status::kOk;
}

Status ComposedPool::submit(std::span<PoolTask> tasks, const std::shared_ptr<PoolJob>& job) {
  if (!is_mine()) return Status::kState;
  std::unique_lock lock(board_.mutex);
  if (const Status status = refusal(tasks); status != Status::kOk) return status;
  board_.unfinished.fetch_add(tasks.size(), std::memory_order_relaxed);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    board_.inbox.push_back({.job = job, .index = i, .task = std::move(tasks[i])});
  }
  if (tasks.empty()) shared_->callbacks.complete(job);
  const bool rings = board_.takes_ringing();
  lock.unlock();
  if (rings) board_.bell.ring();
  return Status::kOk;
}

Status ComposedPool::close_pool() {
  if (!is_mine()) return Status::kState;
  const std::lock_guard lock(board_.mutex);
  if (board_.phase == PoolBoard::Phase::kRunning) board_.phase = PoolBoard::Phase::kClosing;
  board_.wake();
  return Status::kOk;
}

Status ComposedPool::terminate_pool() {
  if (!is_mine()) return Status::kState;
  std::unique_lock lock(board_.mutex);
  board_.phase = PoolBoard::Phase::kTerminating;
  board_.wake();
  board_.changed.wait(lock, [this] { return board_.workers_gone; });
  return Status::kOk;
}

Status ComposedPool::join_until(Deadline deadline) {
  if (!is_mine() || shared_->callbacks.is_this_thread()) return Status::kState;
  std::unique_lock lock(board_.mutex);
  if (board_.phase == PoolBoard::Phase::kRunning && board_.failure.empty()) return Status::kState;
  while (!board_.ended) {
    if (deadline.is_never()) {
      board_.changed.wait(lock);
    } else if (deadline.has_passed()) {
      return Status::kTimeout;
    } else {
      (void)board_.changed.wait_for(lock, deadline.left());
    }
  }
  return Status::kOk;
}

PoolStatistics ComposedPool::statistics() const {
  if (!is_mine()) throw StateError("statistics: the pool is another process's");
  PoolStatistics statistics;
  const std::uint64_t unfinished = board_.unfinished.load(std::memory_order_relaxed);
  statistics.running = std::min(unfinished, dispatcher_->running());
  statistics.queued = unfinished - statistics.running;
  statistics.done = board_.done.load(std::memory_order_relaxed);
  statistics.lost = board_.lost.load(std::memory_order_relaxed);
  statistics.restarts = board_.restarts.load(std::memory_order_relaxed);
  return statistics;
}

std::vector<pid_t> ComposedPool::workers() const {
  if (!is_mine()) throw StateError("workers: the pool is another process's");
  const std::lock_guard lock(board_.mutex);
  std::vector<pid_t> pids = board_.pids;
  std::erase(pids, 0);
  return pids;
}

std::string ComposedPool::failure() const {
  const std::lock_guard lock(board_.mutex);
  return board_.failure;
}

}  // namespace crucible
