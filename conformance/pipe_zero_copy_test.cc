// Clauses P52 to P55: messages built and read in the transport's own memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <vector>

#include "api/connection.h"
#include "conformance/pipe_support.h"
#include "conformance/random.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

constexpr PipeOptions kSmallest = {.duplex = true, .capacity_bytes = 4096};

// Room for `size` bytes, filled with pattern(size, seed).
ByteSpan reserve_filled(Connection& end, std::size_t size, std::uint64_t seed) {
  ByteSpan room;
  EXPECT_EQ(end.reserve(size, room), Status::kOk);
  EXPECT_EQ(room.size(), size);
  const Bytes bytes = pattern(size, seed);
  std::copy(bytes.begin(), bytes.end(), room.begin());
  return room;
}

void lend(Connection& end, std::size_t size, std::uint64_t seed) {
  (void)reserve_filled(end, size, seed);
  EXPECT_EQ(end.commit(size), Status::kOk);
}

::testing::AssertionResult shows(Connection& end, ByteView expected) {
  ByteView message;
  const Status status = end.peek(message);
  if (status != Status::kOk) return ::testing::AssertionFailure() << to_string(status);
  return same(message, expected);
}

TEST_P(Pipe, P41_ZeroCopyIsRefusedWhereItIsNotDeclared) {
  if (capabilities().zero_copy) GTEST_SKIP() << mechanism().name << " declares zero_copy: nothing is refused";
  auto [here, there] = pipe();
  ByteSpan room;
  ByteView message;
  EXPECT_EQ(here->reserve(8, room), Status::kUnsupported);
  EXPECT_EQ(here->commit(0), Status::kUnsupported);
  give(*here, text("stays"));
  EXPECT_EQ(there->peek(message), Status::kUnsupported);
  EXPECT_EQ(there->release(), Status::kUnsupported);
  EXPECT_EQ(as_text(take(*there)), "stays");
}

TEST_P(Pipe, P52_WhatIsBuiltInReservedRoomArrives) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [here, there] = pipe();
  for (const std::size_t size : {0UL, 1UL, 8UL, 56UL, 57UL, 64UL, 1'000UL, 4'096UL, 60'000UL}) {
    lend(*here, size, size);
    EXPECT_TRUE(same(take(*there), pattern(size, size))) << size;
  }
}

TEST_P(Pipe, P52_LessMayBeCommittedThanWasReserved) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [here, there] = pipe();
  for (const std::size_t size : {0UL, 1UL, 100UL, 2'999UL, 3'000UL}) {
    (void)reserve_filled(*here, 3'000, size);
    EXPECT_EQ(here->commit(size), Status::kOk);
    give(*here, pattern(20, size));
    const Bytes whole = pattern(3'000, size);
    EXPECT_TRUE(same(take(*there), ByteView(whole).first(size))) << size;
    EXPECT_TRUE(same(take(*there), pattern(20, size))) << "behind " << size;
  }
  EXPECT_FALSE(there->poll());
}

TEST_P(Pipe, P52_NothingHasHappenedBeforeCommit) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [here, there] = pipe();
  give(*here, text("before"));
  (void)reserve_filled(*here, 500, 1);
  EXPECT_EQ(as_text(take(*there)), "before");
  EXPECT_FALSE(there->poll());
  EXPECT_EQ(here->commit(500), Status::kOk);
  EXPECT_TRUE(same(take(*there), pattern(500, 1)));
}

// By every byte value in every place: what is left in the room must never pass for a message.
TEST_P(Pipe, P52_RoomThatIsGivenUpLeavesNothing) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [here, there] = pipe(kSmallest);
  for (int round = 0; round < 300; ++round) {
    ByteSpan room;
    for (const std::size_t size : {2'000UL, 300UL}) {
      ASSERT_EQ(here->reserve(size, room), Status::kOk);
      std::memset(room.data(), round, room.size());
    }
    if (round % 2 == 0) {
      give(*here, pattern(10, 1));  // another way of giving it up
    } else {
      lend(*here, 10, 1);
    }
    ASSERT_TRUE(same(take(*there), pattern(10, 1)));
    ASSERT_FALSE(there->poll()) << "after round " << round;
  }
}

TEST_P(Pipe, P53_PeekShowsTheSameMessageUntilItIsReleased) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [here, there] = pipe();
  for (const std::size_t size : {0UL, 8UL, 100UL, 30'000UL}) give(*here, pattern(size, size));
  for (const std::size_t size : {0UL, 8UL, 100UL, 30'000UL}) {
    for (int look = 0; look < 3; ++look) EXPECT_TRUE(shows(*there, pattern(size, size)));
    EXPECT_EQ(there->release(), Status::kOk);
  }
  EXPECT_FALSE(there->poll());
}

TEST_P(Pipe, P53_AMessageThatWasPeekedAtMayBeReceivedInstead) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [here, there] = pipe();
  give(*here, text("first"));
  give(*here, text("second"));
  EXPECT_TRUE(shows(*there, text("first")));
  EXPECT_EQ(as_text(take(*there)), "first");
  EXPECT_EQ(there->release(), Status::kState) << "it is consumed";
  EXPECT_TRUE(shows(*there, text("second")));
}

TEST_P(Pipe, P53_MemoryIsNotReusedBeforeItIsReleased) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [here, there] = pipe(kSmallest);
  lend(*here, 1'000, 1);
  EXPECT_TRUE(shows(*there, pattern(1'000, 1)));
  ByteView peeked;
  EXPECT_EQ(there->peek(peeked), Status::kOk);
  const std::size_t held = fill(*here, 100);
  EXPECT_TRUE(same(peeked, pattern(1'000, 1)));
  EXPECT_EQ(there->release(), Status::kOk);
  expect_filled(*there, 100, held);
}

// Whatever does not lie in one piece stays, to be received by copy.
TEST_P(Pipe, P53_AMessageInPartsIsLeftToReceives) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [here, there] = pipe(kSmallest);
  Peer child([&end = *here] { give(end, pattern(1'000'000, 1)); });
  EXPECT_EQ(there->wait_readable(), Status::kOk);
  ByteView message;
  for (int look = 0; look < 2; ++look) EXPECT_EQ(there->peek(message), Status::kUnsupported);
  EXPECT_TRUE(same(take(*there), pattern(1'000'000, 1)));
  child.join();
}

TEST_P(Pipe, P53_ViewsAndCopiesMixAcrossProcessesAndEveryWrap) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [here, there] = pipe(kSmallest);
  Random random;
  const std::uint64_t seed = random.engine()();
  constexpr std::uint64_t kMessages = 5'000;
  Peer child([end = std::move(there), &here = here, seed] {
    here.reset();
    Random sizes(seed);
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      const Bytes expected = pattern(sizes.length(1'000), i);
      if (i % 3 == 0) {
        ASSERT_TRUE(same(take(*end), expected)) << i;
      } else {
        ASSERT_TRUE(shows(*end, expected)) << i;
        ASSERT_EQ(end->release(), Status::kOk);
      }
    }
  });
  Random sizes(seed);
  for (std::uint64_t i = 0; i < kMessages; ++i) {
    const std::size_t size = sizes.length(1'000);
    if (i % 2 == 0) {
      lend(*here, size, i);
    } else {
      give(*here, pattern(size, i));
    }
  }
  child.join();
}

TEST_P(Pipe, P54_OperationsOutOfTurnSaySo) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [here, there] = pipe();
  ByteSpan room;
  EXPECT_EQ(here->commit(0), Status::kState);
  EXPECT_EQ(there->release(), Status::kState);
  (void)reserve_filled(*here, 100, 1);
  EXPECT_EQ(here->commit(101), Status::kBadArgument);
  EXPECT_EQ(here->commit(100), Status::kOk);
  EXPECT_EQ(here->commit(100), Status::kState);
  EXPECT_TRUE(shows(*there, pattern(100, 1)));
  EXPECT_EQ(there->release(), Status::kOk);
  EXPECT_EQ(there->release(), Status::kState);
  EXPECT_EQ(here->reserve(std::size_t{1} << 62U, room), Status::kBadLength);
  give(*here, text("next"));
  EXPECT_EQ(as_text(take(*there)), "next");
}

TEST_P(Pipe, P54_DirectionsAndEndsAreThoseOfSendsAndReceives) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [reader, writer] = simplex();
  ByteSpan room;
  ByteView message;
  EXPECT_EQ(reader->reserve(1, room), Status::kWrongDirection);
  EXPECT_EQ(reader->commit(0), Status::kWrongDirection);
  EXPECT_EQ(writer->peek(message), Status::kWrongDirection);
  EXPECT_EQ(writer->release(), Status::kWrongDirection);
  lend(*writer, 10, 1);
  writer->close();
  EXPECT_EQ(writer->reserve(1, room), Status::kClosed);
  EXPECT_EQ(writer->commit(0), Status::kClosed);
  EXPECT_TRUE(shows(*reader, pattern(10, 1)));
  EXPECT_EQ(reader->release(), Status::kOk);
  EXPECT_EQ(reader->peek(message), Status::kEof);
  reader->close();
  EXPECT_EQ(reader->peek(message), Status::kClosed);
  EXPECT_EQ(reader->release(), Status::kClosed);
}

TEST_P(Pipe, P54_AReservationWaitsForRoomAndTimesOut) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [here, there] = pipe(kSmallest);
  const std::size_t held = fill(*here, 1'000);
  ByteSpan room;
  EXPECT_EQ(here->reserve(1'000, room, Deadline::immediate()), Status::kTimeout);
  const Stopwatch waited;
  EXPECT_EQ(here->reserve(1'000, room, Deadline::after(100ms)), Status::kTimeout);
  EXPECT_GE(waited.elapsed(), 100ms);
  EXPECT_EQ(here->commit(0), Status::kState) << "nothing was reserved";
  Peer child([&end = *here] { lend(end, 1'000, 99); });
  await_blocked(child.pid());
  expect_filled(*there, 1'000, held);
  EXPECT_TRUE(same(take(*there), pattern(1'000, 99)));
  child.join();
  ByteView message;
  EXPECT_EQ(there->peek(message, Deadline::after(10ms)), Status::kTimeout);
  there.reset();
  EXPECT_EQ(here->reserve(1, room), Status::kBrokenPipe);
}

TEST_P(Pipe, P55_ASenderKilledWithRoomReservedLeavesNothing) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [here, there] = pipe();
  Event reserved;
  Peer child([&end = *here, &reserved] {
    give(end, text("sent"));
    const ByteSpan room = reserve_filled(end, 5'000, 1);
    std::fill(room.begin(), room.end(), std::byte{0xff});
    reserved.set();
    for (;;) ::pause();
  });
  reserved.wait();
  child.kill();
  child.join();
  EXPECT_EQ(as_text(take(*there)), "sent");
  EXPECT_FALSE(there->poll());
  lend(*here, 300, 2);  // by another copy of its end
  give(*here, text("and"));
  EXPECT_TRUE(same(take(*there), pattern(300, 2)));
  EXPECT_EQ(as_text(take(*there)), "and");
  here.reset();
  EXPECT_EQ(next_status(*there), Status::kEof);
}

TEST_P(Pipe, P55_AReceiverKilledWhilePeekingLeavesTheMessage) {
  CRUCIBLE_REQUIRE(zero_copy);
  auto [here, there] = pipe();
  Event peeked;
  give(*here, pattern(5'000, 1));
  Peer child([&end = *there, &peeked] {
    EXPECT_TRUE(shows(end, pattern(5'000, 1)));
    peeked.set();
    for (;;) ::pause();
  });
  peeked.wait();
  child.kill();
  child.join();
  give(*here, text("next"));
  EXPECT_TRUE(same(take(*there), pattern(5'000, 1)));
  EXPECT_EQ(as_text(take(*there)), "next");
}

}  // namespace
}  // namespace crucible::testing
