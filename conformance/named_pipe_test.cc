// The clauses of Pipe once more, with a peer that was started by exec and came by the address alone.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/object.h"
#include "conformance/named_pipe_support.h"
#include "conformance/support/children.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/process.h"
#include "core/wait.h"

namespace crucible::testing {
namespace {

constexpr std::size_t kLarge = std::size_t{8} << 20U;
constexpr std::size_t kSmallest = 4096;

TEST_P(NamedPipe, P1_EchoingProgramReturnsEqualValues) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  EXPECT_TRUE(end->readable() && end->writable());
  peer->tell("echo");
  for (const Object& value : {Object::list(1, 2.25, nullptr), Object(), Object(Bytes(100, std::byte{'x'})),
                              Object("text"), Object::dict({{"k", Object::list(-0.5)}})}) {
    end->send(value);
    EXPECT_EQ(end->recv<Object>(), value);
  }
  end.reset();
  EXPECT_EQ(peer->hear(), "Eof");
}

TEST_P(NamedPipe, P2_EmptyMessagesAreMessages) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  for (const std::size_t size : {0UL, 1UL, 0UL, 0UL, 2UL, 0UL}) {
    EXPECT_EQ(peer->ask("send " + std::to_string(size) + " 7 1"), "Ok");
    for (int look = 0; look < 3; ++look) EXPECT_EQ(end->wait_readable(), Status::kOk);
    EXPECT_TRUE(same(take(*end), pattern(size, 7)));
  }
  give(*end, {});
  EXPECT_EQ(peer->ask("look"), "Ok 0");
}

TEST_P(NamedPipe, P3_LargeMessagesAreEchoedUnchanged) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  EXPECT_EQ(peer->ask("storm"), "Ok");
  peer->tell("echo");
  for (const std::size_t size : {std::size_t{16} << 20U, (std::size_t{16} << 20U) + 1}) {
    const Bytes message = pattern(size, size);
    give(*end, message);
    EXPECT_TRUE(same(take(*end), message));
  }
  end.reset();
  EXPECT_EQ(peer->hear(), "Eof");
}

TEST_P(NamedPipe, P4_MessagesAreNeverMergedNorSplit) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  EXPECT_EQ(peer->ask("send 3 1 5"), "Ok");
  EXPECT_EQ(peer->ask("send 500 9 5"), "Ok");
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_TRUE(end->poll_for(1h));
    EXPECT_TRUE(same(take(*end), i < 5 ? pattern(3, 1 + i) : pattern(500, 4 + i)));
  }
  EXPECT_FALSE(end->poll());
}

TEST_P(NamedPipe, P5_PollTellsWhetherAMessageIsThere) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  EXPECT_FALSE(end->poll());
  const Stopwatch waited;
  EXPECT_FALSE(end->poll_for(100ms));
  EXPECT_GE(waited.elapsed(), 100ms);
  EXPECT_EQ(peer->ask("send 10 1 1"), "Ok");
  EXPECT_TRUE(end->poll_for(1h));
  EXPECT_TRUE(end->poll());
}

TEST_P(NamedPipe, P6_BufferedMessagesThenEndOfFileOfAProgramThatEnded) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  EXPECT_EQ(peer->ask("send 100 1 2"), "Ok");
  peer->tell("exit");
  EXPECT_EQ(peer->wait_status(), 0);
  EXPECT_TRUE(same(take(*end), pattern(100, 1)));
  EXPECT_TRUE(same(take(*end), pattern(100, 2)));
  for (int again = 0; again < 3; ++again) EXPECT_EQ(next_status(*end), Status::kEof);
}

TEST_P(NamedPipe, P6_WhatAKilledProgramHadSentIsReceived) {
  CRUCIBLE_REQUIRE_DOOR;
  CRUCIBLE_REQUIRE(outlives_sender);
  auto [peer, end] = meet();
  EXPECT_EQ(peer->ask("send 100 1 2"), "Ok");
  peer->kill(SIGKILL);
  (void)peer->wait_status();
  EXPECT_TRUE(same(take(*end), pattern(100, 1)));
  EXPECT_TRUE(same(take(*end), pattern(100, 2)));
  EXPECT_EQ(next_status(*end), Status::kEof);
}

TEST_P(NamedPipe, P7_EndOfFileIsReadable) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  EXPECT_EQ(peer->ask("close"), "Ok");
  EXPECT_EQ(end->wait_readable(), Status::kOk);
  EXPECT_TRUE(end->poll());
  EXPECT_EQ(next_status(*end), Status::kEof);
}

TEST_P(NamedPipe, P8_SendingToAProgramThatIsGoneIsABrokenPipe) {
  CRUCIBLE_REQUIRE_DOOR;
  for (const bool killed : {false, true}) {
    auto [peer, end] = meet();
    killed ? peer->kill(SIGKILL) : peer->tell("exit");
    (void)peer->wait_status();
    EXPECT_EQ(next_status(*end), Status::kEof);
    for (const std::size_t size : {0UL, 10UL, 100'000UL}) {
      EXPECT_EQ(end->send_bytes(Bytes(size)), Status::kBrokenPipe) << size;
      EXPECT_EQ(end->try_send_bytes(Bytes(size)), Status::kBrokenPipe) << size;
    }
  }
}

TEST_P(NamedPipe, P9_ClosingHereIsTheProgramsEndOfFile) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  give(*end, pattern(10, 1));
  end->close();
  EXPECT_EQ(next_status(*end), Status::kClosed);
  EXPECT_EQ(end->send_bytes({}), Status::kClosed);
  EXPECT_EQ(peer->ask("receive 10 1 2"), "Eof");
  EXPECT_EQ(peer->ask("send 10 1 1"), "BrokenPipe");
}

TEST_P(NamedPipe, P13_ReceivesIntoALargerBuffer) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  for (const std::ptrdiff_t offset : {0, 3, 11}) {
    EXPECT_EQ(peer->ask("send 5 1 1"), "Ok");
    Bytes buffer(16, std::byte{0x5a});
    std::size_t received = 0;
    EXPECT_EQ(end->recv_bytes_at(buffer, offset, received), Status::kOk);
    EXPECT_EQ(received, 5U);
    Bytes expected(16, std::byte{0x5a});
    std::ranges::copy(pattern(5, 1), expected.begin() + offset);
    EXPECT_EQ(buffer, expected);
  }
}

TEST_P(NamedPipe, P14_TooShortABufferGivesTheWholeMessageElsewhere) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  for (const std::size_t size : {10UL, 5'000UL, 300'000UL}) {
    peer->tell("send " + std::to_string(size) + " 1 2");
    Bytes buffer(size - 1);
    Bytes whole;
    std::size_t received = 0;
    EXPECT_EQ(end->recv_bytes_into(buffer, received, Deadline::never(), &whole), Status::kTooShort);
    EXPECT_EQ(received, size);
    EXPECT_TRUE(same(whole, pattern(size, 1)));
    EXPECT_TRUE(same(take(*end), pattern(size, 2)));
    EXPECT_EQ(peer->hear(), "Ok");
  }
}

TEST_P(NamedPipe, P16_OverTheLimitTheEndCanOnlySend) {
  CRUCIBLE_REQUIRE_DOOR;
  for (const std::size_t size : {1UL, 100UL, 30'000UL}) {
    auto [peer, end] = meet();
    EXPECT_EQ(peer->ask("send " + std::to_string(size) + " 1 1"), "Ok");
    Bytes message;
    EXPECT_EQ(end->recv_bytes(message, size), Status::kOk);
    EXPECT_EQ(peer->ask("send " + std::to_string(size) + " 1 1"), "Ok");
    EXPECT_EQ(end->recv_bytes(message, size - 1), Status::kBadLength);
    EXPECT_EQ(end->recv_bytes(message), Status::kWrongDirection);
    give(*end, pattern(20, 3));
    EXPECT_EQ(peer->ask("receive 20 3 1"), "Ok");
  }
}

TEST_P(NamedPipe, P18_AProgramThatThePeerRunsHoldsNoCopyOfItsEnd) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  const pid_t program = std::stoi(peer->ask("run"));
  peer->kill(SIGKILL);
  (void)peer->wait_status();
  EXPECT_EQ(next_status(*end), Status::kEof);
  EXPECT_FALSE(is_forgotten(program)) << "it was to live on";
  peer.reset();
  await_orphans();
}

TEST_P(NamedPipe, P22_HandledSignalsDoNotShowOnEitherSide) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet(kSmallest);
  EXPECT_EQ(peer->ask("storm"), "Ok");
  const SignalStorm storm;
  for (const std::size_t size : {1UL, 5'000UL, 400'000UL, kLarge}) {
    peer->tell("receive " + std::to_string(size) + " 1 3");
    for (std::uint64_t i = 1; i <= 3; ++i) give(*end, pattern(size, i));
    EXPECT_EQ(peer->hear(), "Ok");
    peer->tell("send " + std::to_string(size) + " 1 3");
    for (std::uint64_t i = 1; i <= 3; ++i) EXPECT_TRUE(same(take(*end), pattern(size, i)));
    EXPECT_EQ(peer->hear(), "Ok");
  }
  EXPECT_GT(SignalStorm::hits(), 0);
}

// What says whether the message had left as a whole is whether the order was answered. Where what left does not outlive
// its sender it may be lost, but never torn.
TEST_P(NamedPipe, P24_AProgramThatDiesInsideAMessageTruncatesIt) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  peer->tell("send " + std::to_string(kLarge) + " 1 1");
  await_blocked(peer->pid());
  peer->kill(SIGKILL);
  (void)peer->wait_status();
  const bool left = peer->hear() == "Ok";
  Bytes message;
  const Status status = end->recv_bytes(message);
  if (left && (capabilities().outlives_sender || status == Status::kOk)) {
    EXPECT_EQ(status, Status::kOk);
    EXPECT_TRUE(same(message, pattern(kLarge, 1)));
  } else if (capabilities().outlives_sender) {
    EXPECT_EQ(status, Status::kTruncated);
  } else {
    EXPECT_TRUE(status == Status::kTruncated || status == Status::kEof) << to_string(status);
  }
  EXPECT_EQ(next_status(*end), Status::kEof);
  EXPECT_EQ(end->send_bytes(text("x")), Status::kBrokenPipe);
}

TEST_P(NamedPipe, P25_GathersFromFourPrograms) {
  CRUCIBLE_REQUIRE_DOOR;
  std::vector<Meeting> meetings;
  for (std::uint64_t i = 0; i < 4; ++i) meetings.push_back(meet());
  for (const Meeting& meeting : meetings) meeting.peer->tell("send 1000 0 10");
  std::vector<std::uint64_t> received(4, 0);
  while (*std::ranges::min_element(received) < 10) {
    std::vector<WaitItem> items;
    for (const Meeting& meeting : meetings) items.emplace_back(*meeting.end);
    for (const std::size_t i : wait(items)) {
      Bytes message;
      ASSERT_EQ(meetings[i].end->try_recv_bytes(message), Status::kOk) << "ready, but nothing to receive";
      EXPECT_TRUE(same(message, pattern(1'000, received[i]++)));
    }
  }
  EXPECT_EQ(received, std::vector<std::uint64_t>(4, 10));
}

TEST_P(NamedPipe, P26_NothingReadyIsAnEmptyResult) {
  CRUCIBLE_REQUIRE_DOOR;
  const Meeting one = meet();
  const Meeting two = meet();
  EXPECT_TRUE(wait({*one.end, *two.end}, Deadline::immediate()).empty());
  const Stopwatch waited;
  EXPECT_TRUE(wait({*one.end, *two.end}, Deadline::after(100ms)).empty());
  EXPECT_GE(waited.elapsed(), 100ms);
  EXPECT_THROW((void)wait({*one.end, *one.end}), BadArgument);
}

TEST_P(NamedPipe, P27_WhateverComesFirst) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [quiet, quiet_end] = meet();
  auto [peer, end] = meet();
  Process child([] {});
  EXPECT_EQ(peer->ask("send 10 1 1"), "Ok");
  EXPECT_EQ(wait({*quiet_end, *end}), std::vector<std::size_t>{1});
  child.start();
  EXPECT_EQ(wait({*quiet_end, child}), std::vector<std::size_t>{1});
  EXPECT_EQ(wait({child, *quiet_end, *end}), (std::vector<std::size_t>{0, 2}));
  quiet->kill(SIGKILL);
  EXPECT_EQ(wait({*quiet_end}), std::vector<std::size_t>{0});
  child.join();
}

}  // namespace

CRUCIBLE_INSTANTIATE_ONCE(NamedPipe);

}  // namespace crucible::testing
