// The upper bounds of clauses P49, H25 and H28, which run by themselves.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

#include "api/connection.h"
#include "conformance/pipe_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/process.h"
#include "core/wait.h"

namespace crucible::testing {
namespace {

class PipeTiming : public MechanismTest {};

TEST_P(PipeTiming, P49_WhatDoesNotWaitReturnsAtOnce) {
  auto [here, there] = pipe();
  Bytes message;
  const Stopwatch waited;
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(here->poll());
    EXPECT_EQ(here->try_recv_bytes(message), Status::kTimeout);
    EXPECT_EQ(here->recv_bytes_for(message, -1h), Status::kTimeout);
    EXPECT_EQ(here->try_send_bytes({}), Status::kOk);
    EXPECT_EQ(there->recv_bytes(message), Status::kOk);
  }
  EXPECT_LT(waited.elapsed(), 100ms);
}

TEST_P(PipeTiming, P49_ASendToAFullPipeGivesUpInTime) {
  CRUCIBLE_REQUIRE_BOUND;
  for (const std::size_t size : {100UL, std::size_t{8} << 20U}) {
    auto [here, there] = pipe({.duplex = true, .capacity_bytes = 4096});
    if (fill(*here, size) == 0 && size < 1'000) ADD_FAILURE() << "held nothing";
    const Stopwatch waited;
    EXPECT_EQ(here->try_send_bytes(pattern(size, 1)), Status::kTimeout);
    EXPECT_LT(waited.elapsed(), 100ms);
    const Stopwatch waited_longer;
    EXPECT_EQ(here->send_bytes_for(pattern(size, 1), 200ms), Status::kTimeout);
    EXPECT_GE(waited_longer.elapsed(), 200ms);
    EXPECT_LT(waited_longer.elapsed(), 300ms);
  }
}

TEST_P(PipeTiming, H25_AReceiveOfHalfAMessageGivesUpInTime) {
  auto [here, there] = pipe();
  constexpr std::size_t kLarge = std::size_t{8} << 20U;
  Event over;
  Peer child([&end = *there, &over] {
    give(end, pattern(kLarge, 1));
    over.wait();
  });
  await_blocked(child.pid());
  ASSERT_EQ(::kill(child.pid(), SIGSTOP), 0);
  Bytes message;
  const Stopwatch waited;
  const Status status = here->recv_bytes_for(message, 200ms);
  EXPECT_LT(waited.elapsed(), 300ms);
  if (status == Status::kTimeout) {
    EXPECT_GE(waited.elapsed(), 200ms);
  }
  ASSERT_EQ(::kill(child.pid(), SIGCONT), 0);
  if (status == Status::kTimeout) message = take(*here);
  EXPECT_TRUE(same(message, pattern(kLarge, 1)));
  over.set();
  child.join();
}

TEST_P(PipeTiming, P49_ADeathIsNoticedWithinATenthOfASecond) {
  for (int round = 0; round < 5; ++round) {
    auto [here, there] = pipe();
    Event waiting;
    const SharedBox<std::atomic<std::int64_t>> death_ns{0};
    Peer child([end = std::move(there), &here = here, &waiting, &death_ns] {
      here.reset();
      // Long enough for both sides to be waiting.
      const SignalTimer death(SIGKILL, 50ms);
      *death_ns = Deadline::now_ns() + 50'000'000;
      waiting.set();
      (void)next_status(*end);
    });
    waiting.wait();
    EXPECT_EQ(next_status(*here), Status::kEof);
    EXPECT_EQ(here->send_bytes(text("x")), Status::kBrokenPipe);
    EXPECT_LT(Deadline::now_ns() - *death_ns, 100'000'000);
    child.kill();
    child.join();
  }
}

// The median of several: long enough asleep that one who were not woken would be found out.
TEST_P(PipeTiming, P49_AMessageWakesASleeperAtOnce) {
  for (const bool among_many : {false, true}) {
    auto [here, there] = pipe();
    auto [quiet, other] = pipe();
    const SharedBox<std::atomic<std::int64_t>> sent_ns{0};
    std::vector<std::int64_t> late_ns;
    std::array<Event, 5> waiting;
    Peer child([end = std::move(there), &waiting, &sent_ns] {
      for (Event& receiver : waiting) {
        receiver.wait();
        EXPECT_FALSE(Event().wait_for(110ms));  // the slow case is what is tested
        *sent_ns = Deadline::now_ns();
        give(*end, text("x"));
      }
    });
    for (Event& receiver : waiting) {
      receiver.set();
      if (among_many) {
        (void)wait({*quiet, *here});
      }
      EXPECT_EQ(as_text(take(*here)), "x");
      late_ns.push_back(Deadline::now_ns() - *sent_ns);
    }
    child.join();
    std::nth_element(late_ns.begin(), late_ns.begin() + 2, late_ns.end());
    EXPECT_LT(late_ns[2], 10'000'000) << (among_many ? "in wait()" : "in a receive");
  }
}

TEST_P(PipeTiming, H28_CloseWakesWithinHalfASecond) {
  auto [here, there] = pipe();
  Connection& end = *here;
  std::atomic<pid_t> tid = 0;
  Event begun;
  std::thread user([&] {
    tid = thread_id();
    begun.set();
    EXPECT_EQ(next_status(end), Status::kClosed);
  });
  begun.wait();
  await_blocked(::getpid(), tid);
  const Stopwatch since;
  end.close();
  user.join();
  EXPECT_LT(since.elapsed(), 500ms);
}

TEST_P(PipeTiming, P49_EndsClosedAtOnceDoNotWaitForEachOther) {
  constexpr int kPairs = 100;
  std::vector<ConnectionPair> pairs;
  for (int i = 0; i < kPairs; ++i) pairs.push_back(pipe());
  const auto close = [unread = pattern(16 * 1024, 1)](Connection& end) {
    for (int i = 0; i < 3; ++i) (void)end.try_send_bytes(unread);
    const Stopwatch since;
    end.close();
    EXPECT_LT(since.elapsed(), 500ms);
  };
  Peer child([&] {
    for (auto& [here, there] : pairs) {
      here->close();
      give(*there, take(*there));
      close(*there);
    }
  });
  for (auto& [here, there] : pairs) {
    there->close();
    give(*here, text("x"));
    EXPECT_EQ(as_text(take(*here)), "x");
    close(*here);
  }
  child.join();
}

TEST_P(PipeTiming, P49_TheDeathOfWhoShouldHaveReceivedHoldsNobodyUp) {
  CRUCIBLE_REQUIRE_BOUND;
  auto [here, there] = pipe();
  Event received;
  Event closing;
  Event killed;
  Peer receiver([end = std::move(there), &here = here, &received] {
    here.reset();
    (void)take(*end);
    received.set();
    ::pause();
  });
  Process sender([&end = *here, &received, &closing, &killed] {
    give(end, text("x"));
    received.wait();
    fill(end, 10'000);
    closing.set();
    end.close();
    killed.wait();
  });
  sender.start();
  here.reset();
  closing.wait();
  await_blocked(*sender.pid());
  receiver.kill();
  killed.set();
  const Stopwatch since;
  sender.join();
  EXPECT_LT(since.elapsed(), 500ms);
  receiver.join();
}

}  // namespace

CRUCIBLE_INSTANTIATE(PipeTiming);

}  // namespace crucible::testing
