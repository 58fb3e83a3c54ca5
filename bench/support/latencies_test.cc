#include "support/latencies.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "support/case.h"

namespace crucible::bench {
namespace {

std::vector<std::int64_t> one_to(std::int64_t last) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(last));
  std::iota(values.begin(), values.end(), 1);
  return values;
}

TEST(Latencies, PercentilesAreWithinOnePercent) {
  Latencies latencies;
  latencies.add(one_to(100'000));
  EXPECT_NEAR(latencies.percentile_ns(0.5).value(), 50'000, 500);
  EXPECT_NEAR(latencies.percentile_ns(0.9).value(), 90'000, 900);
  EXPECT_NEAR(latencies.percentile_ns(0.999).value(), 99'900, 999);
  EXPECT_EQ(latencies.max_ns(), 100'000);
  EXPECT_EQ(latencies.samples(), 100'000U);
}

TEST(Latencies, NoPercentileWithFewerThanTenSamplesBeyond) {
  Latencies latencies;
  latencies.add(one_to(999));
  EXPECT_TRUE(latencies.percentile_ns(0.9).has_value());
  EXPECT_FALSE(latencies.percentile_ns(0.99).has_value());
  latencies.add(one_to(1));
  EXPECT_TRUE(latencies.percentile_ns(0.99).has_value());
  EXPECT_FALSE(latencies.percentile_ns(0.999).has_value());
}

TEST(Spectrum, AscendsAndEndsWhereTenSamplesLieBeyond) {
  Latencies latencies;
  latencies.add(one_to(20'000));
  const Json found = spectrum(latencies);
  EXPECT_EQ(found["quantile"].get<std::vector<double>>(),
            (std::vector{0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995}));
  const auto values = found["latency_ns"].get<std::vector<std::int64_t>>();
  EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
  EXPECT_NEAR(static_cast<double>(values.back()), 19'990, 200);
  EXPECT_TRUE(spectrum(Latencies()).empty());
}

TEST(Latencies, NoneOfNoSamples) { EXPECT_FALSE(Latencies().percentile_ns(0.5).has_value()); }

TEST(Latencies, NoPercentileExceedsTheMaximum) {
  Latencies latencies;
  latencies.add(std::vector<std::int64_t>(100, 1000));
  EXPECT_LE(latencies.percentile_ns(0.9).value(), 1000);
  EXPECT_NEAR(latencies.percentile_ns(0.5).value(), 1000, 10);
}

TEST(Latencies, MergingIsAsAddingEverything) {
  Latencies low;
  Latencies high;
  Latencies all;
  low.add(one_to(50'000));
  std::vector<std::int64_t> upper = one_to(100'000);
  upper.erase(upper.begin(), upper.begin() + 50'000);
  high.add(upper);
  all.add(one_to(100'000));
  low.merge(high);
  EXPECT_EQ(low.samples(), all.samples());
  EXPECT_EQ(low.max_ns(), all.max_ns());
  for (const double quantile : {0.1, 0.5, 0.9, 0.99, 0.999}) {
    EXPECT_EQ(low.percentile_ns(quantile), all.percentile_ns(quantile)) << quantile;
  }
}

TEST(Latencies, SamplesOutsideTheBinsAreCounted) {
  Latencies latencies;
  latencies.add(std::vector<std::int64_t>(50, 0));
  latencies.add(std::vector<std::int64_t>(50, std::int64_t{1} << 62U));
  EXPECT_EQ(latencies.samples(), 100U);
  EXPECT_LE(latencies.percentile_ns(0.4).value(), 2);
  EXPECT_GE(latencies.percentile_ns(0.9).value(), 1e11);
}

}  // namespace
}  // namespace crucible::bench
