#include "support/duel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "limits/unix_raw.h"
#include "support/case.h"
#include "support/transfer.h"

namespace crucible::bench {
namespace {

/// Takes a fixed time per operation and writes down when it ran.
class Scripted final : public Side {
 public:
  Scripted(std::int64_t pace_ns, char name, std::string& diary) : pace_ns_(pace_ns), name_(name), diary_(diary) {}

  Block run(std::uint64_t operations) override {
    diary_ += name_;
    latencies_.assign(operations, pace_ns_);
    return {.elapsed_ns = pace_ns_ * static_cast<std::int64_t>(operations),
            .usage = {.user_us = 3, .system_us = 4, .context_switches = 5},
            .latencies = latencies_};
  }
  nlohmann::json fairness() const override { return {{"pace_ns", pace_ns_}}; }

 private:
  std::int64_t pace_ns_;
  char name_;
  std::string& diary_;
  std::vector<std::int64_t> latencies_;
};

Duel scripted_duel(std::int64_t subject_ns, std::int64_t limit_ns, std::string& diary,
                   Pairing pairing = Pairing::kSameWork) {
  return {std::make_unique<Scripted>(subject_ns, 's', diary),
          std::make_unique<Scripted>(limit_ns, 'l', diary),
          {},
          pairing};
}

TEST(Duel, EveryBlockOfTheSubjectIsPairedWithOneOfTheLimit) {
  std::string diary;
  Duel duel = scripted_duel(3000, 2000, diary);
  diary.clear();
  Outcome outcome;
  EXPECT_EQ(duel.run_pairs(100, outcome), 100 * 3000 * static_cast<std::int64_t>(duel.operations()));
  ASSERT_EQ(outcome.order.size(), 100U);
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(diary.substr(2 * i, 2), outcome.order[i] == 0 ? "sl" : "ls") << "pair " << i;
  }
  EXPECT_NEAR(static_cast<double>(std::count(outcome.order.begin(), outcome.order.end(), 0)), 50, 25);
  EXPECT_EQ(outcome.total_operations(), 100 * duel.operations());
  EXPECT_DOUBLE_EQ(outcome.median_ratio(), 1.5);
}

TEST(Duel, UsageIsCountedPerSide) {
  std::string diary;
  Duel duel = scripted_duel(3000, 2000, diary);
  Outcome outcome;
  duel.run_pairs(20, outcome);
  EXPECT_EQ(outcome.subject.usage.user_us, 60);
  EXPECT_EQ(outcome.limit.usage.system_us, 80);
  EXPECT_EQ(outcome.limit.usage.context_switches, 100);
}

TEST(Duel, BlocksLastATenthToOneMillisecondOrTwentyOperations) {
  std::string diary;
  for (const std::int64_t pace : {100, 2000, 40'000}) {
    Duel duel = scripted_duel(pace, pace / 2, diary);
    const auto block_ns = static_cast<std::int64_t>(duel.operations()) * pace;
    EXPECT_GE(block_ns, 100'000) << pace;
    EXPECT_LE(block_ns, 1'000'000) << pace;
  }
  EXPECT_EQ(scripted_duel(1'000'000, 1'000'000, diary).operations(), 20U);
}

TEST(Duel, BothSidesDoTheSameInABlockOrWhatTheyCanInTheSameTime) {
  std::string diary;
  const Duel together = scripted_duel(100, 400'000, diary);
  EXPECT_EQ(together.operations(), 20U);
  EXPECT_EQ(together.limit_operations(), 20U);
  Duel apart = scripted_duel(100, 400'000, diary, Pairing::kSameTime);
  EXPECT_EQ(apart.operations(), 8000U);
  EXPECT_EQ(apart.limit_operations(), 20U);
  Outcome outcome;
  apart.run_pairs(20, outcome);
  EXPECT_EQ(outcome.subject.block_ns[0], 800'000);
  EXPECT_EQ(outcome.limit.block_ns[0], 8'000'000);
  EXPECT_DOUBLE_EQ(outcome.median_ratio(), 100 / 400e3);
}

/// Wants longer blocks and may do more in one.
class Crowded final : public Side {
 public:
  Block run(std::uint64_t operations) override {
    return {.elapsed_ns = 100 * static_cast<std::int64_t>(operations), .usage = {}, .latencies = {}};
  }
  std::uint64_t most_operations() const override { return 150'000; }
  std::int64_t block_ns() const override { return 20'000'000; }
  nlohmann::json fairness() const override { return {}; }
};

TEST(Duel, ASideMayAskForLongerBlocks) {
  std::string diary;
  const Duel duel(std::make_unique<Crowded>(), std::make_unique<Scripted>(4000, 'l', diary), {}, Pairing::kSameTime);
  EXPECT_EQ(duel.operations(), 150'000U);
  EXPECT_EQ(duel.limit_operations(), 5'000U);
  EXPECT_EQ(Duel(std::make_unique<Scripted>(4000, 's', diary), std::make_unique<Crowded>()).operations(), 5'000U);
}

TEST(Duel, TheFastestSettingBecomesTheLimit) {
  std::string diary;
  std::vector<std::function<std::unique_ptr<Side>()>> candidates;
  for (const std::int64_t pace : {900, 300, 700}) {
    candidates.emplace_back([pace, &diary] { return std::make_unique<Scripted>(pace, 'c', diary); });
  }
  const Fastest found = fastest(candidates);
  EXPECT_EQ(found.side->fairness()["pace_ns"], 300);
  EXPECT_EQ(found.index, 1U);
}

// The harness against itself: whatever is not 1 here is an error in every ratio.
TEST(DuelTiming, ALimitAgainstItselfIsNearOne) {
  const AffinityScope scope;
  const Cpus cpus = cpus_for(Placement::kSame);
  pin(cpus->first);
  const auto side = [&] { return std::make_unique<RoundTrip<UnixRaw>>(UnixRaw::make({.chunk_bytes = 64}), 64, cpus); };
  Duel duel(side(), side());
  Outcome outcome;
  duel.run_pairs(200, outcome);
  EXPECT_NEAR(outcome.median_ratio(), 1.0, 0.1);
}

TEST(Record, HoldsWhatTheRatioIsRecomputedFrom) {
  std::string diary;
  Duel duel = scripted_duel(3000, 2000, diary);
  Outcome outcome;
  duel.run_pairs(20, outcome);
  Case cell;
  cell.primitive = "pipe";
  cell.workload = "round_trip";
  cell.name = "scripted";
  cell.bytes = 64;
  cell.messages_per_operation = 2;
  const Json line = record(cell, duel, std::nullopt, outcome);
  EXPECT_EQ(line["case"], "pipe/round_trip/scripted/64/free/kernel/direct/native");
  EXPECT_EQ(line["blocks"]["subject_ns"].size(), 20U);
  EXPECT_EQ(line["blocks"]["limit_ns"][0], 2000 * duel.limit_operations());
  EXPECT_EQ(line["blocks"]["limit_operations"], duel.limit_operations());
  EXPECT_NEAR(line["metrics"]["latency_p50_ns"].get<double>(), 3000, 30);
  EXPECT_DOUBLE_EQ(line["metrics"]["cpu_s_per_million"].get<double>(),
                   20 * 7.0 / (2.0 * static_cast<double>(outcome.total_operations())));
  EXPECT_EQ(line["fairness"]["limit"]["pace_ns"], 2000);
}

TEST(Record, RatesAreOfTheMedianBlock) {
  Case cell;
  cell.bytes = 64;
  cell.measure = Measure::kRate;
  Tally tally;
  for (const std::int64_t elapsed : {1000, 2000, 50'000})
    tally.add({.elapsed_ns = elapsed, .usage = {}, .latencies = {}});
  const Json figures = metrics(cell, tally, 10);
  EXPECT_DOUBLE_EQ(figures["messages_per_s"].get<double>(), 5e6);
  EXPECT_DOUBLE_EQ(figures["bytes_per_s"].get<double>(), 64 * 5e6);
  EXPECT_EQ(figures["samples"], 30U);
  EXPECT_FALSE(figures.contains("latency_p50_ns"));
}

}  // namespace
}  // namespace crucible::bench
