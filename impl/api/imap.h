// Imap: the results of a task for the elements of a range, one after the other, while the range is read.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <ranges>
#include <utility>
#include <vector>

#include "api/async_result.h"

namespace crucible {

class Pool;

/// As Pool::imap and imap_unordered return it. Reads the range in the caller's thread, when it is made and in next()
/// before that waits, never further ahead of what next() has returned than it was told. One thread; the pool must
/// outlive it. Also a range of its results, for one loop, which an exception ends.
template <class F, class View>
class Imap {
 public:
  using Result = TaskValue<TaskResult<F>>;

  Imap(Pool& pool, F function, View view, std::size_t chunk, std::size_t most_chunks, bool ordered)
      : pool_(&pool),
        function_(function),
        view_(std::move(view)),
        chunk_(chunk),
        most_(most_chunks),
        ordered_(ordered) {
    fill();
  }

  /// Waits for the next result. Nothing: the end. Throws what the element's task threw, or WorkerLost, Terminated,
  /// Broken, in its place; the elements behind it follow. What reading the range threw comes behind the results of all
  /// elements before it, and so does the StateError of a pool that was closed before the range was at its end.
  std::optional<Result> next() {
    std::optional<Result> value;
    (void)next_until(value, Deadline::never());
    return value;
  }
  /// kOk: `value` is the next one. kEof: the end. kTimeout: there is none yet, and it will come next. Throws as next().
  template <class R, class P>
  Status next_for(std::optional<Result>& value, std::chrono::duration<R, P> duration) {
    return next_until(value, Deadline::after(duration));
  }
  Status next_until(std::optional<Result>& value, Deadline deadline);

  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using difference_type = std::ptrdiff_t;
    using value_type = Result;
    explicit Iterator(Imap& source) : source_(&source), value_(source.next()) {}
    const Result& operator*() const { return *value_; }
    Iterator& operator++() {
      value_ = source_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t /*end*/) const { return !value_; }

   private:
    Imap* source_;
    std::optional<Result> value_;
  };
  Iterator begin() { return Iterator(*this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  using Items = std::vector<ChunkItem<TaskResult<F>>>;
  struct Chunk {
    std::shared_ptr<PoolJob> job;
    std::size_t elements;
  };
  // In the order in which they were finished. The jobs share it with this object.
  struct Arrivals {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<const PoolJob*> jobs;
  };

  void fill();
  std::vector<TaskArguments<F>> read_chunk();
  void submit(std::vector<TaskArguments<F>> elements);
  bool take_chunk(Deadline deadline);
  const PoolJob* first_arrival(Deadline deadline);
  void open(const Chunk& chunk);

  Pool* pool_;
  F function_;
  View view_;
  std::size_t chunk_;
  std::size_t most_;
  bool ordered_;
  std::optional<std::ranges::iterator_t<View>> at_ = {};
  bool at_end_ = false;
  std::exception_ptr input_error_ = nullptr;
  std::deque<Chunk> under_way_ = {};
  std::shared_ptr<Arrivals> arrivals_ = std::make_shared<Arrivals>();
  Items items_ = {};  // of the chunk that is being returned
  std::size_t next_item_ = 0;
  std::exception_ptr chunk_error_ = nullptr;  // in place of its items
  std::size_t failed_elements_ = 0;           // that are still to be told of it
};

template <class F, class View>
void Imap<F, View>::fill() {
  while (!at_end_ && under_way_.size() < most_) {
    std::vector<TaskArguments<F>> elements = read_chunk();
    if (elements.empty()) continue;
    try {
      submit(std::move(elements));
    } catch (const std::exception&) {
      if (input_error_ == nullptr) input_error_ = std::current_exception();
      at_end_ = true;
    }
  }
}

template <class F, class View>
std::vector<TaskArguments<F>> Imap<F, View>::read_chunk() {
  std::vector<TaskArguments<F>> elements;
  try {
    // Moved on only when the next one is wanted: an input may wait there.
    while (elements.size() < chunk_) {
      if (at_) {
        ++*at_;
      } else {
        at_ = std::ranges::begin(view_);
      }
      if (*at_ == std::ranges::end(view_)) {
        at_end_ = true;
        break;
      }
      elements.emplace_back(static_cast<TaskElement<F>>(**at_));
    }
  } catch (...) {
    input_error_ = std::current_exception();
    at_end_ = true;
  }
  return elements;
}

template <class F, class View>
bool Imap<F, View>::take_chunk(Deadline deadline) {
  auto chunk = under_way_.begin();
  if (ordered_) {
    if (!chunk->job->wait_until(deadline)) return false;
  } else {
    const PoolJob* const arrived = first_arrival(deadline);
    if (arrived == nullptr) return false;
    chunk = std::ranges::find_if(under_way_, [&](const Chunk& candidate) { return candidate.job.get() == arrived; });
  }
  const Chunk taken = *chunk;
  under_way_.erase(chunk);
  open(taken);
  return true;
}

template <class F, class View>
const PoolJob* Imap<F, View>::first_arrival(Deadline deadline) {
  std::unique_lock lock(arrivals_->mutex);
  while (arrivals_->jobs.empty()) {
    if (deadline.is_never()) {
      arrivals_->changed.wait(lock);
    } else if (deadline.has_passed()) {
      return nullptr;
    } else {
      (void)arrivals_->changed.wait_for(lock, deadline.left());
    }
  }
  const PoolJob* const first = arrivals_->jobs.front();
  arrivals_->jobs.pop_front();
  return first;
}

template <class F, class View>
void Imap<F, View>::open(const Chunk& chunk) {
  items_.clear();
  next_item_ = 0;
  try {
    const PoolOutcome& outcome = chunk.job->outcomes().front();
    outcome.check();
    items_ = decode<Items>(outcome.bytes);
  } catch (const std::exception&) {
    chunk_error_ = std::current_exception();
    failed_elements_ = chunk.elements;
  }
}

template <class F, class View>
Status Imap<F, View>::next_until(std::optional<Result>& value, Deadline deadline) {
  value.reset();
  while (next_item_ == items_.size() && failed_elements_ == 0) {
    fill();
    if (under_way_.empty()) {
      if (input_error_ != nullptr) std::rethrow_exception(std::exchange(input_error_, nullptr));
      return Status::kEof;
    }
    if (!take_chunk(deadline)) return Status::kTimeout;
  }
  if (failed_elements_ > 0) {
    --failed_elements_;
    std::rethrow_exception(chunk_error_);
  }
  ChunkItem<TaskResult<F>>& item = items_[next_item_++];
  if (const Failure* const failure = std::get_if<1>(&item)) rethrow_failure(*failure);
  value = std::get<0>(std::move(item));
  return Status::kOk;
}

}  // namespace crucible
