// What objects hold as long as they are there: memory, descriptors, processes.
#pragma once

#include <cstdint>
#include <functional>

#include "support/case.h"

namespace crucible::bench {

struct Footprint {
  std::int64_t bytes = 0;  ///< proportional set size: what several processes share is counted once
  std::int64_t descriptors = 0, processes = 0;

  /// Of the calling process, the helpers it knows and all that descend from these.
  static Footprint here();
};

/// `hold(count, look)` makes that many objects, uses each once and calls look() while they are there; it runs in a
/// process of its own. What 33 hold more than one, by 32, so that what one program needs but once is not counted.
/// Shared memory counts once a process has touched it. Not seen: what the kernel holds itself, as the buffers of
/// sockets and pipes, page tables and process structures.
Json study_footprint(const std::function<void(int count, const std::function<void()>& look)>& hold);

}  // namespace crucible::bench
