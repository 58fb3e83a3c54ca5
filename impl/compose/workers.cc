#include "compose/workers.h"

#include <pthread.h>

#include <chrono>
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
  std::thread([state = state_] { work(state); }).detach();
  ++state_->threads;
}

void Workers::work(const std::shared_ptr<State>& state) {
  pthread_setname_np(pthread_self(), "crucible-method");
  // Also when a job ends the thread.
  struct Leaving {
    const std::shared_ptr<State>& state;
    ~Leaving() {
      const std::lock_guard lock(state->mutex);
      --state->threads;
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
  const std::lock_guard lock(state_->mutex);
  state_->is_ending = true;
  state_->arrived.notify_all();
}

void Strand::run(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  if (std::exchange(is_busy_, true)) return;
  workers_.run([self = shared_from_this()] { self->go_on(); });
}

// One job, and then the others' turn: an object that is always called keeps no thread to itself.
void Strand::go_on() {
  std::function<void()> job;
  {
    const std::lock_guard lock(mutex_);
    job = std::move(jobs_.front());
    jobs_.pop_front();
  }
  struct Next {
    Strand& strand;
    ~Next() {  // also when the job ends the thread
      const std::lock_guard lock(strand.mutex_);
      strand.is_busy_ = !strand.jobs_.empty();
      if (strand.is_busy_) strand.workers_.run([self = strand.shared_from_this()] { self->go_on(); });
    }
  } const next{*this};
  job();
}

}  // namespace crucible
