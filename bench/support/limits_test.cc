// That the limits move what they are said to move, are paired as they should be, and are believed no more than a
// mechanism is.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "limits/choice.h"
#include "limits/memory_copy.h"
#include "limits/pairing.h"
#include "support/transfer.h"

namespace crucible::bench {
namespace {

constexpr std::uint64_t kBlock = 200;

template <class Way>
class LineLimit : public testing::Test {};
using Ways = testing::Types<Pausing, Yielding, Sleeping>;
TYPED_TEST_SUITE(LineLimit, Ways);

TYPED_TEST(LineLimit, MovesMessagesThatFitALineAndLongerOnes) {
  for (const std::size_t bytes : {8U, 48U, 49U, 10'001U}) {
    RoundTrip<Line<TypeParam>> side(Line<TypeParam>::make({.buffer_bytes = bytes}), bytes, {});
    EXPECT_EQ(side.run(kBlock).latencies.size(), kBlock) << bytes;
    EXPECT_GT(side.run(kBlock).elapsed_ns, 0) << bytes;
  }
}

/// Its thirtieth message is another one.
template <class Way>
struct FlippingLine : Line<Way> {
  static Link<FlippingLine> link() {
    auto [here, there, fairness] = Line<Way>::make({.buffer_bytes = 48});
    return {{std::move(here)}, {std::move(there)}, std::move(fairness)};
  }
  void send(ByteView message) {
    std::vector<std::byte> copy(message.begin(), message.end());
    if (++this->count == 30) copy[9] ^= std::byte{1};
    Line<Way>::send(copy);
  }
  int count = 0;
};

// The worker, which sees it, has no way to say so through a line: the parent must not wait for ever.
TYPED_TEST(LineLimit, AWorkerThatSawWrongBytesIsAnErrorAndNoHang) {
  RoundTrip<FlippingLine<TypeParam>> side(FlippingLine<TypeParam>::link(), 48, {});
  EXPECT_THROW((void)side.run(kBlock), VerificationError);
}

TEST(RingLimit, MovesWords) {
  for (const RawSetting& setting : RingU64::settings(8, 0)) {
    OneWay<RingU64> side(RingU64::make(setting), 8, {});
    EXPECT_GT(side.run(Side::kMostOperations).elapsed_ns, 0) << setting.buffer_bytes;
  }
}

TEST(RingLimit, MovesMessagesOfAnyLength) {
  for (const std::size_t bytes : {9U, 1024U, 100'003U, 5U << 20U}) {
    for (const RawSetting& setting : RingCopy::settings(bytes, 0)) {
      OneWay<RingCopy> side(RingCopy::make(setting), bytes, {});
      EXPECT_GT(side.run(40).elapsed_ns, 0) << bytes << " in " << setting.buffer_bytes;
    }
  }
}

/// Loses its thirtieth message, and sends another twice, so that the number is right.
template <class Ring>
struct DroppingRing : Ring {
  static Link<DroppingRing> link() {
    auto [here, there, fairness] = Ring::make({.buffer_bytes = 256U << 10U, .chunk_bytes = 8});
    return {{std::move(here)}, {std::move(there)}, std::move(fairness)};
  }
  void send(ByteView message) {
    if (++this->count != 30) Ring::send(message);
    if (this->count == 100) Ring::send(message);
  }
  int count = 0;
};

TEST(RingLimit, ARingThatDropsIsCaught) {
  OneWay<DroppingRing<RingU64>> words(DroppingRing<RingU64>::link(), 8, {});
  EXPECT_THROW((void)words.run(kBlock), VerificationError);
  OneWay<DroppingRing<RingCopy>> copies(DroppingRing<RingCopy>::link(), 8, {});
  EXPECT_THROW((void)copies.run(kBlock), VerificationError);
}

TEST(RingLimit, AReaderThatIsGoneIsAnErrorAndNoHang) {
  const RingMemory ring(4096);
  EXPECT_THROW((void)await_index(
                   ring.indices[0].tail, [](std::uint64_t) { return false; }, std::chrono::milliseconds(10)),
               std::runtime_error);
}

TEST(MemoryCopyLimit, Copies) {
  for (const auto caches : {MemoryCopy::Caches::kHot, MemoryCopy::Caches::kCold}) {
    MemoryCopy side(16U << 20U, caches);
    EXPECT_GT(side.run(20).elapsed_ns, 0);  // more than there are slots
  }
}

TEST(Pairing, TransportsHaveOneLimit) {
  for (const Placement placement : kPlacements) {
    EXPECT_EQ(limits_for("pipe_raw", Traffic::kRoundTrip, {}, placement, 64),
              std::vector<std::string_view>{"pipe_raw"});
    EXPECT_EQ(limits_for("tcp_raw", Traffic::kOneWay, {}, placement, 8), std::vector<std::string_view>{"tcp_raw"});
  }
}

TEST(Pairing, ARoundTripInSharedMemoryIsPairedByStrategyAndPlacement) {
  using Names = std::vector<std::string_view>;
  const auto paired = [](WaitStrategy wait, Placement placement) {
    return limits_for("shared_memory", Traffic::kRoundTrip, wait, placement, 48);
  };
  for (const Placement placement : kPlacements) {
    EXPECT_EQ(paired(WaitStrategy::kBlock, placement), Names{"futex_round_trip"});
  }
  for (const WaitStrategy wait : {WaitStrategy::kSpin, WaitStrategy::kAdaptive}) {
    EXPECT_EQ(paired(wait, Placement::kCross), Names{"line_round_trip"});
    EXPECT_EQ(paired(wait, Placement::kSame), Names{"yield_round_trip"});
    EXPECT_EQ(paired(wait, Placement::kFree), (Names{"line_round_trip", "yield_round_trip"}));
  }
}

TEST(Pairing, AStreamInSharedMemoryIsPairedBySize) {
  for (const WaitStrategy wait : {WaitStrategy::kSpin, WaitStrategy::kAdaptive, WaitStrategy::kBlock}) {
    const auto paired = [wait](std::size_t bytes) {
      return limits_for("shared_memory", Traffic::kOneWay, wait, Placement::kCross, bytes).front();
    };
    EXPECT_EQ(paired(8), "ring_u64");
    EXPECT_EQ(paired(1024), "ring_copy");
    EXPECT_EQ(paired(16U << 20U), "ring_copy");
  }
}

TEST(Pairing, AllNamedLimitsExist) {
  for (const Traffic traffic : {Traffic::kRoundTrip, Traffic::kOneWay}) {
    const std::vector<NamedLimit> known = known_limits<RoundTrip>(traffic);
    for (const Placement placement : kPlacements) {
      for (const WaitStrategy wait : {WaitStrategy::kSpin, WaitStrategy::kAdaptive, WaitStrategy::kBlock}) {
        for (const std::string_view name : limits_for("shared_memory", traffic, wait, placement, 64)) {
          EXPECT_NE(std::ranges::find(known, name, &NamedLimit::name), known.end()) << name;
        }
      }
    }
  }
  const LimitOrder order = {.bytes = 64, .cpus = {}, .subject_buffer = 0};
  EXPECT_THROW((void)fastest_limit<RoundTrip>({"no_such"}, Traffic::kRoundTrip, order), std::invalid_argument);
  EXPECT_EQ(fastest_limit<RoundTrip>({"futex_round_trip"}, Traffic::kRoundTrip, order).first, "futex_round_trip");
}

}  // namespace
}  // namespace crucible::bench
