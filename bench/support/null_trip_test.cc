// The harness's own share is far below every mechanism's.
#include "support/null_trip.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "limits/line.h"
#include "support/duel.h"
#include "support/placement.h"

namespace crucible::bench {
namespace {

TEST(NullTrip, TimesEachOfItsOperations) {
  NullTrip side(64, {});
  const Block block = side.run(1000);
  EXPECT_EQ(block.latencies.size(), 1000U);
  EXPECT_GT(block.elapsed_ns, 0);
}

// Two cache lines are the fastest that two processes can have: about a hundred nanoseconds at best; a slow machine
// takes longer for both, and a busy one for whichever it interrupts.
TEST(NullTripTiming, IsFarBelowTheFastestRoundTrip) {
  Cpus cpus;
  try {
    cpus = cpus_for(Placement::kCross);
  } catch (const UnsupportedCell& reason) {
    GTEST_SKIP() << reason.what();
  }
  NullTrip null(48, cpus);
  RoundTrip<Line<Pausing>> line(Line<Pausing>::make({.buffer_bytes = 48}), 48, cpus);
  std::array<double, 5> without;
  std::ranges::generate(without, [&] { return warm_up(null); });
  EXPECT_LT(2 * std::ranges::min(without), warm_up(line));
}

}  // namespace
}  // namespace crucible::bench
