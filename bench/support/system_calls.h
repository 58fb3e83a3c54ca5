// System calls per operation, counted one by one.
#pragma once

#include <functional>
#include <memory>

#include "support/case.h"

namespace crucible::bench {

/// Counts the system calls of all processes and threads of a side while it does its operations, in a pass of its own in
/// which they are traced (ptrace(2) of own children, which needs no privilege): every call stops its process, so that
/// nothing is timed here, and whoever decides by time whether to sleep may decide otherwise than when nobody looks.
/// What a block costs whatever its length is not counted. Throws UnsupportedCell where tracing is not permitted,
/// VerificationError when bytes are wrong.
Json count_system_calls(const std::function<std::unique_ptr<Side>()>& make, double messages_per_operation);

}  // namespace crucible::bench
