#include "core/lock.h"

#include <cstddef>

namespace crucible {
namespace detail {

SharedBlock block_with_mutex(std::size_t bytes) {
  RobustMutex::require_supported();
  return SharedBlock::allocate(bytes);
}

void require_released(Status status) {
  if (status != Status::kOk) throw_status(status, "release");
}

}  // namespace detail

Lock::Lock() : block_(detail::block_with_mutex(sizeof(RobustMutex))) {}
Lock::~Lock() { mutex().abandon(); }

}  // namespace crucible
