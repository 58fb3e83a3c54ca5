// Clauses L8 to L12 and H21: semaphores whose users live.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <list>
#include <optional>
#include <thread>
#include <utility>

#include "conformance/lock_support.h"

namespace crucible::testing {
namespace {

// By acquire() and by permits alike.
template <class S>
void expect_counts_down_from_two(S& semaphore) {
  EXPECT_EQ(semaphore.value(), 2);
  semaphore.acquire();
  elsewhere([&] { EXPECT_EQ(semaphore.value(), 1); });
  EXPECT_TRUE(semaphore.try_acquire());
  elsewhere([&] {
    EXPECT_EQ(semaphore.value(), 0);
    EXPECT_FALSE(semaphore.try_acquire());
    EXPECT_FALSE(semaphore.try_permit());
  });
}

TEST_F(Semaphores, L8_CountsDownAndUpAndOn) {
  Semaphore semaphore(2);
  expect_counts_down_from_two(semaphore);
  for (std::int64_t value = 1; value <= 4; ++value) {
    Peer([&semaphore] { semaphore.release(); }).join();
    EXPECT_EQ(semaphore.value(), value);
  }
}

TEST_F(Semaphores, L8_PermitsCountAlike) {
  Semaphore semaphore(2);
  {
    const Semaphore::Permit first = semaphore.permit();
    EXPECT_EQ(semaphore.value(), 1);
    std::optional<Semaphore::Permit> second = semaphore.try_permit();
    ASSERT_TRUE(second);
    elsewhere([&] {
      EXPECT_EQ(semaphore.value(), 0);
      EXPECT_FALSE(semaphore.try_permit());
    });
    second->release();
    second->release();  // again is no matter
    EXPECT_EQ(semaphore.value(), 1);
    second.reset();
    EXPECT_EQ(semaphore.value(), 1);
    elsewhere([&] { const auto third = semaphore.permit_for(1h); });
  }
  EXPECT_EQ(semaphore.value(), 2);
}

TEST_F(Semaphores, L8_PermitCanBeHandedToAnotherThread) {
  Semaphore semaphore(2);
  Semaphore::Permit kept = semaphore.permit();
  Semaphore::Permit given = semaphore.permit();
  std::thread([mine = std::move(given)]() mutable {}).join();
  EXPECT_EQ(semaphore.value(), 1);
  kept = semaphore.permit();  // what it held before ends with the temporary
  EXPECT_EQ(semaphore.value(), 1);
}

TEST_F(Semaphores, L9_ReleaseAboveTheInitialValueIsOverRelease) {
  BoundedSemaphore semaphore(2);
  EXPECT_THROW(semaphore.release(), OverRelease);
  expect_counts_down_from_two(semaphore);
  for (std::int64_t value = 1; value <= 2; ++value) {
    semaphore.release();
    EXPECT_EQ(semaphore.value(), value);
  }
  elsewhere([&] { EXPECT_THROW(semaphore.release(), OverRelease); });
  EXPECT_EQ(semaphore.value(), 2);
}

TEST_F(Semaphores, L9_PermitThatIsOutIsNotReleasedByOthers) {
  BoundedSemaphore semaphore(2);
  semaphore.acquire();
  std::optional<Semaphore::Permit> permit = semaphore.permit();
  semaphore.release();
  EXPECT_THROW(semaphore.release(), OverRelease);
  EXPECT_EQ(semaphore.value(), 1);
  permit.reset();
  EXPECT_EQ(semaphore.value(), 2);
}

TEST_F(Semaphores, L10_TimedFormsAreNotEarly) {
  Semaphore semaphore(0);
  const auto lasts = [](auto call) {
    const Stopwatch watch;
    EXPECT_FALSE(call());
    EXPECT_GE(watch.elapsed(), 70ms);  // more than a sleeper's longest nap
  };
  lasts([&] { return semaphore.acquire_for(70ms); });
  lasts([&] { return semaphore.acquire_until(Deadline::after(70ms)); });
  lasts([&] { return semaphore.permit_for(70ms).has_value(); });
  lasts([&] { return semaphore.permit_until(Deadline::after(70ms)).has_value(); });
}

TEST_F(Semaphores, L10_ZeroAndNegativeTimesTry) {
  Semaphore semaphore(0);
  for (const auto time : {0s, -1s, std::chrono::seconds::min()}) {
    EXPECT_FALSE(semaphore.acquire_for(time));
    EXPECT_FALSE(semaphore.permit_for(time));
  }
  semaphore.release();
  EXPECT_TRUE(semaphore.acquire_for(-1s));
  semaphore.release();
  EXPECT_TRUE(semaphore.permit_for(0s));
  EXPECT_EQ(semaphore.value(), 1);
}

TEST_F(Semaphores, L10_WaitersTakeWhatIsReleasedMeanwhile) {
  Semaphore semaphore(0);
  Peer plain([&] { EXPECT_TRUE(semaphore.acquire_for(1h)); });
  Peer waits([&] { EXPECT_TRUE(semaphore.permit_for(1h)); });
  await_blocked(plain.pid());
  await_blocked(waits.pid());
  semaphore.release();
  semaphore.release();
  plain.join();
  waits.join();
  EXPECT_EQ(semaphore.value(), 1);
}

TEST_F(Semaphores, L10_GivenBackPermitWakesAWaiter) {
  Semaphore semaphore(1);
  std::optional<Semaphore::Permit> permit = semaphore.permit();
  Peer waits([&] { EXPECT_TRUE(semaphore.permit_for(1h)); });
  await_blocked(waits.pid());
  permit.reset();
  waits.join();
}

TEST_F(SemaphoresTiming, L10_TriesReturnWithin20MsTimesWithin100MsMore) {
  Semaphore semaphore(0);
  const Stopwatch none;
  EXPECT_FALSE(semaphore.try_acquire());
  EXPECT_FALSE(semaphore.try_permit());
  EXPECT_LT(none.elapsed(), 20ms);
  const Stopwatch some;
  EXPECT_FALSE(semaphore.acquire_for(120ms));
  EXPECT_LT(some.elapsed(), 220ms);
}

TEST_F(SemaphoresTiming, L10_ReleaseWakesWithoutANap) {
  Semaphore here(0);
  Semaphore there(0);
  constexpr int kRounds = 200;
  Peer peer([&] {
    for (int i = 0; i < kRounds; ++i) {
      there.acquire();
      here.release();
    }
  });
  const Stopwatch watch;
  for (int i = 0; i < kRounds; ++i) {
    there.release();
    here.acquire();
  }
  EXPECT_LT(watch.elapsed(), kRounds * 10ms);  // a nap is 50 ms
  peer.join();
}

TEST_F(Semaphores, L11_InitialValueOutOfRangeIsBadArgument) {
  constexpr std::int64_t kTooGreat = std::int64_t{1} << 31U;
  for (const std::int64_t value : {std::int64_t{-1}, kTooGreat, std::numeric_limits<std::int64_t>::min(),
                                   std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_THROW(Semaphore{value}, BadArgument) << value;
    EXPECT_THROW(BoundedSemaphore{value}, BadArgument) << value;
  }
}

TEST_F(Semaphores, L11_ReleaseAtTheGreatestIsOverRelease) {
  Semaphore semaphore(Semaphore::kGreatest);
  EXPECT_EQ(semaphore.value(), 2'147'483'647);
  EXPECT_THROW(semaphore.release(), OverRelease);
  {
    const Semaphore::Permit permit = semaphore.permit();
    EXPECT_THROW(semaphore.release(), OverRelease);
  }
  EXPECT_EQ(semaphore.value(), 2'147'483'647);
  semaphore.acquire();
  semaphore.release();
  EXPECT_EQ(semaphore.value(), 2'147'483'647);
}

template <class F>
void expect_never_more_than_two_inside(F visit) {
  constexpr int kVisits = 400;
  struct Room {
    std::atomic<int> inside;
    std::atomic<int> most;
    std::atomic<int> visits;
  };
  const SharedBox<Room> room;
  const auto body = [&] {
    for (int i = 0; i < kVisits; ++i) {
      visit([&] {
        const int inside = ++room->inside;
        int most = room->most;
        while (most < inside && !room->most.compare_exchange_weak(most, inside)) {
        }
        if (i % 10 == 0) std::this_thread::yield();
        ++room->visits;
        --room->inside;
      });
    }
  };
  std::list<Peer> peers;
  for (int i = 0; i < 6; ++i) peers.emplace_back(body);
  for (Peer& peer : peers) peer.join();
  EXPECT_EQ(room->visits, 6 * kVisits);
  EXPECT_LE(room->most, 2);
}

TEST_F(Semaphores, L12_NeverMoreThanTwoInsideAndAllFinish) {
  Semaphore semaphore(2);
  expect_never_more_than_two_inside([&](auto inside) {
    semaphore.acquire();
    inside();
    semaphore.release();
  });
  EXPECT_EQ(semaphore.value(), 2);
}

TEST_F(Semaphores, L12_NeverMoreThanTwoInsideWithPermits) {
  BoundedSemaphore semaphore(2);
  expect_never_more_than_two_inside([&](auto inside) {
    const Semaphore::Permit permit = semaphore.permit();
    inside();
  });
  EXPECT_EQ(semaphore.value(), 2);
}

TEST_F(Semaphores, L12_NoneIsTakenTwiceAndNoneIsLost) {
  constexpr int kMany = 4'000'000;
  Semaphore semaphore(3);
  Event begun;
  Peer taker([&] {
    begun.set();
    for (int i = 0; i < kMany; ++i) semaphore.acquire();
  });
  begun.wait();
  for (int i = 0; i < kMany; ++i) semaphore.release();
  taker.join();
  EXPECT_EQ(semaphore.value(), 3);
}

TEST_F(Semaphores, H21_TheBoundHoldsWhileTwoRelease) {
  BoundedSemaphore semaphore(1);
  const auto hammer = [&] {
    for (int i = 0; i < 2'000'000; ++i) {
      if (semaphore.value() == 1) {
        (void)semaphore.try_acquire();
        continue;
      }
      try {
        semaphore.release();
      } catch (const OverRelease&) {
      }
      ASSERT_LE(semaphore.value(), 1);
    }
  };
  Peer peer(hammer);
  hammer();
  peer.join();
}

TEST_F(Semaphores, H21_AsManyReleasesSucceedAsWereAcquired) {
  constexpr std::int64_t kBound = 3;
  BoundedSemaphore semaphore(kBound);
  struct Book {
    std::atomic<std::int64_t> acquired;
    std::atomic<std::int64_t> released;
  };
  const SharedBox<Book> book;
  Event stop;
  std::list<Peer> releasers;
  for (int i = 0; i < 4; ++i) {
    releasers.emplace_back([&] {
      while (!stop.is_set()) {
        try {
          semaphore.release();
          ++book->released;
        } catch (const OverRelease&) {
          std::this_thread::yield();
        }
        EXPECT_LE(semaphore.value(), kBound);
      }
    });
  }
  while (book->acquired < 20'000) {
    semaphore.acquire();
    ++book->acquired;
  }
  stop.set();
  for (Peer& releaser : releasers) releaser.join();
  EXPECT_EQ(semaphore.value(), kBound - book->acquired + book->released);
}

}  // namespace
}  // namespace crucible::testing
