// What the tests of shared memory have in common.
#pragma once

#include <sys/random.h>

#include <cstdint>
#include <string>

#include "conformance/support/fixture.h"
#include "core/shared_block.h"

namespace crucible::testing {

/// What the suites' names hide.
using Block = crucible::SharedBlock;

/// A name that no other test uses, nor another run of this one.
inline std::string fresh_name() {
  std::uint64_t random = 0;
  (void)!::getrandom(&random, sizeof random, 0);
  return "test-" + std::to_string(::getpid()) + "-" + std::to_string(random);
}

inline constexpr Block::Kind kTestKind = {"test", 1};

/// Where the named object lies, as ls(1) shows it.
inline std::string folder_of(const std::string& name) { return "/dev/shm/crucible." + name; }

}  // namespace crucible::testing
