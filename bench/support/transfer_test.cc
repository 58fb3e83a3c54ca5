// That the numbers cannot be right when the bytes are wrong.
#include "support/transfer.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "limits/pipe_raw.h"
#include "limits/unix_raw.h"
#include "support/case.h"
#include "support/runner.h"

namespace crucible::bench {
namespace {

constexpr std::size_t kBytes = 10'001;
constexpr std::uint64_t kFaulty = 30;

TEST(Payload, AcceptsExactlyItsMessage) {
  for (const std::size_t bytes : {8UL, 9UL, 64UL, 4096UL, 4104UL, kBytes}) {
    const Payload payload(bytes);
    const Buffer buffer(bytes);
    payload.fill(buffer.span());
    payload.stamp(buffer.span(), 7);
    EXPECT_NO_THROW(payload.verify(buffer.span(), bytes, 7)) << bytes;
    EXPECT_THROW(payload.verify(buffer.span(), bytes, 8), VerificationError) << bytes;
    EXPECT_THROW(payload.verify(buffer.span(), bytes - 1, 7), VerificationError) << bytes;
    EXPECT_THROW(payload.verify(buffer.span(), bytes + 1, 7), VerificationError) << bytes;
  }
}

TEST(Payload, NoticesEveryWrongByte) {
  const Payload payload(kBytes);
  const Buffer buffer(kBytes);
  payload.fill(buffer.span());
  payload.stamp(buffer.span(), 7);
  for (std::size_t i = 0; i < kBytes; ++i) {
    buffer.span()[i] ^= std::byte{1};
    EXPECT_THROW(payload.verify(buffer.span(), kBytes, 7), VerificationError) << i;
    buffer.span()[i] ^= std::byte{1};
  }
}

TEST(Payload, NoticesAPageOfAnEarlierMessage) {
  const Payload payload(kBytes);
  const Buffer old(kBytes);
  const Buffer buffer(kBytes);
  for (const Buffer* each : {&old, &buffer}) payload.fill(each->span());
  payload.stamp(old.span(), 6);
  payload.stamp(buffer.span(), 7);
  std::memcpy(buffer.span().data() + Payload::kStride, old.span().data() + Payload::kStride, Payload::kStride);
  EXPECT_THROW(payload.verify(buffer.span(), kBytes, 7), VerificationError);
}

TEST(Payload, CannotBeSmallerThanItsSequenceNumber) { EXPECT_THROW(Payload(7), std::invalid_argument); }

enum class Fault { kNone, kFlip, kDuplicate, kShort };

/// A link that goes wrong at one message.
struct FaultyEnd {
  static constexpr bool kBatches = false;

  static Link<FaultyEnd> make(Fault here, Fault there) {
    auto [left, right, fairness] = UnixRaw::make({.chunk_bytes = kBytes});
    return {FaultyEnd{std::move(left), here}, FaultyEnd{std::move(right), there}, {{"faulty", true}}};
  }
  void send(ByteView message) {
    std::vector<std::byte> copy(message.begin(), message.end());
    if (++sent == kFaulty && fault == Fault::kFlip) copy.back() ^= std::byte{1};
    if (sent == kFaulty && fault == Fault::kDuplicate) copy = previous;
    end.send(copy);
    previous = std::move(copy);
  }
  std::size_t receive(ByteSpan buffer) {
    const std::size_t received = end.receive(buffer);
    return ++taken == kFaulty && fault == Fault::kShort ? received - 1 : received;
  }

  UnixRaw end;
  Fault fault;
  std::uint64_t sent = 0, taken = 0;
  std::vector<std::byte> previous = {};
};

TEST(Transfer, SoundLinksPass) {
  RoundTrip<FaultyEnd> there_and_back(FaultyEnd::make(Fault::kNone, Fault::kNone), kBytes, {});
  OneWay<FaultyEnd> stream(FaultyEnd::make(Fault::kNone, Fault::kNone), kBytes, {});
  EXPECT_EQ(there_and_back.run(2 * kFaulty).latencies.size(), 2 * kFaulty);
  EXPECT_GT(stream.run(2 * kFaulty).elapsed_ns, 0);
}

TEST(Transfer, TheParentNoticesWrongReplies) {
  for (const Fault fault : {Fault::kFlip, Fault::kDuplicate}) {
    RoundTrip<FaultyEnd> side(FaultyEnd::make(Fault::kNone, fault), kBytes, {});
    EXPECT_THROW(side.run(2 * kFaulty), VerificationError);
  }
}

TEST(Transfer, TheWorkerNoticesWrongMessages) {
  for (const Fault fault : {Fault::kFlip, Fault::kDuplicate}) {
    RoundTrip<FaultyEnd> there_and_back(FaultyEnd::make(fault, Fault::kNone), kBytes, {});
    EXPECT_THROW(there_and_back.run(2 * kFaulty), VerificationError);
    OneWay<FaultyEnd> stream(FaultyEnd::make(fault, Fault::kNone), kBytes, {});
    EXPECT_THROW(stream.run(2 * kFaulty), VerificationError);
  }
}

TEST(Transfer, TheWorkerNoticesWrongLengths) {
  OneWay<FaultyEnd> stream(FaultyEnd::make(Fault::kNone, Fault::kShort), kBytes, {});
  EXPECT_THROW(stream.run(2 * kFaulty), VerificationError);
}

/// Needs a millisecond of CPU time to receive.
struct SlowEnd : UnixRaw {
  static constexpr std::int64_t kPaceUs = 1000;

  static Link<SlowEnd> link() {
    auto [here, there, fairness] = UnixRaw::make({.chunk_bytes = 64});
    return {{std::move(here)}, {std::move(there)}, std::move(fairness)};
  }
  std::size_t receive(ByteSpan buffer) {
    const Usage before = Usage::now();
    for (Usage spent; spent.user_us + spent.system_us < kPaceUs;) spent = Usage::now() - before;
    return UnixRaw::receive(buffer);
  }
};

// Of five messages the first may be under way before the clock starts.
TEST(Transfer, TheClockRunsUntilTheLastMessageWasVerified) {
  OneWay<SlowEnd> stream(SlowEnd::link(), 64, {});
  EXPECT_GE(stream.run(5).elapsed_ns, 4 * SlowEnd::kPaceUs * 1000);
}

TEST(Transfer, TheCpuTimeOfBothProcessesIsCounted) {
  OneWay<SlowEnd> slow_worker(SlowEnd::link(), 64, {});
  const Usage one_way = slow_worker.run(5).usage;
  EXPECT_GE(one_way.user_us + one_way.system_us, 5 * SlowEnd::kPaceUs);
  RoundTrip<SlowEnd> both_slow(SlowEnd::link(), 64, {});
  const Usage round_trip = both_slow.run(5).usage;
  EXPECT_GE(round_trip.user_us + round_trip.system_us, 2 * 5 * SlowEnd::kPaceUs);
  EXPECT_GT(round_trip.context_switches, 0);
}

TEST(Transfer, AWorkerThatDiesIsAnErrorAndNoHang) {
  Worker worker(std::nullopt, [](Post& post) {
    (void)post.next_block();
    _exit(9);
  });
  worker.order(1);
  EXPECT_THROW((void)worker.await(), std::runtime_error);
}

std::vector<Case> one_case(Fault fault) {
  Case cell;
  cell.primitive = "pipe";
  cell.workload = "round_trip";
  cell.name = "faulty";
  cell.bytes = kBytes;
  cell.make = [fault](const Cpus& cpus) {
    return std::make_unique<Duel>(
        std::make_unique<RoundTrip<FaultyEnd>>(FaultyEnd::make(fault, Fault::kNone), kBytes, cpus),
        std::make_unique<RoundTrip<UnixRaw>>(UnixRaw::make({.chunk_bytes = kBytes}), kBytes, cpus));
  };
  return {cell};
}

int run_program(Fault fault) {
  std::string name = "program";
  std::string brief = "--benchmark_min_time=0.001";
  std::vector<char*> arguments = {name.data(), brief.data(), nullptr};
  return run_benchmarks(2, arguments.data(), [fault](const Options& /*options*/) { return one_case(fault); });
}

TEST(RunnerDeathTest, WrongBytesFailTheRun) {
  EXPECT_EXIT(std::exit(run_program(Fault::kNone)), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(std::exit(run_program(Fault::kFlip)), testing::ExitedWithCode(kVerificationStatus),
              "verification failed: message 30 of 10001 bytes came as 10001 bytes");
}

}  // namespace
}  // namespace crucible::bench
