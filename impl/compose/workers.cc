#include "compose/workers.h"

#include <pthread.h>

#include <chrono>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>

namespace crucible {
namespace {

constexpr std::chrono::seconds kIdleLife{5};

}  // namespace

void Workers::run(std::function<void()> job) {
  const std::lock_guard lock(state_->mutex);
  if (state_->is_ending) return;
  state_->jobs.push_back(std::move(job));
  if (state_->idle >= state_->jobs.size() || state_->threads >= kMostThreads) return state_->arrived.notify_one();
  try {
    std::thread([state = state_] { work(state); }).detach();
    ++state_->threads;
  } catch (const std::system_error&) {
    if (state_->threads > 0) return;  // one of them will do it
    state_->jobs.pop_back();
    throw;
  }
}

void Workers::work(const std::shared_ptr<State>& state) {
  pthread_setname_np(pthread_self(), "crucible-method");
  // Also when a job ends the thread.
  struct Leaving {
    const std::shared_ptr<State>& state;
    ~Leaving() {
      const std::lock_guard lock(state->mutex);
      --state->threads;
      state->left.notify_all();
    }
  } const leaving{state};
  for (;;) {
    std::function<void()> job;
    {
      std::unique_lock lock(state->mutex);
      ++state->idle;
      state->arrived.wait_for(lock, kIdleLife, [&state] { return state->is_ending || !state->jobs.empty(); });
      --state->idle;
      if (state->is_ending || state->jobs.empty()) return;
      job = std::move(state->jobs.front());
      state->jobs.pop_front();
    }
    job();
  }
}

void Workers::end() noexcept {
  std::unique_lock lock(state_->mutex);
  state_->is_ending = true;
  state_->arrived.notify_all();
  state_->left.wait(lock, [this] { return state_->threads == 0; });
}

void Strand::run(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  if (!is_busy_) workers_.run([self = shared_from_this()] { self->go_on(); });
  is_busy_ = true;
  jobs_.push_back(std::move(job));
}

void Strand::go_on() {
  // If a job ends the thread, the others are done on another.
  struct Rest {
    Strand& strand;
    ~Rest() {
      const std::lock_guard lock(strand.mutex_);
      strand.is_busy_ = false;
      if (strand.jobs_.empty()) return;
      try {
        strand.workers_.run([self = strand.shared_from_this()] { self->go_on(); });
        strand.is_busy_ = true;
      } catch (const std::exception&) {  // no thread to be had: they wait for the next call
      }
    }
  } const rest{*this};
  for (;;) {
    std::function<void()> job;
    {
      const std::lock_guard lock(mutex_);
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace crucible
