// Workloads that compare CPU time, and crowds.
#include "support/quiet.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "limits/futex_pair.h"
#include "limits/socket_door.h"
#include "limits/unix_raw.h"
#include "support/case.h"
#include "support/crowd.h"

namespace crucible::bench {
namespace {

/// A receiver that looks all the time instead of sleeping.
struct RestlessPair : FutexPair {
  static Link<RestlessPair> link() {
    auto [here, there, fairness] = FutexPair::make();
    return {{std::move(here)}, {std::move(there)}, std::move(fairness)};
  }
  std::size_t receive(ByteSpan buffer) {
    while (lines[0].turn.load(std::memory_order_acquire) == count) sched_yield();
    return FutexPair::receive(buffer);
  }
};

TEST(Idle, ARestlessReceiverIsSeenAndASleepingOneCostsNothing) {
  IdleReceiver<FutexPair> sleeping(FutexPair::make(), 8, {});
  IdleReceiver<RestlessPair> restless(RestlessPair::link(), 8, {});
  constexpr std::uint64_t kBlock = 20;
  const std::int64_t slept = sleeping.run(kBlock).cpu_ns;
  const Block block = restless.run(kBlock);
  EXPECT_GE(block.elapsed_ns, static_cast<std::int64_t>(kBlock) * IdleReceiver<FutexPair>::kOperationNs);
  EXPECT_GT(block.cpu_ns, 0);
  EXPECT_LT(slept, block.cpu_ns);
}

/// The fifth message takes ten periods to receive.
struct StallingEnd : UnixRaw {
  static constexpr std::int64_t kStallNs = 10 * PacedStream<UnixRaw>::kPeriodNs;
  static Link<StallingEnd> link() {
    auto [here, there, fairness] = UnixRaw::make({.chunk_bytes = 64});
    return {{std::move(here)}, {std::move(there)}, std::move(fairness)};
  }
  std::size_t receive(ByteSpan buffer) {
    const std::size_t received = UnixRaw::receive(buffer);
    if (++count == 5) sleep_until(Deadline::now_ns() + kStallNs);
    return received;
  }
  int count = 0;
};

// One message comes before the schedule, so the fifth is the schedule's fourth.
TEST(Paced, MessagesBehindAStallAreLateAllTheSame) {
  PacedStream<StallingEnd> side(StallingEnd::link(), 48, {});
  const Block block = side.run(20);
  ASSERT_EQ(block.latencies.size(), 20U);
  EXPECT_GE(block.latencies[3], StallingEnd::kStallNs);
  for (std::size_t behind = 1; behind < 9; ++behind) {
    const std::int64_t due_later = static_cast<std::int64_t>(behind) * PacedStream<UnixRaw>::kPeriodNs;
    EXPECT_GE(block.latencies[3 + behind], StallingEnd::kStallNs - due_later) << behind;
  }
}

TEST(Paced, CountsTheCpuTimeOfBothAndKeepsTheSchedule) {
  PacedStream<FutexPair> side(FutexPair::make(), 48, {});
  const Block block = side.run(30);
  EXPECT_GE(block.elapsed_ns, 30 * PacedStream<FutexPair>::kPeriodNs);
  EXPECT_GT(block.cpu_ns, 0);
  EXPECT_GE(*std::min_element(block.latencies.begin(), block.latencies.end()), 0);
}

TEST(Paced, RecordsSharesAndRates) {
  Case cell;
  cell.measure = Measure::kPaced;
  cell.offered_per_s = 1000;
  Tally tally;
  for (int i = 0; i < 2; ++i) tally.add({.elapsed_ns = 40'000'000, .usage = {}, .cpu_ns = 400'000, .latencies = {}});
  const Json figures = metrics(cell, tally, 20);
  EXPECT_DOUBLE_EQ(figures["cpu_percent"].get<double>(), 1.0);
  EXPECT_DOUBLE_EQ(figures["offered_per_s"].get<double>(), 1000);
  EXPECT_DOUBLE_EQ(figures["achieved_per_s"].get<double>(), 500);
}

class CrowdOver : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Sockets, CrowdOver, testing::Bool(),
                         [](const auto& instance) { return instance.param ? "tcp" : "unix"; });

TEST_P(CrowdOver, GuestsAreAllAnswered) {
  Crowd<SocketGuests> side(SocketGuests(GetParam(), 64), 3, {});
  const Block block = side.run(50);
  EXPECT_EQ(block.latencies.size(), 150U);
  EXPECT_GT(*std::min_element(block.latencies.begin(), block.latencies.end()), 0);
  EXPECT_EQ(side.run(10).latencies.size(), 30U);
}

TEST_P(CrowdOver, VisitorsComeAndGo) {
  Crowd<SocketVisits> side(SocketVisits(GetParam(), 8), 3, {});
  EXPECT_EQ(side.run(20).latencies.size(), 60U);
}

/// Answers the fifth visitor with a message of another number.
struct LyingDoor : SocketVisits {
  using SocketVisits::SocketVisits;
  void serve(std::uint64_t operations) {
    for (std::uint64_t i = 0; i < operations; ++i) {
      const Fd visitor = accept();
      std::array<std::uint64_t, 1> message{};
      ASSERT_EQ(::recv(visitor.get(), message.data(), sizeof message, MSG_WAITALL), std::ssize(message) * 8);
      if (++served == 5) ++message[0];
      ASSERT_EQ(::send(visitor.get(), message.data(), sizeof message, MSG_NOSIGNAL), std::ssize(message) * 8);
    }
  }
  int served = 0;
};

TEST(Crowd, AWrongAnswerFailsTheRun) {
  Crowd<LyingDoor> side(LyingDoor(false, 8), 1, {});
  EXPECT_THROW((void)side.run(20), VerificationError);
}

TEST(Crowd, SamplesAreOfAllClients) {
  Case cell;
  cell.measure = Measure::kLoad;
  cell.messages_per_operation = 20;
  cell.samples_per_operation = 10;
  Tally tally;
  tally.add({.elapsed_ns = 1'000'000, .usage = {}, .latencies = {}});
  const Json figures = metrics(cell, tally, 5);
  EXPECT_EQ(figures["samples"], 50U);
  EXPECT_DOUBLE_EQ(figures["messages_per_s"].get<double>(), 100'000);
}

}  // namespace
}  // namespace crucible::bench
