// Positions and slices of lists, as Python counts them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "api/object.h"

namespace crucible {

/// From the end if negative. Throws std::out_of_range.
std::size_t position(std::int64_t at, std::size_t size);
/// Those of a slice, in its order. Throws std::invalid_argument: a step of 0.
std::vector<std::size_t> slice_positions(std::size_t size, std::int64_t first, std::int64_t last, std::int64_t step);
/// Where a slice begins or ends: what lies outside is the end that is nearer.
std::size_t boundary(std::int64_t at, std::size_t size);
Object::List slice_of(const Object::List& items, std::int64_t first, std::int64_t last, std::int64_t step);

}  // namespace crucible
