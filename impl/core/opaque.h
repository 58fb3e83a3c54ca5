// What the compiler must not know.
#pragma once

#include <cstddef>

namespace crucible {

/// `length`, of which the compiler knows no bound: for short copies with a known bound GCC writes `rep movs`, which
/// takes longer to begin than the library's memcpy takes for the whole.
inline std::size_t opaque(std::size_t length) noexcept {
  asm("" : "+r"(length));
  return length;
}

}  // namespace crucible
