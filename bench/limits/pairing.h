// Which limits a cell is measured against.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "support/placement.h"
#include "support/subject.h"

namespace crucible::bench {

/// How messages follow one another.
enum class Traffic { kRoundTrip, kOneWay };

/// `family` is a mechanism's kLimit: the name of a raw loop, or "shared_memory", whose limit depends on how the cell
/// waits and where it runs. Where several are named, the fastest found there is the limit.
std::vector<std::string_view> limits_for(std::string_view family, Traffic traffic, Wait wait, Placement placement,
                                         std::size_t bytes);

}  // namespace crucible::bench
