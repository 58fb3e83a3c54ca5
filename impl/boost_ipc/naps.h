// Boost's waits know no lifeline and no gate: they are cut into naps.
#pragma once

#include <algorithm>
#include <chrono>

#include "api/deadline.h"

namespace crucible::boost_ipc {

/// Long enough that its timer is rarely worth reprogramming the clock for.
inline constexpr std::chrono::nanoseconds kFirstNap = std::chrono::milliseconds(10);
inline constexpr std::chrono::nanoseconds kNap = std::chrono::milliseconds(50);

/// At most `most`, and not beyond the deadline.
inline std::chrono::nanoseconds nap(std::chrono::nanoseconds most, Deadline deadline) {
  return deadline.is_never() ? most : std::min(most, deadline.left());
}

}  // namespace crucible::boost_ipc
