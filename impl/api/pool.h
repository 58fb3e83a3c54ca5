// Pool: worker processes that run functions.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "api/async_result.h"
#include "api/capabilities.h"
#include "api/connection.h"
#include "api/deadline.h"
#include "api/imap.h"
#include "api/pool_task.h"
#include "api/status.h"

namespace crucible {

/// How a pool is made.
struct PoolOptions {
  std::optional<int> processes = {};  ///< workers, at least 1; nothing: one per CPU
  /// Runs in each worker, replacements included, before its first task. If it throws, or the worker ends in it, the
  /// pool fails: everything that was asked of it and will be is Broken.
  std::function<void()> initializer = {};
  std::optional<int> max_tasks_per_child = {};  ///< chunks count once; then the worker is replaced. Nothing: no limit
  std::optional<WaitStrategy> wait = {};        ///< of the channels; as PipeOptions::wait
  /// "fork": workers are forks of this process; "spawn": of this program, run anew (core/spawn.h), which has nothing of
  /// this process's state; then there is no initializer, and tasks are crucible::Functions. Nothing: what
  /// crucible::start_method() is.
  std::optional<std::string> start_method = {};
};

struct PoolStatistics {
  std::uint64_t queued = 0;    ///< tasks that wait for a worker; chunks count once
  std::uint64_t running = 0;   ///< that a worker has begun
  std::uint64_t done = 0;      ///< that have ended, by a result or an exception
  std::uint64_t lost = 0;      ///< whose worker ended in the middle of them
  std::uint64_t restarts = 0;  ///< workers that took the place of others
};

/// Workers are forks of this process, as it was when the pool was made, unless told otherwise; they are daemons
/// (core/process.h), ignore SIGINT and end with this process, however that ends. What they run is a function or a
/// closure without captures; arguments and results travel through the codec. A task is handed to one worker, once. The
/// death of a worker ends exactly the task that it had begun, with WorkerLost, and the worker is replaced.
///
/// All members belong to the process that made the pool (StateError elsewhere); any of its threads may call any of
/// them, callbacks too, but for join(), which is StateError there, and the destructor. Callbacks run one at a time on a
/// thread of the pool's own, each before anybody who waits for its result sees it; what one throws is reported on
/// stderr.
///
/// The virtual functions move bytes and return a Status; the templates below them move objects and throw. `x` waits,
/// `x_async` does not; AsyncResult waits for a duration, too.
class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  /// Terminates and joins. Says on stderr how many tasks it ended so, if nobody had closed or terminated the pool.
  virtual ~Pool() = default;

  // --- Bytes: what a form implements ---------------------------------------------------------------------

  /// Takes over `tasks`, of which the i-th is the job's i-th; begun in their order. Does not wait. kState: the pool was
  /// closed or terminated, or belongs to another process. kBroken: see failure(). kBadArgument: the workers, which are
  /// no forks, do not know the function. Then nothing was taken.
  virtual Status submit(std::span<PoolTask> tasks, const std::shared_ptr<PoolJob>& job) = 0;
  /// submit() of one task, whose outcome it waits for.
  virtual Status perform(PoolTask& task, PoolOutcome& outcome) = 0;
  /// No more tasks; those that were submitted will be done, and then the workers end. Idempotent, also behind
  /// terminate(). kState: another process's.
  virtual Status close_pool() = 0;
  /// Ends the workers by SIGKILL and every task that is not done by kTerminated; returns when the workers are gone.
  /// Idempotent. kState: another process's.
  virtual Status terminate_pool() = 0;
  /// Waits until all workers have ended and all callbacks have run. kTimeout; kState: neither closed nor terminated, or
  /// called in a callback, or another process's.
  virtual Status join_until(Deadline deadline) = 0;
  virtual PoolStatistics statistics() const = 0;
  /// How many it was made with.
  virtual std::size_t size() const noexcept = 0;
  /// The pids of the workers that there are now.
  virtual std::vector<pid_t> workers() const = 0;
  /// Why the pool is Broken; empty if it is not.
  virtual std::string failure() const = 0;
  virtual std::string_view mechanism() const noexcept = 0;
  virtual std::string_view form() const noexcept = 0;

  // --- Objects -------------------------------------------------------------------------------------------

  // All of these throw StateError after close() or terminate(), Broken, and EncodingError for arguments that cannot be
  // encoded. `function` is a function pointer, a closure without captures, or a crucible::Function.

  /// `function(arguments...)` in a worker: `apply(&f, {1, "two"})`. Throws as AsyncResult::get().
  template <class F>
  TaskResult<F> apply(F function, std::type_identity_t<TaskArguments<F>> arguments = {}) {
    PoolTask task = make_task(function, false, encode(arguments));
    return result_of_task<TaskResult<F>>(perform_or_throw(task));
  }
  /// Exactly one of the callbacks is called, once: with the result, or with the exception.
  template <class F>
  AsyncResult<TaskResult<F>> apply_async(F function, const std::type_identity_t<TaskArguments<F>>& arguments = {},
                                         OnResult<TaskResult<F>> on_result = {}, OnError on_error = {});

  /// `function` of each element, in the order of the range, which is read first. `chunk` elements travel, and are lost
  /// with a worker, together; nothing: as many as make four chunks per worker. BadArgument below 1. All of them are
  /// run, whatever some throw; then the first exception in the order of the range is thrown. What reading the range
  /// throws comes out as it is, and nothing was run.
  template <class F, std::ranges::input_range Range>
  ListOf<TaskResult<F>> map(F function, Range&& range, std::optional<std::ptrdiff_t> chunk = {}) {
    return map_async(function, std::forward<Range>(range), chunk).get();
  }
  template <class F>
  ListOf<TaskResult<F>> map(F function, std::initializer_list<TaskElement<F>> range,
                            std::optional<std::ptrdiff_t> chunk = {}) {
    return map_async(function, range, chunk).get();
  }
  template <class F, std::ranges::input_range Range>
  AsyncResult<ListOf<TaskResult<F>>> map_async(F function, Range&& range, std::optional<std::ptrdiff_t> chunk = {},
                                               OnResult<ListOf<TaskResult<F>>> on_result = {}, OnError on_error = {}) {
    return submit_chunks<F>(
        function, range, [](auto&& element) { return TaskArguments<F>(static_cast<TaskElement<F>>(element)); }, chunk,
        std::move(on_result), std::move(on_error));
  }
  /// As map; an element is a tuple (or pair) of arguments.
  template <class F, std::ranges::input_range Range>
  ListOf<TaskResult<F>> starmap(F function, Range&& range, std::optional<std::ptrdiff_t> chunk = {}) {
    return starmap_async(function, std::forward<Range>(range), chunk).get();
  }
  template <class F>
  ListOf<TaskResult<F>> starmap(F function, std::initializer_list<TaskArguments<F>> range,
                                std::optional<std::ptrdiff_t> chunk = {}) {
    return starmap_async(function, range, chunk).get();
  }
  template <class F, std::ranges::input_range Range>
  AsyncResult<ListOf<TaskResult<F>>> starmap_async(F function, Range&& range, std::optional<std::ptrdiff_t> chunk = {},
                                                   OnResult<ListOf<TaskResult<F>>> on_result = {},
                                                   OnError on_error = {}) {
    return submit_chunks<F>(
        function, range, [](auto&& element) { return TaskArguments<F>(element); }, chunk, std::move(on_result),
        std::move(on_error));
  }

  /// The results one by one, in the order of the range or as they come, while the range is read: at most `read_ahead`
  /// elements (a multiple of `chunk`; nothing: four chunks per worker) are under way. BadArgument below 1. An lvalue
  /// range must outlive the Imap.
  template <class F, std::ranges::input_range Range>
  Imap<F, std::views::all_t<Range>> imap(F function, Range&& range, std::ptrdiff_t chunk = 1,
                                         std::optional<std::ptrdiff_t> read_ahead = {}) {
    return make_imap(function, std::forward<Range>(range), chunk, read_ahead, true);
  }
  template <class F, std::ranges::input_range Range>
  Imap<F, std::views::all_t<Range>> imap_unordered(F function, Range&& range, std::ptrdiff_t chunk = 1,
                                                   std::optional<std::ptrdiff_t> read_ahead = {}) {
    return make_imap(function, std::forward<Range>(range), chunk, read_ahead, false);
  }

  /// Throw the exception of the status that the function above them returns.
  void close();
  void terminate();
  void join();
  /// Whether all has ended.
  template <class R, class P>
  [[nodiscard]] bool join_for(std::chrono::duration<R, P> duration) {
    return finish(join_until(Deadline::after(duration)), "join_for");
  }

  /// submit() and perform(), or the exception of their status.
  void submit_or_throw(std::span<PoolTask> tasks, const std::shared_ptr<PoolJob>& job);
  PoolOutcome perform_or_throw(PoolTask& task);

 private:
  static bool finish(Status status, const char* operation);
  void taken_or_throw(Status status) const;
  static std::size_t checked(std::ptrdiff_t count, const char* what);
  std::size_t default_chunk(std::size_t elements) const noexcept;

  template <class F, class Range, class Pack>
  AsyncResult<ListOf<TaskResult<F>>> submit_chunks(F function, Range&& range, Pack pack,
                                                   std::optional<std::ptrdiff_t> chunk,
                                                   OnResult<ListOf<TaskResult<F>>> on_result, OnError on_error);
  template <class F, class Range>
  Imap<F, std::views::all_t<Range>> make_imap(F function, Range&& range, std::ptrdiff_t chunk,
                                              std::optional<std::ptrdiff_t> read_ahead, bool ordered) {
    const std::size_t in_chunk = checked(chunk, "imap: the size of a chunk");
    const std::size_t ahead = read_ahead ? checked(*read_ahead, "imap: read_ahead") : 4 * size() * in_chunk;
    return {*this,
            function,
            std::views::all(std::forward<Range>(range)),
            in_chunk,
            std::max<std::size_t>(1, ahead / in_chunk),
            ordered};
  }
};

/// One way in which a mechanism has a Pool.
struct PoolForm {
  std::string_view name;  ///< "native", "composed"
  Capabilities capabilities;
  std::span<const WaitStrategy> waits;  ///< as Mechanism::waits
  /// Returns when all workers can be reached; their initializers may still be running. Throws BadArgument (options),
  /// StateError (in a daemon, a worker above all), std::system_error, Broken (a worker ended before it could be
  /// reached); then no process is left.
  std::unique_ptr<Pool> (*create)(const PoolOptions& options);
};

template <class F>
AsyncResult<TaskResult<F>> Pool::apply_async(F function, const std::type_identity_t<TaskArguments<F>>& arguments,
                                             OnResult<TaskResult<F>> on_result, OnError on_error) {
  using R = TaskResult<F>;
  PoolTask task = make_task(function, false, encode(arguments));
  auto job = std::make_shared<PoolJob>(1, callback_of<R>(&result_of<R>, std::move(on_result), std::move(on_error)));
  submit_or_throw({&task, 1}, job);
  return {std::move(job), &result_of<R>};
}

template <class F, class Range, class Pack>
AsyncResult<ListOf<TaskResult<F>>> Pool::submit_chunks(F function, Range&& range, Pack pack,
                                                       std::optional<std::ptrdiff_t> chunk,
                                                       OnResult<ListOf<TaskResult<F>>> on_result, OnError on_error) {
  using R = TaskResult<F>;
  if (chunk) (void)checked(*chunk, "map: the size of a chunk");
  std::vector<TaskArguments<F>> elements;
  for (auto&& element : range) elements.push_back(pack(element));
  const std::size_t in_chunk = chunk ? static_cast<std::size_t>(*chunk) : default_chunk(elements.size());
  std::vector<PoolTask> tasks;
  for (std::size_t at = 0; at < elements.size(); at += in_chunk) {
    const std::size_t end = std::min(elements.size(), at + std::min(in_chunk, elements.size()));
    const std::vector<TaskArguments<F>> part(
        std::make_move_iterator(elements.begin() + static_cast<std::ptrdiff_t>(at)),
        std::make_move_iterator(elements.begin() + static_cast<std::ptrdiff_t>(end)));
    tasks.push_back(make_task(function, true, encode(part)));
    if (end == elements.size()) break;
  }
  auto job = std::make_shared<PoolJob>(
      tasks.size(), callback_of<ListOf<R>>(&results_of<R>, std::move(on_result), std::move(on_error)));
  submit_or_throw(tasks, job);
  return {std::move(job), &results_of<R>};
}

template <class F, class View>
void Imap<F, View>::submit(std::vector<TaskArguments<F>> elements) {
  PoolTask task = make_task(function_, true, encode(elements));
  auto job = std::make_shared<PoolJob>(1);
  if (!ordered_) {
    job->on_published = [arrivals = arrivals_, arrived = job.get()] {
      const std::lock_guard lock(arrivals->mutex);
      arrivals->jobs.push_back(arrived);
      arrivals->changed.notify_all();
    };
  }
  pool_->submit_or_throw({&task, 1}, job);
  under_way_.push_back({.job = std::move(job), .elements = elements.size()});
}

}  // namespace crucible

namespace msgpack {
MSGPACK_API_VERSION_NAMESPACE(MSGPACK_DEFAULT_API_NS) {
  namespace adaptor {

  template <>
  struct pack<crucible::Pool> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const crucible::Pool& /*pool*/) const {
      static_assert(sizeof(Stream) == 0, "a Pool travels in no message: it belongs to the process that made it");
      return out;
    }
  };

  }  // namespace adaptor
}
}  // namespace msgpack
