// Clauses L39, L41, L42 and H22: signals, forks, many objects, many contenders.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "conformance/lock_support.h"
#include "conformance/support/resources.h"

namespace crucible::testing {
namespace {

TEST_F(Locks, L39_SignalsNeitherEndNorProlongAWaitForALock) {
  with_each_lock([](auto& lock) {
    Holder holder(lock);
    Event waits;
    Peer waiter([&] {
      const SignalStorm storm;
      const Stopwatch watch;
      EXPECT_EQ(lock.acquire_for(200ms), Status::kTimeout);
      EXPECT_FALSE(lock.try_lock_for(200ms));
      EXPECT_GE(watch.elapsed(), 400ms);
      EXPECT_GT(SignalStorm::hits(), 30);
      waits.set();
      EXPECT_EQ(lock.acquire(), Status::kOk);
      lock.release();
    });
    waits.wait();
    holder.let_go();
    waiter.join();
  });
}

TEST_F(Semaphores, L39_SignalsNeitherEndNorProlongAWaitForOne) {
  Semaphore semaphore(0);
  Event waits;
  Peer waiter([&] {
    const SignalStorm storm;
    const Stopwatch watch;
    EXPECT_FALSE(semaphore.acquire_for(200ms));
    EXPECT_FALSE(semaphore.permit_for(200ms));
    EXPECT_GE(watch.elapsed(), 400ms);
    EXPECT_GT(SignalStorm::hits(), 30);
    waits.set();
    semaphore.acquire();
    const Semaphore::Permit permit = semaphore.permit();
  });
  waits.wait();
  semaphore.release();
  semaphore.release();
  waiter.join();
  EXPECT_EQ(semaphore.value(), 1);
}

TEST_F(Locks, L41_ChildrenForkedWhileThreadsUseThem) {
  Lock lock;
  RLock rlock;
  Semaphore semaphore(2);
  const SharedBox<std::atomic<std::uint64_t>> number(0U);
  const auto use = [&] {
    const std::scoped_lock both(lock, rlock);
    const Semaphore::Permit permit = semaphore.permit();
    number->store(number->load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  };
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> uses = 0;
  std::array<std::thread, 2> threads;
  for (std::thread& thread : threads) {
    thread = std::thread([&] {
      for (; !stop; ++uses) use();
    });
  }
  constexpr std::uint64_t kChildren = 60;
  for (std::uint64_t i = 0; i < kChildren; ++i) {
    Peer([&] {
      use();
      Lock own;
      BoundedSemaphore own_semaphore;
      const std::scoped_lock guard(own);
      const Semaphore::Permit permit = own_semaphore.permit();
    }).join();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(*number, uses + kChildren);
  EXPECT_EQ(semaphore.value(), 2);
  EXPECT_FALSE(lock.locked() || rlock.locked());
}

TEST_F(Locks, L42_AThousandOfEachLeaveNothing) {
  const auto make_and_use = [] {
    for (int i = 0; i < 500; ++i) {
      Lock lock;
      RLock rlock;
      Semaphore semaphore;
      BoundedSemaphore bounded;
      const std::scoped_lock both(lock, rlock);
      const Semaphore::Permit permit = semaphore.permit();
      const Semaphore::Permit other = bounded.permit();
    }
  };
  make_and_use();
  const Resources first = Resources::now();
  make_and_use();
  expect_no_growth(first, Resources::now());
}

TEST_F(Locks, L42_KilledUsersLeaveNothing) {
  const Resources first = Resources::now();
  for (int i = 0; i < 100; ++i) {
    Lock lock;
    Semaphore semaphore;
    Peer peer([&] {
      const std::scoped_lock guard(lock);
      const Semaphore::Permit permit = semaphore.permit();
      ::_exit(0);
    });
    peer.join();
  }
  expect_no_growth(first, Resources::now());
}

struct Share {
  std::atomic<std::uint64_t> visits;
  std::atomic<std::int64_t> longest_ns;
};

// `visit` in eight processes for a second; prints how they fared.
template <class F>
void expect_all_served(const char* what, F visit) {
  constexpr std::size_t kContenders = 8;
  const SharedBox<std::array<Share, kContenders>> shares;
  Event begin;
  std::list<Peer> peers;
  for (std::size_t i = 0; i < kContenders; ++i) {
    peers.emplace_back([&, i] {
      begin.wait();
      Share& mine = (*shares)[i];
      const Deadline end = Deadline::after(1s);
      while (!end.has_passed()) {
        const std::int64_t before = Deadline::now_ns();
        const std::int64_t waited = visit() - before;
        ++mine.visits;
        mine.longest_ns = std::max(mine.longest_ns.load(), waited);
      }
    });
  }
  begin.set();
  for (Peer& peer : peers) peer.join();
  double sum = 0;
  double squares = 0;
  std::int64_t longest_ns = 0;
  for (const Share& share : *shares) {
    const auto visits = static_cast<double>(share.visits);
    sum += visits;
    squares += visits * visits;
    longest_ns = std::max(longest_ns, share.longest_ns.load());
    EXPECT_GT(share.visits, 0U);
  }
  std::printf("[ fairness ] %s, %zu processes: longest wait %.1f ms, Jain's index %.3f, %.0f visits/s\n", what,
              kContenders, static_cast<double>(longest_ns) / 1e6,
              sum * sum / (static_cast<double>(kContenders) * squares), sum);
  EXPECT_LT(longest_ns, 5'000'000'000);
}

TEST_F(LocksTiming, H22_AllContendersAreServed) {
  with_each_lock([](auto& lock) {
    expect_all_served("lock", [&lock] {
      const std::scoped_lock guard(lock);
      return Deadline::now_ns();
    });
  });
}

TEST_F(SemaphoresTiming, H22_AllContendersAreServed) {
  Semaphore semaphore(1);
  expect_all_served("Semaphore, acquire", [&] {
    semaphore.acquire();
    const std::int64_t now = Deadline::now_ns();
    semaphore.release();
    return now;
  });
  expect_all_served("Semaphore, permit", [&] {
    const Semaphore::Permit permit = semaphore.permit();
    return Deadline::now_ns();
  });
}

}  // namespace
}  // namespace crucible::testing
