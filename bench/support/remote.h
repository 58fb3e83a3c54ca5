// Two hosts: one program serves, the other measures over a connection to it.
#pragma once

#include <string>
#include <vector>

#include "support/case.h"
#include "support/runner.h"

namespace crucible::bench {

/// Serves the workloads of remote_cases() at options.listen, one peer after another, until SIGTERM or SIGINT ends the
/// process. Says on stdout where. Throws what listening throws.
[[noreturn]] void serve_remote(const Options& options);

/// Round trips and streams to whoever serves at options.connect. There is no limit in the same run: no raw loop is at
/// the other end.
std::vector<Case> remote_cases(const Options& options);

}  // namespace crucible::bench
