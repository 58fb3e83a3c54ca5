// Duel: subject and limit in many short blocks, alternating in random order, so that whatever the machine does meets
// both.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "support/latencies.h"
#include "support/side.h"
#include "support/usage.h"

namespace crucible::bench {

/// What of two blocks is compared.
enum class Quantity { kTime, kCpu };

/// Everything that one side's blocks gave.
struct Tally {
  std::vector<std::int64_t> block_ns;
  std::vector<std::int64_t> cpu_ns;
  Usage usage;
  Latencies latencies;
  std::vector<std::uint64_t> shares;

  void add(const Block& block);
  const std::vector<std::int64_t>& of(Quantity quantity) const noexcept {
    return quantity == Quantity::kTime ? block_ns : cpu_ns;
  }
};

struct Outcome {
  std::uint64_t operations = 0;        ///< in each block of the subject's
  std::uint64_t limit_operations = 0;  ///< in each of the limit's
  Tally subject, limit;
  std::vector<int> order;  ///< per pair: 0 if the subject's block came first, 1 if the limit's did; empty without limit

  std::uint64_t total_operations() const noexcept { return operations * subject.block_ns.size(); }
  /// Median over the pairs of what an operation took in the subject's block / in the limit's.
  double median_ratio(Quantity quantity = Quantity::kTime) const;
};

/// What the two sides of a pair of blocks have in common. Beside another library, whose pace has nothing to do with
/// ours, the same work would be over in an instant for one of them.
enum class Pairing { kSameWork, kSameTime };

class Duel {
 public:
  static constexpr std::uint64_t kSeed = 20261122;

  /// Warms both sides up and settles the length of the blocks: what either side asks for (Side::block_ns), but at least
  /// 20 operations; with kSameWork by the slower one's pace. Without a limit the subject runs alone.
  Duel(std::unique_ptr<Side> subject, std::unique_ptr<Side> limit, std::string limit_name = {},
       Pairing pairing = Pairing::kSameWork);

  std::uint64_t operations() const noexcept { return operations_; }
  std::uint64_t limit_operations() const noexcept { return limit_operations_; }
  const Side& subject() const noexcept { return *subject_; }
  const Side* limit() const noexcept { return limit_.get(); }
  /// Where the limit was chosen among several; empty: it is the case's.
  const std::string& limit_name() const noexcept { return limit_name_; }
  /// Runs `count` pairs of blocks into `outcome`; the nanoseconds of the subject's.
  std::int64_t run_pairs(int count, Outcome& outcome);

 private:
  std::unique_ptr<Side> subject_;
  std::unique_ptr<Side> limit_;
  std::string limit_name_;
  std::uint64_t operations_;
  std::uint64_t limit_operations_ = 0;
  std::mt19937_64 random_{kSeed};
};

/// Runs `side` until its pace is steady; nanoseconds per operation.
double warm_up(Side& side);
/// In blocks of up to so many nanoseconds.
double warm_up(Side& side, std::int64_t block_ns);

/// The fastest of several ways to do the same: a limit must not be slow for want of a better setting.
struct Fastest {
  std::unique_ptr<Side> side;
  std::size_t index;
};
Fastest fastest(std::span<const std::function<std::unique_ptr<Side>()>> candidates);

double median(std::vector<double> values);

}  // namespace crucible::bench
