// Side: one of the two that are measured against each other, the subject or its limit.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <vector>

#include "support/usage.h"

namespace crucible::bench {

/// This cell cannot be measured; says why. It is reported, never left out or clipped.
class UnsupportedCell : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One block of operations.
struct Block {
  std::int64_t elapsed_ns = 0;
  Usage usage;              ///< of all processes of this side, the timed operations only
  std::int64_t cpu_ns = 0;  ///< the same exactly, where CPU time is what is compared
  std::span<const std::int64_t>
      latencies;  ///< per operation, or several; empty where a stream is timed as a whole; until the next block
  std::vector<std::uint64_t> shares =
      {};  ///< operations of each of those who compete for them; empty where nobody does
};

/// Between two blocks a side uses no CPU, so that it cannot disturb the other.
class Side {
 public:
  static constexpr std::uint64_t kMostOperations = 1U << 16U;
  static constexpr std::int64_t kBlockNs = 800'000;

  Side() = default;
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;
  virtual ~Side() = default;

  /// Times `operations` (1 to most_operations()) after one that is not timed. Throws VerificationError when bytes are
  /// wrong.
  virtual Block run(std::uint64_t operations) = 0;
  /// In a block of any length; of several clients each does so many.
  virtual std::uint64_t fewest_operations() const { return 20; }
  virtual std::uint64_t most_operations() const { return kMostOperations; }
  /// How long a block should be.
  virtual std::int64_t block_ns() const { return kBlockNs; }
  /// What a reader must know to judge whether the comparison is fair: buffers read back, copies, settings.
  virtual nlohmann::json fairness() const = 0;
};

}  // namespace crucible::bench
