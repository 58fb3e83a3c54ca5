#include "core/rlock.h"

#include <cerrno>
#include <system_error>
#include <utility>

namespace crucible {

Status RLock::take(Deadline deadline, RobustMutex::AtDeath at_death) {
  State& state = this->state();
  if (state.lock.mutex.held()) {
    if (state.depth == kDeepest) throw std::system_error(EAGAIN, std::generic_category(), "RLock: levels");
    ++state.depth;
    return Status::kOk;
  }
  const Status status = state.lock.mutex.acquire(deadline, at_death);
  const bool taken = status == Status::kOk || (status == Status::kOwnerDied && at_death == RobustMutex::AtDeath::kTake);
  if (taken) state.depth = 1;
  return status;
}

void RLock::release() {
  State& state = this->state();
  if (!state.lock.mutex.held()) throw NotOwner("release");
  if (state.depth > 1) {
    --state.depth;
    return;
  }
  (void)state.lock.mutex.release();
}

std::uint32_t RLock::release_all() {
  State& state = this->state();
  if (!state.lock.mutex.held()) throw NotOwner("release_all");
  const std::uint32_t depth = std::exchange(state.depth, 1);
  (void)state.lock.mutex.release();
  return depth;
}

Status RLock::acquire_all(std::uint32_t depth, Deadline deadline) {
  if (depth == 0) throw BadArgument("acquire_all: depth 0");
  if (holds()) throw StateError("acquire_all: the caller holds it");
  const Status status = acquire(deadline);
  if (status != Status::kTimeout) state().depth = depth;
  return status;
}

}  // namespace crucible
