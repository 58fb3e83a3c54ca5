// Clauses H7, L40 and L43: locks whose holders die or stop.
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <list>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#include "conformance/lock_support.h"
#include "conformance/support/children.h"

namespace crucible::testing {
namespace {

// Another process that takes the lock and ends by `end` without releasing it.
template <class L, class F>
void die_holding(L& lock, F end) {
  Peer peer([&] {
    EXPECT_EQ(lock.acquire(), Status::kOk);
    end();
  });
  (void)peer.wait_status();
}

template <class L>
void expect_told_once(L& lock) {
  EXPECT_FALSE(lock.locked());
  EXPECT_EQ(lock.acquire_for(1h), Status::kOwnerDied);
  EXPECT_TRUE(lock.holds());
  elsewhere([&lock] { EXPECT_EQ(lock.try_acquire(), Status::kTimeout); });
  lock.release();
  EXPECT_EQ(lock.try_acquire(), Status::kOk);
  lock.release();
}

TEST_F(Locks, H7_LockOfAKilledHolderIsTakenAndSaid) {
  with_each_lock([](auto& lock) {
    Holder holder(lock);
    holder.kill();
    expect_told_once(lock);
  });
}

TEST_F(Locks, H7_UnreapedHolderIsDead) {
  with_each_lock([](auto& lock) {
    Holder holder(lock);
    ::kill(holder.peer().pid(), SIGKILL);
    await_zombie(holder.peer().pid());
    EXPECT_EQ(lock.try_acquire(), Status::kOwnerDied);
    lock.release();
    holder.kill();
  });
}

TEST_F(Locks, H7_HolderThatEndsOrRunsAnotherProgramIsDead) {
  with_each_lock([](auto& lock) {
    die_holding(lock, [] { ::_exit(0); });
    expect_told_once(lock);
    die_holding(lock, [] { ::execl("/bin/true", "true", nullptr); });
    expect_told_once(lock);
  });
}

TEST_F(Locks, H7_ThreadThatEndsIsDeadThoughItsProcessLives) {
  with_each_lock([](auto& lock) {
    std::thread([&lock] { EXPECT_EQ(lock.acquire(), Status::kOk); }).join();
    expect_told_once(lock);
  });
}

TEST_F(Locks, H7_HolderThatDestroysItsHandleIsDead) {
  with_each_lock([](auto& lock) {
    using L = std::remove_reference_t<decltype(lock)>;
    Event ended;
    auto mine = std::make_unique<L>();
    Peer peer([&] {
      ended.wait();
      expect_told_once(*mine);
    });
    EXPECT_EQ(lock.acquire(), Status::kOk);
    EXPECT_EQ(mine->acquire(), Status::kOk);
    mine.reset();
    ended.set();
    peer.join();
    EXPECT_TRUE(lock.holds());  // its neighbour in the thread's list
    lock.release();
  });
}

TEST_F(Locks, H7_StdsNamesThrowAndHoldNothingUntilSomebodyAcquires) {
  with_each_lock([](auto& lock) {
    Holder holder(lock);
    holder.kill();
    for (int i = 0; i < 2; ++i) {
      EXPECT_THROW(lock.lock(), OwnerDied);
      EXPECT_THROW((void)lock.try_lock(), OwnerDied);
      EXPECT_THROW((void)lock.try_lock_for(1h), OwnerDied);
      EXPECT_THROW(const std::scoped_lock guard(lock), OwnerDied);
      EXPECT_FALSE(lock.holds() || lock.locked());
    }
    elsewhere([&lock] { EXPECT_THROW(lock.lock(), OwnerDied); });
    EXPECT_EQ(lock.acquire(), Status::kOwnerDied);
    elsewhere([&lock] { EXPECT_FALSE(lock.try_lock()); });
    lock.release();
    const std::scoped_lock guard(lock);
    EXPECT_TRUE(lock.holds());
  });
}

TEST_F(Locks, H7_RepairerThatDiesIsToldToo) {
  with_each_lock([](auto& lock) {
    Holder holder(lock);
    holder.kill();
    for (int i = 0; i < 3; ++i) {
      Peer repairer([&lock] {
        EXPECT_EQ(lock.acquire(), Status::kOwnerDied);
        ::_exit(0);
      });
      repairer.join();
    }
    expect_told_once(lock);
  });
}

TEST_F(Locks, H7_AllWaitersGoOnAndOneIsTold) {
  with_each_lock([](auto& lock) {
    const SharedBox<std::atomic<int>> told(0);
    Holder holder(lock);
    std::list<Peer> waiters;
    for (int i = 0; i < 5; ++i) {
      waiters.emplace_back([&] {
        const Status status = lock.acquire();
        EXPECT_TRUE(lock.holds());
        if (status == Status::kOwnerDied) ++*told;
        lock.release();
      });
      await_blocked(waiters.back().pid());
    }
    holder.kill();
    for (Peer& waiter : waiters) waiter.join();
    EXPECT_EQ(*told, 1);
  });
}

TEST_F(Locks, H7_AllWaitersByStdsNamesThrow) {
  with_each_lock([](auto& lock) {
    Holder holder(lock);
    std::list<Peer> waiters;
    for (int i = 0; i < 4; ++i) {
      waiters.emplace_back([&lock] { EXPECT_THROW(lock.lock(), OwnerDied); });
      await_blocked(waiters.back().pid());
    }
    holder.kill();
    for (Peer& waiter : waiters) waiter.join();
    expect_told_once(lock);
  });
}

TEST_F(Locks, H7_DeathEndsAllLevels) {
  RLock lock;
  die_holding(lock, [&lock] {
    EXPECT_EQ(lock.acquire(), Status::kOk);
    EXPECT_EQ(lock.acquire(), Status::kOk);
    ::_exit(0);
  });
  EXPECT_EQ(lock.acquire(), Status::kOwnerDied);
  EXPECT_EQ(lock.depth(), 1U);
  EXPECT_EQ(lock.acquire(), Status::kOk);  // said once
  EXPECT_EQ(lock.depth(), 2U);
  lock.release();
  lock.release();
  EXPECT_FALSE(lock.locked());
}

TEST_F(LocksTiming, H7_WaiterOfAKilledHolderHasItWithin100Ms) {
  with_each_lock([](auto& lock) {
    const SharedBox<std::atomic<std::int64_t>> taken_ns(0);
    Holder holder(lock);
    Peer waiter([&] {
      EXPECT_EQ(lock.acquire(), Status::kOwnerDied);
      *taken_ns = Deadline::now_ns();
      lock.release();
    });
    await_blocked(waiter.pid());
    const std::int64_t killed_ns = Deadline::now_ns();
    holder.kill();
    waiter.join();
    EXPECT_LT(*taken_ns - killed_ns, 100'000'000);
  });
}

TEST_F(Locks, L40_StoppedHolderKeepsIt) {
  with_each_lock([](auto& lock) {
    Holder holder(lock);
    ::kill(holder.peer().pid(), SIGSTOP);
    EXPECT_EQ(lock.acquire_for(1s), Status::kTimeout);
    EXPECT_TRUE(lock.locked());
    ::kill(holder.peer().pid(), SIGCONT);
    holder.let_go();
    EXPECT_EQ(lock.try_acquire(), Status::kOk);
    lock.release();
  });
}

TEST_F(Locks, L40_StoppedWaiterKeepsNobodyWaiting) {
  with_each_lock([](auto& lock) {
    Holder holder(lock);
    Peer stopped([&lock] {
      EXPECT_EQ(lock.acquire(), Status::kOk);
      lock.release();
    });
    await_blocked(stopped.pid());
    ::kill(stopped.pid(), SIGSTOP);
    Peer waiter([&lock] {
      EXPECT_EQ(lock.acquire(), Status::kOk);
      lock.release();
    });
    await_blocked(waiter.pid());
    holder.let_go();  // the wake-up goes to the one that was first
    waiter.join();
    ::kill(stopped.pid(), SIGCONT);
    stopped.join();
  });
}

// One of the C library's in memory that processes share.
class LibraryMutexes {
 public:
  LibraryMutexes() {
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    for (pthread_mutex_t& mutex : *mutexes_) pthread_mutex_init(&mutex, &kind);
    pthread_mutexattr_destroy(&kind);
  }
  pthread_mutex_t* operator[](std::size_t i) { return &(*mutexes_)[i]; }

 private:
  SharedBox<std::array<pthread_mutex_t, 3>> mutexes_;
};

TEST_F(Locks, L43_LibrarysRobustMutexesInBetween) {
  LibraryMutexes mutexes;
  std::list<Lock> locks;
  for (int i = 0; i < 3; ++i) locks.emplace_back();
  const auto take_in_turn = [&] {
    std::size_t i = 0;
    for (Lock& lock : locks) {
      lock.lock();
      EXPECT_EQ(pthread_mutex_lock(mutexes[i++]), 0);
    }
  };
  take_in_turn();
  locks.front().release();  // the bottom, the middle and the top of what this thread holds
  EXPECT_EQ(pthread_mutex_unlock(mutexes[1]), 0);
  EXPECT_EQ(pthread_mutex_unlock(mutexes[2]), 0);
  locks.back().release();
  EXPECT_EQ(pthread_mutex_unlock(mutexes[0]), 0);
  std::next(locks.begin())->release();
  Peer([&] {
    take_in_turn();
    std::next(locks.begin())->release();
    EXPECT_EQ(pthread_mutex_unlock(mutexes[0]), 0);
    ::_exit(0);
  }).join();
  EXPECT_EQ(locks.front().try_acquire(), Status::kOwnerDied);
  EXPECT_EQ(std::next(locks.begin())->try_acquire(), Status::kOk);
  EXPECT_EQ(locks.back().try_acquire(), Status::kOwnerDied);
  EXPECT_EQ(pthread_mutex_trylock(mutexes[0]), 0);
  for (const std::size_t i : {1U, 2U}) {
    EXPECT_EQ(pthread_mutex_trylock(mutexes[i]), EOWNERDEAD);
    pthread_mutex_consistent(mutexes[i]);
  }
  for (const std::size_t i : {0U, 1U, 2U}) pthread_mutex_unlock(mutexes[i]);
  for (Lock& lock : locks) lock.release();
}

TEST_F(Locks, L43_AllOfTwoThousandAreToldAndOneMoreIsRefused) {
  std::list<Lock> locks;
  for (unsigned i = 0; i < RobustMutex::kMostHeld; ++i) locks.emplace_back();
  Lock one_more;
  Peer([&] {
    for (Lock& lock : locks) lock.lock();
    EXPECT_THROW((void)one_more.acquire(), std::system_error);
    EXPECT_FALSE(one_more.locked());
    locks.front().release();
    one_more.lock();
    one_more.release();
    locks.front().lock();
    ::_exit(0);
  }).join();
  for (Lock& lock : locks) {
    ASSERT_EQ(lock.try_acquire(), Status::kOwnerDied);
    lock.release();
  }
}

}  // namespace
}  // namespace crucible::testing
