// The worker's side of a composed pool.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "api/connection.h"
#include "compose/pool_wire.h"

namespace crucible {

/// Does what the owner at the other end of `owner` asks until that wants no more; the worker's exit code. `claims` are
/// this worker's; `initializer` may be empty.
int serve_pool(Connection& owner, std::uint64_t id, pool_wire::Claims& claims,
               const std::function<void()>& initializer);

}  // namespace crucible
