// AsyncResult: what will have come of something that a Pool was asked to do.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "api/bytes.h"
#include "api/codec_plain.h"
#include "api/deadline.h"
#include "api/pool_task.h"
#include "api/status.h"

namespace crucible {

/// What came of one task. kOk: `bytes` are its result. kRemote: `bytes` are the Failure that it threw. kWorkerLost: its
/// worker ended with `exit_code`. kTerminated; kBroken: `text` says what became of the pool.
struct PoolOutcome {
  Status status = Status::kTerminated;
  Bytes bytes = {};
  int exit_code = 0;
  std::string text = {};

  /// Throws what it stands for unless it is kOk.
  void check() const;
};

/// The tasks of one call and what came of them: shared by who asked and the pool. Any thread.
class PoolJob {
 public:
  using Callback = std::function<void(const PoolJob&)>;

  /// Of so many tasks. `callback`, if there is one, is called once, by the pool, when all have ended and before
  /// anybody who waits sees that.
  explicit PoolJob(std::size_t tasks, Callback callback = {}) : callback_(std::move(callback)), outcomes_(tasks) {
    left_ = tasks;
  }

  // --- For who asked ---------------------------------------------------------------------------------------

  bool wait_until(Deadline deadline) const;
  /// Once it is ready.
  const std::vector<PoolOutcome>& outcomes() const noexcept { return outcomes_; }

  // --- For the pool ----------------------------------------------------------------------------------------

  /// True: that was the last one, and publish() must be called, through call_back() if it has a callback.
  bool finish(std::size_t task, PoolOutcome outcome);
  bool has_callback() const noexcept { return callback_ != nullptr; }
  /// Calls the callback, whose exceptions pass.
  void call_back() { std::exchange(callback_, {})(*this); }
  void publish() noexcept;
  /// Called when it is published, by the thread that does; must not wait.
  std::function<void()> on_published = {};

 private:
  Callback callback_;
  std::vector<PoolOutcome> outcomes_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::size_t left_;
  bool ready_ = false;
};

/// A handle to a job whose outcome is a T; copies are handles to the same. Any thread. It may outlive its pool.
template <class T>
class AsyncResult {
 public:
  using Assemble = T (*)(const PoolJob& job);
  AsyncResult(std::shared_ptr<PoolJob> job, Assemble assemble) noexcept : job_(std::move(job)), assemble_(assemble) {}

  /// Waits for it. Throws what the task threw (api/remote_error.h says as what), WorkerLost, Terminated, Broken, or
  /// EncodingError for a result that is no T. Any number of times, always the same.
  T get() const {
    wait();
    return assemble_(*job_);
  }
  /// Nothing (false, if there is no value): it was not ready within `duration`. Otherwise as get().
  template <class R, class P>
  [[nodiscard]] auto get_for(std::chrono::duration<R, P> duration) const {
    if constexpr (std::is_void_v<T>) {
      const bool is_ready = wait_for(duration);
      if (is_ready) assemble_(*job_);
      return is_ready;
    } else {
      return wait_for(duration) ? std::optional<T>(assemble_(*job_)) : std::nullopt;
    }
  }
  void wait() const { (void)job_->wait_until(Deadline::never()); }
  /// Whether it was ready within `duration`.
  template <class R, class P>
  bool wait_for(std::chrono::duration<R, P> duration) const {
    return job_->wait_until(Deadline::after(duration));
  }
  [[nodiscard]] bool ready() const { return job_->wait_until(Deadline::immediate()); }
  /// Whether get() would return. StateError before it is ready.
  [[nodiscard]] bool successful() const {
    if (!ready()) throw StateError("successful: it is not ready");
    try {
      (void)assemble_(*job_);
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }

 private:
  std::shared_ptr<PoolJob> job_;
  Assemble assemble_;
};

/// What apply_async and its like call with the result (with nothing, if there is none), and with the exception.
template <class T>
struct ResultCallback {
  using Type = std::function<void(T)>;
};
template <>
struct ResultCallback<void> {
  using Type = std::function<void()>;
};
template <class T>
using OnResult = typename ResultCallback<T>::Type;
using OnError = std::function<void(const std::exception&)>;

/// Nothing, if there is nothing to call.
template <class T>
PoolJob::Callback callback_of(T (*assemble)(const PoolJob&), const OnResult<T>& on_result, const OnError& on_error) {
  if (!on_result && !on_error) return {};
  return [=](const PoolJob& job) {
    std::optional<TaskValue<T>> value;
    try {
      if constexpr (std::is_void_v<T>) {
        assemble(job);
        value.emplace();
      } else {
        value.emplace(assemble(job));
      }
    } catch (const std::exception& error) {
      if (on_error) on_error(error);
      return;
    }
    if (!on_result) return;
    if constexpr (std::is_void_v<T>) {
      on_result();
    } else {
      on_result(std::move(*value));
    }
  };
}

/// The result of one task, and of a job that is one.
template <class R>
R result_of_task(const PoolOutcome& outcome) {
  outcome.check();
  if constexpr (!std::is_void_v<R>) return decode<R>(outcome.bytes);
}
template <class R>
R result_of(const PoolJob& job) {
  return result_of_task<R>(job.outcomes().front());
}

/// Appends the results of a chunk of which no call has thrown, if they are plain. False: nothing was appended.
template <class Value>
bool read_plain_results([[maybe_unused]] ByteView chunk, [[maybe_unused]] std::vector<Value>& results) {
  if constexpr (kIsPlain<Value>) {
    std::vector<std::tuple<int, Value>> items;
    PlainReader reader(chunk);
    if (!reader.read(items) || !reader.is_at_end()) return false;
    for (const auto& [threw, value] : items) {
      if (threw != 0) return false;
    }
    for (auto& [threw, value] : items) results.push_back(std::move(value));
    return true;
  } else {
    return false;
  }
}

/// The results of a job of chunks, in the order of the input. Of several errors the first one in that order is thrown.
template <class R>
using ListOf = std::conditional_t<std::is_void_v<R>, void, std::vector<TaskValue<R>>>;
template <class R>
ListOf<R> results_of(const PoolJob& job) {
  std::vector<TaskValue<R>> results;
  for (const PoolOutcome& outcome : job.outcomes()) {
    outcome.check();
    if (read_plain_results(outcome.bytes, results)) continue;
    for (ChunkItem<R>& item : decode<std::vector<ChunkItem<R>>>(outcome.bytes)) {
      if (const Failure* const failure = std::get_if<1>(&item)) rethrow_failure(*failure);
      results.push_back(std::get<0>(std::move(item)));
    }
  }
  if constexpr (!std::is_void_v<R>) return results;
}

}  // namespace crucible
