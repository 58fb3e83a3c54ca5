// The harness's own share is far below every mechanism's.
#include "support/null_trip.h"

#include <gtest/gtest.h>

#include <algorithm>
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

// Two cache lines are the fastest that two processes can have, hundreds of nanoseconds; a slow machine takes longer for
// both.
TEST(NullTripTiming, IsFarBelowTheFastestRoundTrip) {
  Cpus cpus;
  try {
    cpus = cpus_for(Placement::kCross);
  } catch (const UnsupportedCell& reason) {
    GTEST_SKIP() << reason.what();
  }
  NullTrip null(48, cpus);
  RoundTrip<Line<Pausing>> line(Line<Pausing>::make({.buffer_bytes = 48}), 48, cpus);
  EXPECT_LT(3 * warm_up(null), warm_up(line));
}

}  // namespace
}  // namespace crucible::bench
