// What can be chosen for a bare loop. The best choice for a message size is found by measuring, never by argument.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>

namespace crucible::bench {

struct RawSetting {
  std::size_t buffer_bytes = 0;  ///< to ask the kernel for; 0: as it comes
  std::size_t chunk_bytes = 0;   ///< most in one system call
  bool stream = false;           ///< a byte stream where packets are the alternative
};

}  // namespace crucible::bench
