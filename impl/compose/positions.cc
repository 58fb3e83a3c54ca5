#include "compose/positions.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace crucible {

std::size_t position(std::int64_t at, std::size_t size) {
  const std::int64_t place = at < 0 ? at + static_cast<std::int64_t>(size) : at;
  if (place < 0 || place >= static_cast<std::int64_t>(size)) {
    throw std::out_of_range("position " + std::to_string(at) + " of " + std::to_string(size));
  }
  return static_cast<std::size_t>(place);
}

std::size_t boundary(std::int64_t at, std::size_t size) {
  const auto count = static_cast<std::int64_t>(size);
  return static_cast<std::size_t>(std::clamp(at < 0 && at >= -count ? at + count : at, std::int64_t{0}, count));
}

// Where one that goes backwards begins, or what it stops at: before the first there is -1.
static std::int64_t backward_boundary(std::int64_t at, std::size_t size) {
  const auto count = static_cast<std::int64_t>(size);
  if (at < 0) return at < -count ? -1 : at + count;
  return std::min(at, count - 1);
}

std::vector<std::size_t> slice_positions(std::size_t size, std::int64_t first, std::int64_t last, std::int64_t step) {
  if (step == 0) throw std::invalid_argument("a slice with step 0");
  std::vector<std::size_t> slice;
  if (step > 0) {
    const auto end = static_cast<std::int64_t>(boundary(last, size));
    for (auto at = static_cast<std::int64_t>(boundary(first, size)); at < end; at += step) {
      slice.push_back(static_cast<std::size_t>(at));
      if (step >= end - at) break;  // also where adding would overflow
    }
    return slice;
  }
  const std::int64_t end = backward_boundary(last, size);
  for (std::int64_t at = backward_boundary(first, size); at > end; at += step) {
    slice.push_back(static_cast<std::size_t>(at));
    if (step <= end - at) break;
  }
  return slice;
}

Object::List slice_of(const Object::List& items, std::int64_t first, std::int64_t last, std::int64_t step) {
  Object::List slice;
  for (const std::size_t at : slice_positions(items.size(), first, last, step)) slice.push_back(items[at]);
  return slice;
}

}  // namespace crucible
