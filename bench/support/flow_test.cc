// Gangs: what several processes do together is complete, verified and timed, and nobody waits for a dead one.
#include "support/flow.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "limits/line.h"
#include "limits/queue_raw.h"
#include "limits/sync_raw.h"
#include "support/case.h"
#include "support/sync_plays.h"

namespace crucible::bench {
namespace {

constexpr std::uint64_t kBlock = 400;

template <class Raw>
class RawQueue : public testing::Test {
 protected:
  static std::unique_ptr<Side> side(Sides sides, std::size_t bytes, const RawSetting& setting) {
    return make_exchange(Raw::make(bytes, setting), sides, bytes, {}, {});
  }
};
using RawQueues = testing::Types<UnixQueueRaw, PipeQueueRaw, BoostQueueRaw>;
TYPED_TEST_SUITE(RawQueue, RawQueues);

TYPED_TEST(RawQueue, MovesEveryMessageOnceInEverySetting) {
  for (const std::size_t bytes : {8U, 4092U, 4093U, 200'000U}) {
    for (const RawSetting& setting : TypeParam::settings(bytes)) {
      const auto side = this->side({.producers = 2, .consumers = 2}, bytes, setting);
      for (int block = 0; block < 2; ++block) EXPECT_GT(side->run(40).elapsed_ns, 0) << bytes;
    }
  }
}

TYPED_TEST(RawQueue, SharesAreWhatFellToEachConsumer) {
  const auto side = this->side({.producers = 1, .consumers = 4}, 64, TypeParam::settings(64).front());
  const Block block = side->run(kBlock);
  ASSERT_EQ(block.shares.size(), 4U);
  EXPECT_EQ(block.shares[0] + block.shares[1] + block.shares[2] + block.shares[3], kBlock);
}

/// Fails as a queue may: the third message of the first producer is dropped, comes twice, or is another one.
enum class Fault { kDrops, kRepeats, kChanges };
struct FaultyQueue : UnixQueueRaw {
  FaultyQueue(UnixQueueRaw sound, Fault what) : UnixQueueRaw(std::move(sound)), fault(what) {}
  void put(ByteView message) {
    if (++count != 3 || Payload::sequence_of(message) >> 48U != 0) return UnixQueueRaw::put(message);
    if (fault == Fault::kDrops) return;
    std::array<std::byte, 64> copy{};
    std::memcpy(copy.data(), message.data(), copy.size());
    if (fault == Fault::kChanges) copy[20] ^= std::byte{1};
    UnixQueueRaw::put(copy);
    if (fault == Fault::kRepeats) UnixQueueRaw::put(copy);
  }
  Fault fault;
  int count = 0;
};

TEST(Exchange, FailsWhereAMessageIsLostRepeatedOrChanged) {
  for (const Fault fault : {Fault::kDrops, Fault::kRepeats, Fault::kChanges}) {
    const FaultyQueue queue(UnixQueueRaw::make(64, {.chunk_bytes = 64}), fault);
    const auto side = make_exchange(queue, {.producers = 2, .consumers = 2}, 64, {}, {});
    EXPECT_THROW((void)side->run(kBlock), VerificationError) << static_cast<int>(fault);
  }
}

/// Two messages of one producer are swapped.
struct SwappingQueue : UnixQueueRaw {
  explicit SwappingQueue(UnixQueueRaw sound) : UnixQueueRaw(std::move(sound)) {}
  void put(ByteView message) {
    if (++count == 5) {
      std::memcpy(held.data(), message.data(), held.size());
      return;
    }
    UnixQueueRaw::put(message);
    if (count == 6) UnixQueueRaw::put(held);
  }
  std::array<std::byte, 64> held{};
  int count = 0;
};

TEST(Exchange, FailsWhereTheOrderOfAProducerIsLost) {
  const auto side = make_exchange(SwappingQueue(UnixQueueRaw::make(64, {.chunk_bytes = 64})),
                                  {.producers = 1, .consumers = 1}, 64, {}, {});
  EXPECT_THROW((void)side->run(kBlock), VerificationError);
}

/// Gives what there is, several at a time.
struct BatchingQueue : UnixQueueRaw {
  static constexpr bool kBatches = true;
  explicit BatchingQueue(UnixQueueRaw sound) : UnixQueueRaw(std::move(sound)) {}
  void put_many(std::span<const ByteView> messages) {
    for (const ByteView message : messages) put(message);
  }
  template <class Use>
  void get_many(std::size_t most, Use use) {
    std::array<std::byte, 64> message{};
    for (std::size_t i = 0; i < most && i < 3; ++i) {
      if (i > 0 && recv(in->get(), message.data(), 1, MSG_PEEK | MSG_DONTWAIT) < 0) return;
      const std::size_t received = get(message);
      use(ByteView(message).first(received));
    }
  }
};

TEST(Exchange, ABatchMayHoldTheEndsOfOtherConsumers) {
  const auto side = make_exchange<BatchingQueue, 8>(BatchingQueue(UnixQueueRaw::make(64, {.chunk_bytes = 64})),
                                                    {.producers = 1, .consumers = 1}, 64, {}, {});
  for (int block = 0; block < 5; ++block) EXPECT_GT(side->run(kBlock).elapsed_ns, 0);
}

TEST(AskAndAnswer, TimesEachRoundTrip) {
  FlowRoundTrip<Line<Sleeping>> side(Line<Sleeping>::make({.buffer_bytes = 8}), 8, {});
  for (int block = 0; block < 2; ++block) EXPECT_EQ(side.run(kBlock).latencies.size(), kBlock);
}

template <class Play>
Block run_gang(Play play, std::size_t members, std::uint64_t operations) {
  Gang<Play> gang(std::move(play), members, {}, [](std::size_t) { return false; }, {});
  (void)gang.run(operations);
  return gang.run(operations);
}

TEST(HandOff, LocksGoRoundBetweenTwo) {
  const Block block = run_gang(HandOff(std::array{RobustThing(), RobustThing(), RobustThing()}), 2, kBlock);
  EXPECT_EQ(block.latencies.size(), kBlock);
}

TEST(Permits, GoThereAndBack) {
  EXPECT_EQ(run_gang(Permits(PosixSemaphoreThing(0), PosixSemaphoreThing(0)), 2, kBlock).latencies.size(), kBlock);
}

TEST(Contended, EveryOperationFallsToSomebody) {
  const Block block = run_gang(Contended(RobustThing()), 4, kBlock);
  ASSERT_EQ(block.shares.size(), 4U);
  EXPECT_EQ(block.shares[0] + block.shares[1] + block.shares[2] + block.shares[3], kBlock);
  EXPECT_EQ(block.latencies.size(), kBlock);
}

struct NoLock {
  unsigned calls = 0;
  // Not always: on two CPUs at full speed they soon meet, on one each has to be stopped at the wrong moment.
  void acquire() {
    if (++calls % 64 == 0) sched_yield();
  }
  void release() {}
};

TEST(Contended, NoticesThatTwoHeldItAtOnce) {
  Gang<Contended<NoLock>> gang(Contended<NoLock>(NoLock{}), 4, {}, [](std::size_t) { return false; }, {});
  const auto often = [&gang] {
    for (int block = 0; block < 2'000; ++block) (void)gang.run(20'000);
  };
  EXPECT_THROW(often(), VerificationError);
}

TEST(PingPong, TakesTurns) {
  EXPECT_EQ(run_gang(PingPong(ConditionThing<PosixCondition>()), 2, kBlock).latencies.size(), kBlock);
}

TEST(FanOut, AllSeeEveryEvent) {
  EXPECT_EQ(run_gang(FanOut(std::array<FutexEvent, 2>{}, 3), 4, kBlock).latencies.size(), kBlock);
}

/// Lets everybody through.
struct NoEvent {
  void set() {}
  void clear() {}
  void wait() { sched_yield(); }
};

TEST(FanOut, NoticesAnEventThatWasNotSet) {
  Gang<FanOut<NoEvent>> gang(FanOut(std::array<NoEvent, 2>{}, 3), 4, {}, [](std::size_t) { return false; }, {});
  const auto often = [&gang] {
    for (int block = 0; block < 50; ++block) (void)gang.run(20'000);
  };
  EXPECT_THROW(often(), VerificationError);
}

TEST(Meeting, NobodyPassesBeforeAllHaveCome) {
  EXPECT_EQ(run_gang(Meeting(FutexBarrier(4), 4), 4, kBlock).latencies.size(), kBlock);
}

struct NoBarrier {
  void wait() { sched_yield(); }
};

TEST(Meeting, NoticesABarrierThatLetsThrough) {
  EXPECT_THROW((void)run_gang(Meeting(NoBarrier(), 4), 4, 20'000), VerificationError);
}

TEST(FairnessIndex, IsOneIfAllHaveTheSame) {
  EXPECT_DOUBLE_EQ(fairness_index({5, 5, 5, 5}), 1);
  EXPECT_DOUBLE_EQ(fairness_index({20, 0, 0, 0}), 0.25);
  EXPECT_DOUBLE_EQ(fairness_index({}), 1);
}

}  // namespace
}  // namespace crucible::bench
