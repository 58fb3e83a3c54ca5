// Clauses P21 to P32 and P58: handing on, signals, handles, and the forms of sending and receiving beyond Python's.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "api/connection.h"
#include "api/object.h"
#include "conformance/pipe_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

constexpr std::size_t kLarge = std::size_t{8} << 20U;  // beyond what a kernel buffers
constexpr PipeOptions kSmallest = {.duplex = true, .capacity_bytes = 4096};

TEST_P(Pipe, P21_PollingAnotherCopySwallowsNothing) {
  CRUCIBLE_REQUIRE(hands_over);
  auto [here, there] = pipe();
  Event polled;
  Peer child([&end = *there, &polled] {
    for (int look = 0; look < 100; ++look) EXPECT_TRUE(end.poll_for(1h));
    polled.set();
  });
  give(*here, pattern(3'000, 1));
  polled.wait();
  give(*here, pattern(10, 2));
  child.join();
  EXPECT_TRUE(same(take(*there), pattern(3'000, 1)));
  EXPECT_TRUE(same(take(*there), pattern(10, 2)));
}

TEST_P(Pipe, P21_TheCopiesOfAnEndTakeTurns) {
  CRUCIBLE_REQUIRE(hands_over);
  auto [here, there] = pipe();
  Bytes message;
  for (std::uint64_t round = 0; round < 20; ++round) {
    const std::size_t size = round % 3 == 0 ? 20'000 : round * 7;
    give(*here, pattern(size, 2 * round));
    give(*here, pattern(10, 2 * round + 1));
    Peer child([&end = *there, size, round] { EXPECT_TRUE(same(take(end), pattern(size, 2 * round))); });
    child.join();
    EXPECT_TRUE(same(take(*there), pattern(10, 2 * round + 1)));
    Peer sender([&end = *there, size, round] { give(end, pattern(size, round)); });
    sender.join();
    give(*there, text("and from here"));
    EXPECT_TRUE(same(take(*here), pattern(size, round)));
    EXPECT_EQ(as_text(take(*here)), "and from here");
  }
}

TEST_P(Pipe, P22_HandledSignalsDoNotShowInABlockedReceive) {
  auto [here, there] = pipe();
  Peer child([&end = *there] {
    const CountingHandler handler(SIGUSR1);
    EXPECT_TRUE(same(take(end), pattern(100'000, 1)));
    EXPECT_EQ(end.wait_readable(), Status::kOk);
    EXPECT_EQ(as_text(take(end)), "later");
    EXPECT_GE(CountingHandler::hits(), 10);
  });
  for (int i = 0; i < 10; ++i) {
    await_blocked(child.pid());
    ASSERT_EQ(::kill(child.pid(), SIGUSR1), 0);
  }
  give(*here, pattern(100'000, 1));
  await_blocked(child.pid());
  ASSERT_EQ(::kill(child.pid(), SIGUSR1), 0);
  give(*here, text("later"));
  child.join();
}

TEST_P(Pipe, P22_HandledSignalsDoNotShowInABlockedSend) {
  CRUCIBLE_REQUIRE_BOUND;
  for (const std::size_t size : {10UL, 100'000UL}) {
    for (const Deadline deadline : {Deadline::never(), Deadline::after(1h)}) {
      auto [here, there] = pipe(kSmallest);
      const SharedBox<std::atomic<std::size_t>> filled{0U};
      const SharedBox<std::atomic<std::size_t>> sent{0U};
      Event handling;
      Peer child([end = std::move(here), &filled, &sent, &handling, size, deadline] {
        const CountingHandler handler(SIGUSR1);
        *filled = fill(*end, 10);
        handling.set();
        // Some may still find room.
        for (; CountingHandler::hits() < 10; ++*sent) {
          ASSERT_EQ(end->send_bytes(pattern(size, *sent), deadline), Status::kOk);
        }
      });
      handling.wait();
      for (int i = 0; i < 10; ++i) {
        await_blocked(child.pid());
        ASSERT_EQ(::kill(child.pid(), SIGUSR1), 0);
      }
      expect_filled(*there, 10, *filled);
      Bytes message;
      std::size_t received = 0;
      for (; there->recv_bytes(message) == Status::kOk; ++received) ASSERT_TRUE(same(message, pattern(size, received)));
      child.join();
      EXPECT_EQ(received, *sent);
    }
  }
}

TEST_P(Pipe, P22_AStormOfSignalsDoesNotShowAnywhere) {
  auto [here, there] = pipe(kSmallest);
  constexpr std::size_t kRounds = 12;
  const auto size_of = [](std::size_t i) { return i % 4 == 0 ? 0 : std::size_t{1} << (2 * i - 2); };
  Peer child([end = std::move(there), size_of] {
    const SignalStorm storm;
    for (std::size_t i = 0; i < kRounds; ++i) {
      Bytes message;
      EXPECT_EQ(end->wait_readable(), Status::kOk);
      EXPECT_EQ(end->recv_bytes_for(message, 1h), Status::kOk);
      EXPECT_TRUE(same(message, pattern(size_of(i), i)));
      EXPECT_EQ(i % 2 == 0 ? end->send_bytes(message) : end->send_bytes_for(message, 1h), Status::kOk);
      EXPECT_FALSE(end->poll_for(20ms)) << "the other side waits for permission";
      give(*end, {});
    }
    EXPECT_GT(SignalStorm::hits(), 0);
  });
  const SignalStorm storm;
  for (std::size_t i = 0; i < kRounds; ++i) {
    const Bytes message = pattern(size_of(i), i);
    EXPECT_EQ(i % 2 == 0 ? here->send_bytes_for(message, 1h) : here->send_bytes(message), Status::kOk);
    Bytes buffer(message.size());
    std::size_t received = 0;
    EXPECT_EQ(here->recv_bytes_into(buffer, received), Status::kOk);
    EXPECT_TRUE(same(buffer, message));
    EXPECT_EQ(take(*here).size(), 0U);
  }
  EXPECT_GT(SignalStorm::hits(), 0);
  child.join();
}

TEST_P(Pipe, P23_NegativeDescriptorsAndWrongNumbersAreRefused) {
  CRUCIBLE_REQUIRE(transferable);
  for (std::size_t count = 0; count < 8; ++count) {
    EXPECT_THROW((void)mechanism().adopt({.descriptors = std::vector<int>(count, -1), .state = {}}), BadArgument)
        << count;
  }
}

TEST_P(Pipe, P23_DescriptorsThatAreNotOpenFailOnUse) {
  CRUCIBLE_REQUIRE(transferable);
  std::vector<int> not_open;
  std::unique_ptr<Connection> adopted;
  while (adopted == nullptr && not_open.size() < 8) {
    not_open.push_back(900 + static_cast<int>(not_open.size()));
    try {
      adopted = mechanism().adopt({.descriptors = not_open, .state = {}});
    } catch (const BadArgument&) {  // another number of descriptors then
    }
  }
  ASSERT_NE(adopted, nullptr);
  EXPECT_THROW((void)adopted->send_bytes(text("x")), std::system_error);
  EXPECT_THROW((void)next_status(*adopted), std::system_error);
  EXPECT_THROW((void)adopted->wait_readable(Deadline::immediate()), std::system_error);
}

// Blocked in a send, with the storage full, means that part of the message has left. A mechanism that takes
// the whole message first is then not blocked, and delivers it.
TEST_P(Pipe, P24_AWriterThatDiesInsideAMessageTruncatesIt) {
  auto [here, there] = pipe();
  Event sent;
  Peer child([end = std::move(there), &here = here, &sent] {
    here.reset();
    give(*end, pattern(kLarge, 1));
    sent.set();
    for (;;) ::pause();
  });
  await_blocked(child.pid());
  child.kill();
  child.join();
  Bytes message;
  const Status status = here->recv_bytes(message);
  if (!sent.is_set() && (status == Status::kTruncated || capabilities().outlives_sender)) {
    EXPECT_EQ(status, Status::kTruncated);
  } else if (status == Status::kOk || capabilities().outlives_sender) {
    EXPECT_EQ(status, Status::kOk);
    EXPECT_TRUE(same(message, pattern(kLarge, 1)));
  } else {
    EXPECT_EQ(status, Status::kEof) << "lost as a whole";
  }
  EXPECT_EQ(here->recv_bytes(message), Status::kEof);
  EXPECT_EQ(here->send_bytes(text("x")), Status::kBrokenPipe);
}

TEST_P(Pipe, P28_SendingToAFullPipeTimesOut) {
  CRUCIBLE_REQUIRE_BOUND;
  for (const std::size_t size : {1UL, 1'000UL, 5'000UL}) {
    auto [here, there] = pipe(kSmallest);
    const std::size_t held = fill(*here, size);
    EXPECT_EQ(here->send_bytes_for(pattern(size, 9), -1s), Status::kTimeout);
    const Stopwatch waited;
    EXPECT_EQ(here->send_bytes_for(pattern(size, 9), 150ms), Status::kTimeout);
    EXPECT_GE(waited.elapsed(), 150ms);
    expect_filled(*there, size, held);
    Bytes message;
    EXPECT_EQ(there->try_recv_bytes(message), Status::kTimeout) << "a timed-out message of " << size << " arrived";
    std::thread sender([&end = *here] { give(end, text("after")); });
    EXPECT_EQ(as_text(take(*there)), "after");
    sender.join();
  }
}

TEST_P(Pipe, P29_ASendThatTimesOutHalfWayLeavesNothing) {
  CRUCIBLE_REQUIRE_BOUND;
  auto [here, there] = pipe();
  Bytes message;
  for (std::uint64_t round = 0; round < 5; ++round) {
    const Status large = here->send_bytes_for(pattern(kLarge, 1), round == 0 ? 0ms : 20ms);
    const Status small = here->try_send_bytes(pattern(100, round));
    if (large == Status::kOk) {
      EXPECT_TRUE(same(take(*there), pattern(kLarge, 1)));
    }
    if (small == Status::kOk) {
      EXPECT_TRUE(same(take(*there), pattern(100, round)));
    }
    EXPECT_EQ(there->try_recv_bytes(message), Status::kTimeout);
    EXPECT_EQ(there->recv_bytes_for(message, 5ms), Status::kTimeout);
    std::thread sender([&end = *here, round] {
      for (std::size_t i = 0; i < 5; ++i) give(end, pattern(round * 3'000 + i, i));
    });
    for (std::size_t i = 0; i < 5; ++i) EXPECT_TRUE(same(take(*there), pattern(round * 3'000 + i, i)));
    sender.join();
  }
}

TEST_P(Pipe, P29_TheReceiverMayBeInTheMiddleOfTheMessageGivenUp) {
  CRUCIBLE_REQUIRE_BOUND;
  auto [here, there] = pipe();
  Event half;
  Event given_up;
  SharedBox<std::atomic<int>> large{-1};
  Peer child([end = std::move(there), &here = here, &half, &given_up, &large] {
    here.reset();
    Bytes message;
    const Status first = end->recv_bytes_for(message, 50ms);  // reads what fits the storage and then waits in vain
    half.set();
    given_up.wait();
    if (*large == static_cast<int>(Status::kOk) && first != Status::kOk) message = take(*end);
    if (*large == static_cast<int>(Status::kOk)) {
      EXPECT_TRUE(same(message, pattern(kLarge, 1)));
    }
    for (std::size_t i = 0; i < 20; ++i) EXPECT_TRUE(same(take(*end), pattern(i * 1'000, i)));
    EXPECT_EQ(next_status(*end), Status::kEof);
  });
  *large = static_cast<int>(here->send_bytes_for(pattern(kLarge, 1), 0ms));
  half.wait();
  given_up.set();
  for (std::size_t i = 0; i < 20; ++i) give(*here, pattern(i * 1'000, i));
  here.reset();
  child.join();
}

TEST_P(Pipe, P29_EndOfFileAfterAMessageGivenUpIsNoTruncation) {
  CRUCIBLE_REQUIRE_BOUND;
  auto [here, there] = pipe();
  give(*here, text("whole"));
  const Status large = here->send_bytes_for(pattern(kLarge, 1), 10ms);
  here.reset();
  EXPECT_EQ(as_text(take(*there)), "whole");
  if (large == Status::kOk) {
    EXPECT_TRUE(same(take(*there), pattern(kLarge, 1)));
  }
  EXPECT_EQ(next_status(*there), Status::kEof);
}

TEST_P(Pipe, P29_AMessageGivenUpIsNotHeldAgainstALimit) {
  CRUCIBLE_REQUIRE_BOUND;
  auto [here, there] = pipe();
  const SharedBox<std::atomic<bool>> took_it{false};
  Event decided;
  Peer child([end = std::move(there), &here = here, &took_it, &decided] {
    here.reset();
    decided.wait();
    if (*took_it) {
      EXPECT_TRUE(same(take(*end), pattern(kLarge, 1)));
    }
    Bytes message;
    EXPECT_EQ(end->recv_bytes(message, 10), Status::kOk);
    EXPECT_EQ(as_text(message), "short");
  });
  *took_it = here->send_bytes_for(pattern(kLarge, 1), 10ms) == Status::kOk;
  decided.set();
  give(*here, text("short"));
  child.join();
}

TEST_P(Pipe, P30_SendManyKeepsOrderAndBoundaries) {
  auto [here, there] = pipe();
  std::vector<Bytes> messages;
  for (std::size_t i = 0; i < 500; ++i) messages.push_back(pattern(i % 50 == 49 ? 70'000 : (i * i) % 700, i));
  messages.emplace_back();
  const std::vector<ByteView> views(messages.begin(), messages.end());
  Peer child([end = std::move(there), &messages] {
    for (const Bytes& expected : messages) ASSERT_TRUE(same(take(*end), expected));
    EXPECT_EQ(as_text(take(*end)), "end");
  });
  std::size_t sent = 99;
  EXPECT_EQ(here->send_many({}, sent), Status::kOk);
  EXPECT_EQ(sent, 0U);
  EXPECT_EQ(here->send_many(views, sent), Status::kOk);
  EXPECT_EQ(sent, views.size());
  give(*here, text("end"));
  child.join();
}

TEST_P(Pipe, P30_SendManyCountsExactlyWhatArrives) {
  CRUCIBLE_REQUIRE_BOUND;
  for (const std::size_t size : {1UL, 50UL, 700UL, 6'000UL}) {
    auto [here, there] = pipe(kSmallest);
    std::vector<Bytes> messages;
    const std::size_t more_than_any_storage = size < 10 ? 100'000 : 20'000;
    for (std::size_t i = 0; i < more_than_any_storage; ++i) messages.push_back(pattern(size, i));
    const std::vector<ByteView> views(messages.begin(), messages.end());
    for (const Deadline deadline : {Deadline::immediate(), Deadline::after(20ms), Deadline::immediate()}) {
      std::size_t sent = 0;
      ASSERT_EQ(here->send_many(views, sent, deadline), Status::kTimeout);
      ASSERT_LT(sent, views.size());
      for (std::size_t i = 0; i < sent; ++i) ASSERT_TRUE(same(take(*there), messages[i])) << i << " of " << sent;
      Bytes none;
      EXPECT_EQ(there->try_recv_bytes(none), Status::kTimeout) << "more arrived than was counted";
    }
  }
}

TEST_P(Pipe, P31_AHalfArrivedMessageIsCompletedLater) {
  for (int form = 0; form < 3; ++form) {
    auto [here, there] = pipe();
    Event over;
    Peer child([&end = *there, &over] {
      give(end, pattern(kLarge, 1));
      give(end, text("next"));
      over.wait();
    });
    await_blocked(child.pid());
    ASSERT_EQ(::kill(child.pid(), SIGSTOP), 0);
    Bytes message;
    Status first = here->recv_bytes_for(message, 50ms);
    if (first == Status::kTimeout) {
      EXPECT_EQ(here->try_recv_bytes(message), Status::kTimeout);
      ASSERT_EQ(::kill(child.pid(), SIGCONT), 0);
      message.resize(kLarge);
      std::size_t received = 0;
      if (form == 0) first = here->recv_bytes(message);
      if (form == 1) first = here->recv_bytes_into(message, received);
      if (form == 2) {
        EXPECT_EQ(here->recv_bytes_into({}, received, Deadline::never(), &message), Status::kTooShort);
      }
      if (form == 2) first = Status::kOk;
    } else {
      ASSERT_EQ(::kill(child.pid(), SIGCONT), 0);
    }
    EXPECT_EQ(first, Status::kOk);
    EXPECT_TRUE(same(message, pattern(kLarge, 1)));
    EXPECT_EQ(as_text(take(*here)), "next");
    over.set();
    child.join();
  }
}

TEST_P(Pipe, P32_WhatChangesAfterSendIsNotSeen) {
  auto [here, there] = pipe();
  std::vector<Bytes> buffers;
  for (std::size_t i = 0; i < 10; ++i) {
    Bytes buffer = pattern(1'000, i);
    give(*here, buffer);
    buffer.assign(buffer.size(), std::byte{0xee});
    buffers.push_back(std::move(buffer));
  }
  for (std::size_t i = 0; i < 10; ++i) EXPECT_TRUE(same(take(*there), pattern(1'000, i)));
  auto [from, to] = pipe();
  Peer child([end = std::move(to)] {
    EXPECT_TRUE(same(take(*end), pattern(kLarge, 1)));
    EXPECT_EQ(as_text(take(*end)), "overwritten");
  });
  Bytes large = pattern(kLarge, 1);
  give(*from, large);
  large.assign(large.size(), std::byte{0xee});
  give(*from, text("overwritten"));
  child.join();
}

// Sent in a run, so that a mechanism which leaves something out of messages of one length has reason to.
void send_after_a_run(ConnectionPair& ends, ByteView message) {
  for (std::uint64_t i = 0; i < 3; ++i) {
    give(*ends.first, pattern(message.size(), i));
    EXPECT_TRUE(same(take(*ends.second), pattern(message.size(), i)));
  }
  give(*ends.first, message);
  EXPECT_TRUE(same(take(*ends.second), message));
}

Bytes take_into(Connection& end, Bytes& buffer) {
  std::size_t received = 0;
  Bytes whole;
  const Status status = end.recv_bytes_into(buffer, received, Deadline::after(1h), &whole);
  EXPECT_EQ(status, received > buffer.size() ? Status::kTooShort : Status::kOk);
  if (status == Status::kOk) whole.assign(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(received));
  return whole;
}

TEST_P(Pipe, P58_RunsOfOneLengthAndWhatEndsThem) {
  auto [here, there] = pipe();
  Bytes buffer(4'096);
  const std::size_t lengths[] = {0, 1, 15, 16, 63, 64, 65, 80, 1'000, 4'080, 4'095, 4'096, 4'097};
  for (const std::size_t steady : lengths) {
    for (const std::size_t other : lengths) {
      for (std::uint64_t i = 0; i < 3; ++i) {
        give(*here, pattern(steady, i));
        EXPECT_TRUE(same(take_into(*there, buffer), pattern(steady, i)));
      }
      give(*here, pattern(steady, 3));
      ASSERT_EQ(here->send_bytes_for(pattern(other, 4), 1h), Status::kOk);
      give(*here, pattern(steady, 5));
      EXPECT_TRUE(same(take(*there), pattern(steady, 3))) << steady;
      EXPECT_TRUE(same(take_into(*there, buffer), pattern(other, 4))) << steady << ", then " << other;
      EXPECT_TRUE(same(take(*there), pattern(steady, 5))) << steady << " again after " << other;
    }
  }
  const std::vector<Bytes> many(10, pattern(200, 7));
  const std::vector<ByteView> views(many.begin(), many.end());
  for (int round = 0; round < 4; ++round) {
    std::size_t sent = 0;
    ASSERT_EQ(here->send_many(views, sent), Status::kOk);
    give(*here, text("between"));
    for (const Bytes& message : many) EXPECT_TRUE(same(take(*there), message));
    EXPECT_EQ(as_text(take(*there)), "between");
  }
}

TEST_P(Pipe, P58_ContentsThatAreTheMechanismsOwnBytes) {
  ConnectionPair ends = pipe();
  Bytes own(20'000);
  if (capabilities().pollable) {
    const ConnectionPair tapped = mechanism().make_pipe({});
    for (const std::size_t size : {100UL, 100UL, 9'000UL}) give(*tapped.first, pattern(size, size));
    const ssize_t count = ::read(tapped.second->descriptor(), own.data(), own.size());
    ASSERT_GT(count, 0);
    own.resize(static_cast<std::size_t>(count));
  }
  for (const std::size_t length : {16UL, 24UL, 64UL, 100UL, 132UL, 1'000UL, 4'096UL}) {
    if (length <= own.size()) send_after_a_run(ends, ByteView(own).first(length));
  }
}

}  // namespace
}  // namespace crucible::testing
