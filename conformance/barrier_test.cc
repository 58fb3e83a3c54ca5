// Clauses L24 to L32 and L49: Barrier.
#include "core/barrier.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

#include "conformance/event_support.h"
#include "core/fd.h"

namespace crucible::testing {
namespace {

class BarrierTest : public CleanFixture {};

void expect_as_new(Barrier& barrier) {
  EXPECT_FALSE(barrier.broken());
  EXPECT_EQ(barrier.n_waiting(), 0U);
}

// Four processes and this one go through two phases per pass and look how far the others have come.
void expect_lockstep(int passes) {
  constexpr int kParties = 5;
  Barrier barrier(kParties);
  const SharedBox<std::atomic<int>> first{0};
  const SharedBox<std::atomic<int>> second{0};
  const auto run = [&] {
    for (int pass = 0; pass < passes; ++pass) {
      ++*first;
      barrier.wait();
      ASSERT_EQ(*first, kParties * (pass + 1));
      ++*second;
      barrier.wait();
      ASSERT_EQ(*second, kParties * (pass + 1));
      ASSERT_EQ(*first, kParties * (pass + 1)) << "somebody is a phase ahead";
      barrier.wait();
    }
  };
  Crew crew;
  crew.both(2, run);
  run();
  crew.join();
  expect_as_new(barrier);
}

TEST_F(BarrierTest, L24_NobodyIsAPhaseAheadInOnePass) { expect_lockstep(1); }

TEST_F(BarrierTest, L24_NobodyIsAPhaseAheadInTenPasses) { expect_lockstep(10); }

TEST_F(BarrierTest, L24_TellsHowManyWait) {
  Barrier barrier(3);
  EXPECT_EQ(barrier.parties(), 3U);
  Peer first([&] { barrier.wait(); });
  until([&] { return barrier.n_waiting() == 1; });
  Peer second([&] { barrier.wait(); });
  until([&] { return barrier.n_waiting() == 2; });
  barrier.wait();
  expect_as_new(barrier);
}

TEST_F(BarrierTest, L25_PlacesOfOnePassAreDistinct) {
  constexpr std::uint32_t kParties = 6;
  constexpr int kPasses = 50;
  Barrier barrier(kParties);
  const SharedBox<std::array<std::atomic<int>, kParties>> taken;
  const auto run = [&] {
    for (int i = 0; i < kPasses; ++i) ++taken->at(barrier.wait());
  };
  Crew crew;
  crew.both(3, run);
  crew.join();
  for (const auto& place : *taken) EXPECT_EQ(place, kPasses);
}

TEST_F(BarrierTest, L25_PlacesAreInTheOrderOfComing) {
  Barrier barrier(2);
  Peer first([&] { EXPECT_EQ(barrier.wait(), 0U); });
  until([&] { return barrier.n_waiting() == 1; });
  EXPECT_EQ(barrier.wait(), 1U);
}

TEST_F(BarrierTest, L26_ActionRunsOnceBeforeAnyoneLeaves) {
  const SharedBox<std::atomic<int>> runs{0};
  Barrier barrier(5, [&] {
    ::usleep(500);  // time enough to leave
    ++*runs;
  });
  const auto run = [&] {
    for (int i = 1; i <= 20; ++i) {
      barrier.wait();
      ASSERT_EQ(*runs, i);
      barrier.wait();
      ASSERT_EQ(*runs, ++i);
    }
  };
  Crew crew;
  crew.both(2, run);
  run();
  crew.join();
  EXPECT_EQ(*runs, 20);
}

TEST_F(BarrierTest, L26_AFailingActionIsTheRunnersErrorAndBreaksIt) {
  const SharedBox<std::atomic<int>> broken{0};
  const SharedBox<std::atomic<int>> failed{0};
  Barrier barrier(4, [] { throw std::out_of_range("of the action"); });
  Crew crew;
  crew.both(2, [&] {
    try {
      barrier.wait();
      ADD_FAILURE() << "passed";
    } catch (const BrokenBarrier&) {
      ++*broken;
    } catch (const std::out_of_range& error) {
      EXPECT_STREQ(error.what(), "of the action");
      ++*failed;
    }
  });
  crew.join();
  EXPECT_EQ(*broken, 3);
  EXPECT_EQ(*failed, 1);
  EXPECT_TRUE(barrier.broken());
}

TEST_F(BarrierTest, L26_AnActionMayUseTheBarrier) {
  Barrier* in_action = nullptr;
  Barrier barrier(2, [&] {
    EXPECT_EQ(in_action->n_waiting(), 2U);
    in_action->abort();
  });
  in_action = &barrier;
  Peer other([&] { EXPECT_THROW(barrier.wait(), BrokenBarrier); });
  EXPECT_THROW(barrier.wait(), BrokenBarrier);
  other.join();
  EXPECT_TRUE(barrier.broken());
}

TEST_F(BarrierTest, L27_AbortBreaksItForAllAndForGood) {
  Barrier barrier(5);
  Crew crew;
  crew.both(2, [&] { EXPECT_THROW(barrier.wait(), BrokenBarrier); });
  until([&] { return barrier.n_waiting() == 4; });
  barrier.abort();
  barrier.abort();
  crew.join();
  EXPECT_TRUE(barrier.broken());
  EXPECT_EQ(barrier.n_waiting(), 0U);
  EXPECT_THROW(barrier.wait(), BrokenBarrier);
  EXPECT_THROW(barrier.wait_for(0s), BrokenBarrier);
  EXPECT_TRUE(barrier.broken());
}

TEST_F(BarrierTest, L28_ResetWhileOthersWait) {
  Barrier barrier(5);
  for (int i = 0; i < 10; ++i) {
    Crew crew;
    crew.both(2, [&] {
      EXPECT_THROW(barrier.wait(), BrokenBarrier);
      barrier.wait();
    });
    until([&] { return barrier.n_waiting() == 4; });
    barrier.reset();
    EXPECT_FALSE(barrier.broken());
    barrier.wait();
    crew.join();
    expect_as_new(barrier);
  }
}

TEST_F(BarrierTest, L28_ResetAfterAbort) {
  Barrier barrier(3);
  Barrier ready(3);
  const auto run = [&] {
    EXPECT_THROW(barrier.wait(), BrokenBarrier);
    ready.wait();
    barrier.wait();
  };
  Peer process(run);
  std::jthread thread(run);
  until([&] { return barrier.n_waiting() == 2; });
  barrier.abort();
  barrier.reset();
  ready.wait();
  barrier.wait();
  thread.join();
  process.join();
  barrier.reset();
  expect_as_new(barrier);
}

TEST_F(BarrierTest, L29_OneTimeoutBreaksItForAllAndForTheLateOne) {
  Barrier barrier(4);
  Crew crew;
  crew.process([&] { EXPECT_THROW(barrier.wait(), BrokenBarrier); });
  crew.thread([&] { EXPECT_THROW(barrier.wait(), BrokenBarrier); });
  until([&] { return barrier.n_waiting() == 2; });
  const Stopwatch watch;
  EXPECT_THROW(barrier.wait_for(50ms), BrokenBarrier);
  EXPECT_GE(watch.elapsed(), 50ms);
  EXPECT_THROW(barrier.wait(), BrokenBarrier) << "the late one";
  crew.join();
}

TEST_F(BarrierTest, L29_NoTimeOnlyTheLastOnePasses) {
  Barrier barrier(2);
  EXPECT_THROW(barrier.wait_for(0s), BrokenBarrier);
  EXPECT_TRUE(barrier.broken());
  barrier.reset();
  Peer first([&] { EXPECT_EQ(barrier.wait(), 0U); });
  until([&] { return barrier.n_waiting() == 1; });
  EXPECT_EQ(barrier.wait_for(-1s), 1U);
}

TEST_F(BarrierTest, L29_TimeoutsWorkDuringTheAction) {
  const SharedBox<std::atomic<bool>> over{false};
  Barrier barrier(2, [&] { until([&] { return over->load(); }); });
  Peer runner([&] {
    until([&] { return barrier.n_waiting() == 1; });
    EXPECT_THROW(barrier.wait(), BrokenBarrier);
  });
  const Stopwatch watch;
  EXPECT_THROW(barrier.wait_for(200ms), BrokenBarrier);
  EXPECT_GE(watch.elapsed(), 200ms);
  *over = true;
}

TEST_F(BarrierTest, L30_TheBarriersOwnTimeoutIsTheDefault) {
  Barrier barrier(2, {}, 40ms);
  const Stopwatch watch;
  EXPECT_THROW(barrier.wait(), BrokenBarrier);
  EXPECT_GE(watch.elapsed(), 40ms);
  barrier.reset();
  Peer patient([&] { EXPECT_EQ(barrier.wait_for(1h), 0U); });
  until([&] { return barrier.n_waiting() == 1; });
  EXPECT_FALSE(barrier.broken());
  EXPECT_EQ(barrier.wait(), 1U);
}

TEST_F(BarrierTest, L31_OnePartyPassesAtOnce) {
  int runs = 0;
  Barrier barrier(1, [&] { ++runs; });
  for (int i = 1; i <= 100; ++i) {
    EXPECT_EQ(barrier.wait_for(0s), 0U);
    EXPECT_EQ(runs, i);
  }
  expect_as_new(barrier);
}

TEST_F(BarrierTest, L32_AThousandPassesKeepStep) {
  constexpr int kParties = 5;
  constexpr int kPasses = 1'000;
  Barrier barrier(kParties);
  std::array<int, 2> ends = {};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const Fd reader(ends[0]);
  const Fd writer(ends[1]);
  Crew crew;
  for (int party = 0; party < kParties; ++party) {
    crew.process([&] {
      for (std::int32_t pass = 0; pass < kPasses; ++pass) {
        barrier.wait();
        ASSERT_EQ(::write(writer.get(), &pass, sizeof pass), ssize_t{sizeof pass});
      }
    });
  }
  for (std::int32_t pass = 0; pass < kPasses; ++pass) {
    for (int party = 0; party < kParties; ++party) {
      std::int32_t number = 0;
      ASSERT_EQ(::read(reader.get(), &number, sizeof number), ssize_t{sizeof number});
      ASSERT_EQ(number, pass);
    }
  }
  crew.join();
  expect_as_new(barrier);
}

TEST_F(BarrierTest, L49_NoPartiesOrTooManyAreRefused) {
  EXPECT_THROW(Barrier(0), BadArgument);
  EXPECT_THROW(Barrier(static_cast<std::uint32_t>(-1)), BadArgument);
  EXPECT_THROW(Barrier(Barrier::kMaxParties + 1), BadArgument);
  Barrier barrier(Barrier::kMaxParties);
  EXPECT_THROW(barrier.wait_for(1ms), BrokenBarrier);
}

// Who leaves late keeps nobody from the next turn, and who comes too early waits for it.
TEST_F(BarrierTest, L51_MoreThreadsThanParties) {
  std::atomic<int> runs = 0;
  std::atomic<int> passes = 0;
  Barrier barrier(2, [&] {
    ++runs;
    ::usleep(100);
  });
  std::vector<std::jthread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      EXPECT_THROW(
          for (;;) {
            barrier.wait();
            ++passes;
          },
          BrokenBarrier);
    });
  }
  until([&] { return passes >= 600; });
  barrier.abort();
  threads.clear();
  EXPECT_GE(2 * runs, passes);
  EXPECT_LE(2 * runs, passes + 2) << "only the last may have come to nothing";
}

}  // namespace
}  // namespace crucible::testing
