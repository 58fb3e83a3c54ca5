#include <pthread.h>

#include <csignal>
#include <cstdio>
#include <utility>

#include "api/remote_error.h"
#include "compose/pool_board.h"
#include "core/gate.h"

namespace crucible {
namespace {

// close() of something that a callback waits for may still wake it.
void block_signals_but_ours() {
  sigset_t signals;
  sigfillset(&signals);
  sigdelset(&signals, wake_signal());
  pthread_sigmask(SIG_SETMASK, &signals, nullptr);
}

}  // namespace

void PoolCallbacks::complete(std::shared_ptr<PoolJob> job) {
  if (!job->has_callback()) {
    job->publish();
    return;
  }
  const std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  changed_.notify_all();
  if (thread_ == nullptr) thread_ = std::make_unique<std::thread>([this] { run(); });
}

void PoolCallbacks::run() {
  block_signals_but_ours();
  pthread_setname_np(pthread_self(), "crucible-calls");
  thread_id_ = std::this_thread::get_id();
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return finishing_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const std::shared_ptr<PoolJob> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    try {
      job->call_back();
    } catch (...) {
      const Failure failure = failure_now();
      std::fprintf(stderr, "crucible: a callback of a Pool threw %s: %s\n", failure.type.c_str(),
                   failure.message.c_str());
    }
    job->publish();
    lock.lock();
  }
}

void PoolCallbacks::finish() noexcept {
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
    changed_.notify_all();
  }
  if (thread_ != nullptr) thread_->join();
  thread_.reset();
}

}  // namespace crucible
