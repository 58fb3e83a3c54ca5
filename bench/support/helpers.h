// Processes that work for a side without being members of it, such as a broker.
#pragma once

#include <sys/types.h>

#include <vector>

#include "support/usage.h"

namespace crucible::bench {

/// Those that this process holds a pidfd of, by which a library knows the helpers that are nobody's children.
std::vector<pid_t> known_helpers();

/// What they have used until now; of one that has ended nothing.
Usage usage_of(const std::vector<pid_t>& helpers);

}  // namespace crucible::bench
