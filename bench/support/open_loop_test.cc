// Load: what waits behind a stall is late, what is lost fails the run, and what is sustainable is found.
#include "support/open_loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "limits/unix_raw.h"
#include "support/placement.h"

namespace crucible::bench {
namespace {

constexpr std::size_t kBytes = 64;

/// Takes its time, for every message or for the fifth of each hundred only, or drops one.
struct SlowEnd : UnixRaw {
  struct Nature {
    std::int64_t service_ns = 0, stall_ns = 0;
    int drops = 0;
  };

  static Link<SlowEnd> link(const Nature& nature) {
    auto [here, there, fairness] = UnixRaw::make({.chunk_bytes = kBytes});
    return {SlowEnd(std::move(here), nature), SlowEnd(std::move(there), nature), std::move(fairness)};
  }
  SlowEnd(UnixRaw sound, const Nature& what) : UnixRaw(std::move(sound)), nature(what) {}

  void send(ByteView message) {
    if (++sent != nature.drops) UnixRaw::send(message);
  }
  std::size_t receive(ByteSpan buffer) {
    const std::size_t received = UnixRaw::receive(buffer);
    const std::int64_t until = Deadline::now_ns() + nature.service_ns + (++count == 5 ? nature.stall_ns : 0);
    while (Deadline::now_ns() < until) {
    }
    return received;
  }

  Nature nature;
  int sent = 0, count = 0;
};

TEST(Load, MessagesBehindAStallAreLateFromWhenTheyWereDue) {
  constexpr std::int64_t kStallNs = 20'000'000;
  constexpr std::int64_t kPeriodNs = 1'000'000;
  LoadStream<SlowEnd> stream(SlowEnd::link({.stall_ns = kStallNs}), kBytes, {});
  const Piece piece = stream.scheduled(kPeriodNs, 30);
  ASSERT_EQ(piece.latencies.size(), 30U);
  for (std::int64_t behind = 0; behind < 20; ++behind) {
    EXPECT_GE(piece.latencies[static_cast<std::size_t>(4 + behind)], kStallNs - behind * kPeriodNs) << behind;
  }
  EXPECT_GE(piece.elapsed_ns, 30 * kPeriodNs);
}

TEST(Load, OneInFlightWaitsForEach) {
  constexpr std::int64_t kServiceNs = 50'000;
  LoadStream<SlowEnd> stream(SlowEnd::link({.service_ns = kServiceNs}), kBytes, {});
  const Piece piece = stream.one_in_flight(100);
  ASSERT_EQ(piece.latencies.size(), 100U);
  EXPECT_GE(piece.elapsed_ns, 100 * kServiceNs);
  for (const std::int64_t latency : piece.latencies) EXPECT_GE(latency, kServiceNs);
}

TEST(Load, AMessageThatIsLostFailsTheRun) {
  LoadStream<SlowEnd> stream(SlowEnd::link({.drops = 50}), kBytes, {});
  EXPECT_THROW((void)stream.scheduled(10'000, 2000), VerificationError);
}

/// Serves one message at a time, as a queue with a fixed service time, without a clock's noise.
class Server : public Loadable {
 public:
  explicit Server(double service_ns) : service_ns_(service_ns) {}

  Piece scheduled(double period_ns, std::uint64_t messages) override {
    latencies_.clear();
    double free_at = 0;
    for (std::uint64_t i = 0; i < messages; ++i) {
      const double due = period_ns * static_cast<double>(i + 1);
      free_at = std::max(free_at, due) + service_ns_;
      latencies_.push_back(static_cast<std::int64_t>(free_at - due));
    }
    return {.elapsed_ns = static_cast<std::int64_t>(free_at), .latencies = latencies_};
  }
  Piece one_in_flight(std::uint64_t messages) override {
    latencies_.assign(messages, static_cast<std::int64_t>(service_ns_));
    return {.elapsed_ns = static_cast<std::int64_t>(service_ns_ * static_cast<double>(messages)),
            .latencies = latencies_};
  }
  nlohmann::json sheet() const override { return {{"made_up", true}}; }

 private:
  double service_ns_;
  std::vector<std::int64_t> latencies_;
};

TEST(Load, FindsTheHighestSustainableRateOfAKnownServer) {
  for (const double service_ns : {500.0, 20'000.0, 300'000.0}) {
    Server server(service_ns);
    const Json found = explore_load(server);
    EXPECT_NEAR(found["metrics"]["sustainable_per_s"].get<double>() * service_ns / 1e9, 1, 0.02) << service_ns;
    EXPECT_NEAR(found["closed_loop"]["messages_per_s"].get<double>() * service_ns / 1e9, 1, 0.02);
  }
}

TEST(Load, TheCurveAscendsAndSaysWhatWasAchieved) {
  constexpr double kServiceNs = 10'000;
  Server server(kServiceNs);
  const Json curve = explore_load(server)["load_curve"];
  double before = 0;
  for (const Json& step : curve) {
    const auto offered = step["offered_per_s"].get<double>();
    EXPECT_GT(offered, before);
    EXPECT_LE(step["achieved_per_s"].get<double>(), std::min(offered, 1e9 / kServiceNs) * 1.001);
    before = offered;
  }
  EXPECT_GT(before, 1e9 / kServiceNs);
  EXPECT_NEAR(curve.front()["latency_p50_ns"].get<double>(), kServiceNs, kServiceNs * 0.01);
  EXPECT_GT(curve.back()["latency_p50_ns"].get<double>(), 10 * kServiceNs);
}

// Whatever else the machine does can only lower what is found, and hardly does so thrice.
TEST(LoadTiming, FindsTheHighestSustainableRateOfAnEndThatTakesItsTime) {
  constexpr std::int64_t kServiceNs = 100'000;
  Cpus cpus;
  try {
    cpus = cpus_for(Placement::kCross);
  } catch (const UnsupportedCell& reason) {
    GTEST_SKIP() << reason.what();
  }
  const AffinityScope scope;
  pin(cpus->first);
  double best = 0;
  for (int attempt = 0; attempt < 3 && best < 0.9; ++attempt) {
    LoadStream<SlowEnd> stream(SlowEnd::link({.service_ns = kServiceNs}), kBytes, cpus);
    best = std::max(best, explore_load(stream)["metrics"].value("sustainable_per_s", 0.0) * kServiceNs / 1e9);
  }
  EXPECT_GE(best, 0.9);
  EXPECT_LE(best, 1.0);
}

}  // namespace
}  // namespace crucible::bench
