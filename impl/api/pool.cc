#include "api/pool.h"

#include <algorithm>
#include <limits>

namespace crucible {

bool Pool::finish(Status status, const char* operation) {
  if (status != Status::kOk && status != Status::kTimeout) throw_status(status, operation);
  return status == Status::kOk;
}

std::size_t Pool::checked(std::ptrdiff_t count, const char* what) {
  if (count < 1) throw BadArgument(std::string(what) + " is at least 1");
  return static_cast<std::size_t>(count);
}

std::size_t Pool::default_chunk(std::size_t elements) const noexcept {
  const std::size_t chunks = 4 * size();
  return std::max<std::size_t>(1, (elements + chunks - 1) / chunks);
}

void Pool::taken_or_throw(Status status) const {
  if (status == Status::kBroken) throw Broken(failure());
  if (status == Status::kBadArgument) throw BadArgument("workers that are no forks are given crucible::Functions only");
  (void)finish(status, "the pool was closed, or belongs to another process");
}

void Pool::submit_or_throw(std::span<PoolTask> tasks, const std::shared_ptr<PoolJob>& job) {
  taken_or_throw(submit(tasks, job));
}

PoolOutcome Pool::perform_or_throw(PoolTask& task) {
  PoolOutcome outcome;
  taken_or_throw(perform(task, outcome));
  return outcome;
}

void Pool::close() { (void)finish(close_pool(), "close"); }
void Pool::terminate() { (void)finish(terminate_pool(), "terminate"); }
void Pool::join() { (void)finish(join_until(Deadline::never()), "join"); }

}  // namespace crucible
