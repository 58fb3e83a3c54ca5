// Clauses H9, L46, L48, L50 and L52 of Barrier: the dead, the stopped, signals, forks.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <csignal>
#include <memory>
#include <thread>
#include <vector>

#include "conformance/event_support.h"
#include "conformance/support/children.h"
#include "conformance/support/resources.h"
#include "core/barrier.h"

namespace crucible::testing {
namespace {

class BarrierFaults : public CleanFixture {};
class BarrierTiming : public CleanFixture {};

TEST_F(BarrierFaults, H9_AKilledPartyBreaksItForTheOthers) {
  Barrier barrier(4);
  const auto fail = [&] { EXPECT_THROW(barrier.wait(), BrokenBarrier); };
  Peer process(fail);
  std::jthread thread(fail);
  Peer victim([&] { barrier.wait(); });
  until([&] { return barrier.n_waiting() == 3; });
  victim.kill();
  victim.join();
  process.join();
  thread.join();
  EXPECT_TRUE(barrier.broken());
}

TEST_F(BarrierFaults, H9_AfterAResetTheDeadCountNoMore) {
  Barrier barrier(2);
  for (int i = 0; i < 10; ++i) {
    Peer victim([&] { barrier.wait(); });
    until([&] { return barrier.n_waiting() == 1; });
    victim.kill();
    victim.join();
    EXPECT_TRUE(barrier.broken());
    EXPECT_EQ(barrier.n_waiting(), 0U);
    barrier.reset();
    Peer other([&] { barrier.wait(); });
    barrier.wait();
  }
}

// Nobody else is there to look after the dead.
TEST_F(BarrierFaults, H9_TheLastToComeDoesNotPassWithTheDead) {
  const SharedBox<std::atomic<int>> runs{0};
  Barrier barrier(2, [&] { ++*runs; });
  Peer victim([&] { barrier.wait(); });
  until([&] { return barrier.n_waiting() == 1; });
  victim.kill();
  victim.join();
  EXPECT_THROW(barrier.wait(), BrokenBarrier);
  EXPECT_EQ(*runs, 0);
}

TEST_F(BarrierFaults, H9_ADeathInTheActionBreaksIt) {
  Barrier barrier(3, [] { sleep_forever(); });
  const auto fail = [&] { EXPECT_THROW(barrier.wait(), BrokenBarrier); };
  Peer first(fail);
  Peer second(fail);
  until([&] { return barrier.n_waiting() == 2; });
  Peer runner([&] { barrier.wait(); });
  until([&] { return barrier.n_waiting() == 3; });
  await_blocked(runner.pid());
  runner.kill();
  runner.join();
}

TEST_F(BarrierFaults, H9_ADeathAmongTheWaitingIsSeenDuringTheAction) {
  const SharedBox<std::atomic<bool>> over{false};
  Barrier barrier(3, [&] { until([&] { return over->load(); }); });
  Peer victim([&] { barrier.wait(); });
  Peer other([&] {
    EXPECT_THROW(barrier.wait(), BrokenBarrier);
    *over = true;
  });
  until([&] { return barrier.n_waiting() == 2; });
  Peer runner([&] { EXPECT_THROW(barrier.wait(), BrokenBarrier); });
  until([&] { return barrier.n_waiting() == 3; });
  victim.kill();
  victim.join();
}

TEST_F(BarrierTiming, H9_TheOthersKnowWithinATenthOfASecond) {
  Barrier barrier(3);
  for (int i = 0; i < 20; ++i) {
    const SharedBox<std::atomic<std::int64_t>> told{0};
    Peer victim([&] { barrier.wait(); });
    Peer other([&] {
      EXPECT_THROW(barrier.wait(), BrokenBarrier);
      *told = Deadline::now_ns();
    });
    until([&] { return barrier.n_waiting() == 2; });
    await_blocked(other.pid());
    const std::int64_t killed = Deadline::now_ns();
    victim.kill();
    victim.join();
    other.join();
    EXPECT_LE(*told - killed, std::chrono::nanoseconds(100ms).count());
    barrier.reset();
  }
}

// Two survivors and a victim that dies at any moment: arriving, waiting, in the action, leaving. Whatever a turn came
// to, it came to the same for both survivors; and after a reset it is as new.
TEST_F(BarrierFaults, L52_PartiesMayDieAtAnyMoment) {
  constexpr int kKills = 220;
  const SharedBox<std::array<std::atomic<std::uint64_t>, 2>> passes;
  const SharedBox<std::atomic<std::uint64_t>> runs{0U};
  const SharedBox<std::atomic<int>> broken{0};
  const SharedBox<std::atomic<int>> round{0};
  Barrier barrier(3, [&] { ++*runs; });
  std::vector<std::unique_ptr<Peer>> survivors;
  for (std::size_t i = 0; i < 2; ++i) {
    survivors.push_back(std::make_unique<Peer>([&, i] {
      for (int now = 1; now <= kKills; ++now) {
        until([&] { return *round == now; });
        EXPECT_THROW(
            for (;;) {
              barrier.wait();
              ++passes->at(i);
            },
            BrokenBarrier);
        ++*broken;
      }
    }));
  }
  Random random;
  KillScore score("parties of a barrier");
  for (int now = 1; now <= kKills; ++now) {
    const SharedBox<Calls> calls;
    const std::uint64_t before = passes->at(0);
    const std::uint64_t runs_before = *runs;
    *round = now;
    run_until_killed(moment(random), [&] { calls->inside([&] { return barrier.wait(); }); });
    score.count(calls->died_inside());
    if (!calls->died_inside()) barrier.abort();
    until([&] { return *broken == 2 * now || barrier.n_waiting() == 2; });  // it came to nothing: nobody was counted
    barrier.abort();
    until([&] { return *broken == 2 * now; });
    ASSERT_EQ(passes->at(0), passes->at(1)) << "one passed where the other did not";
    const std::uint64_t passed = passes->at(0) - before;
    EXPECT_GE(passed, calls->returned_);
    EXPECT_LE(passed, calls->begun_);
    EXPECT_GE(*runs - runs_before, passed);
    EXPECT_LE(*runs - runs_before, passed + 1);
    barrier.reset();
    EXPECT_FALSE(barrier.broken());
    EXPECT_EQ(barrier.n_waiting(), 0U);
  }
}

TEST_F(BarrierFaults, L52_WhoResetsOrAbortsMayDieAtAnyMoment) {
  Barrier barrier(2);
  Random random;
  KillScore score("who break and reset a barrier");
  for (int i = 0; i < 60; ++i) {
    const SharedBox<Calls> calls;
    const SharedBox<std::atomic<bool>> over{false};
    Peer waiting([&] {
      while (!*over) EXPECT_THROW(barrier.wait(), BrokenBarrier);
    });
    run_until_killed(moment(random), [&] {
      calls->inside([&] {
        barrier.abort();
        barrier.reset();
        return 0;
      });
    });
    score.count(calls->died_inside());
    *over = true;
    barrier.abort();
    waiting.join();
    barrier.reset();
    Peer other([&] { barrier.wait(); });
    barrier.wait();
  }
}

TEST_F(BarrierFaults, L48_AStoppedPartyIsWaitedFor) {
  Barrier barrier(2);
  Peer other([&] { barrier.wait(); });
  until([&] { return barrier.n_waiting() == 1; });
  ASSERT_EQ(::kill(other.pid(), SIGSTOP), 0);
  Event never;
  EXPECT_FALSE(never.wait_for(100ms));
  EXPECT_FALSE(barrier.broken());
  EXPECT_EQ(barrier.wait(), 1U) << "it has come; who is stopped leaves later";
  EXPECT_THROW(barrier.wait_for(50ms), BrokenBarrier);
  ASSERT_EQ(::kill(other.pid(), SIGCONT), 0);
  other.join();
}

TEST_F(BarrierFaults, L46_SignalsEndNoWaitAndShortenNone) {
  Barrier barrier(2);
  const SignalStorm storm;
  Peer other([&] {
    barrier.wait();
    EXPECT_THROW(barrier.wait(), BrokenBarrier);
  });
  barrier.wait();
  until([&] { return barrier.n_waiting() == 1; });
  barrier.abort();
  other.join();
  barrier.reset();
  const Stopwatch watch;
  EXPECT_THROW(barrier.wait_for(60ms), BrokenBarrier);
  EXPECT_GE(watch.elapsed(), 60ms);
  EXPECT_GT(SignalStorm::hits(), 0);
}

TEST_F(BarrierFaults, L50_AThousandLeaveNothing) {
  const auto make = [] {
    Barrier barrier(1);
    barrier.wait();
    Barrier(4).abort();
  };
  for (int i = 0; i < 100; ++i) make();
  const Resources before = Resources::now();
  for (int i = 0; i < 1'000; ++i) make();
  expect_no_growth(before, Resources::now());
}

TEST_F(BarrierFaults, L50_AForkBesideThreadsThatWaitIsAParty) {
  Barrier barrier(3);
  std::jthread waiting([&] { barrier.wait(); });
  until([&] { return barrier.n_waiting() == 1; });
  Peer child([&] { barrier.wait(); });
  until([&] { return barrier.n_waiting() == 2; });
  EXPECT_EQ(barrier.wait(), 2U);
}

}  // namespace
}  // namespace crucible::testing
