#include "core/lock.h"

#include "core/liveness.h"

namespace crucible::detail {

SharedBlock make_owned_lock(std::size_t bytes) {
  RobustMutex::require_supported();
  return SharedBlock::allocate(bytes);
}

SharedBlock create_owned_lock(const std::string& name, SharedBlock::Kind kind, std::size_t bytes) {
  RobustMutex::require_supported();
  return SharedBlock::create(name, kind, bytes,
                             [](SharedBlock& block) { block.as<OwnedLockState>().pids = pid_namespace(); });
}

SharedBlock open_owned_lock(const std::string& name, SharedBlock::Kind kind) {
  RobustMutex::require_supported();
  SharedBlock block = SharedBlock::open(name, kind);
  if (block.as<OwnedLockState>().pids != pid_namespace()) {
    throw Unsupported("open: the lock was created in another pid namespace, where its owners cannot be told apart");
  }
  return block;
}

void require_released(Status status) {
  if (status != Status::kOk) throw_status(status, "release");
}

}  // namespace crucible::detail
