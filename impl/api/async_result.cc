#include "api/async_result.h"

namespace crucible {

void PoolOutcome::check() const {
  switch (status) {
    case Status::kOk: return;
    case Status::kRemote: rethrow_failure(decode<Failure>(bytes));
    case Status::kWorkerLost: throw WorkerLost(text, exit_code);
    default: throw_status(status, text.c_str());
  }
}

bool PoolJob::wait_until(Deadline deadline) const {
  std::unique_lock lock(mutex_);
  while (!ready_) {
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

bool PoolJob::finish(std::size_t task, PoolOutcome outcome) {
  outcomes_[task] = std::move(outcome);
  return --left_ == 0;
}

void PoolJob::publish() noexcept {
  {
    const std::lock_guard lock(mutex_);
    ready_ = true;
  }
  changed_.notify_all();  // without the mutex, for which who wakes up would have to sleep again
  if (on_published) on_published();
}

}  // namespace crucible
