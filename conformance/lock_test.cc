// Clauses L1 to L7 and L33 to L35: locks whose holders live.
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "conformance/lock_support.h"

namespace crucible::testing {
namespace {

TEST_F(Locks, L1_FurtherTriesFailUntilItIsReleased) {
  with_each_lock([](auto& lock) {
    ASSERT_EQ(lock.acquire(), Status::kOk);
    elsewhere([&lock] {
      EXPECT_EQ(lock.try_acquire(), Status::kTimeout);
      EXPECT_FALSE(lock.try_lock());
    });
    lock.release();
    elsewhere([&lock] {
      EXPECT_EQ(lock.try_acquire(), Status::kOk);
      lock.release();
      EXPECT_TRUE(lock.try_lock());
      lock.unlock();
    });
  });
}

TEST_F(Locks, L1_ReleaseOfAFreeLockIsOverRelease) {
  Lock lock;
  EXPECT_THROW(lock.release(), OverRelease);
  EXPECT_THROW(lock.unlock(), OverRelease);
  EXPECT_EQ(lock.acquire(), Status::kOk);
  lock.release();
  EXPECT_THROW(lock.release(), OverRelease);
  EXPECT_EQ(lock.try_acquire(), Status::kOk);
  lock.release();
}

TEST_F(Locks, L1_GuardHoldsItForItsScope) {
  with_each_lock([](auto& lock) {
    {
      const std::scoped_lock guard(lock);
      EXPECT_TRUE(lock.holds());
      elsewhere([&lock] { EXPECT_EQ(lock.try_acquire(), Status::kTimeout); });
    }
    EXPECT_FALSE(lock.holds());
    elsewhere([&lock] { const std::scoped_lock guard(lock); });
  });
}

TEST_F(Locks, L1_LockedAgreesInAllProcesses) {
  with_each_lock([](auto& lock) {
    EXPECT_FALSE(lock.locked());
    ASSERT_EQ(lock.acquire(), Status::kOk);
    EXPECT_TRUE(lock.locked());
    elsewhere([&lock] {
      EXPECT_TRUE(lock.locked());
      EXPECT_FALSE(lock.holds());
    });
    lock.release();
    EXPECT_FALSE(lock.locked());
    Holder holder(lock);
    EXPECT_TRUE(lock.locked());
    EXPECT_FALSE(lock.holds());
    holder.let_go();
    EXPECT_FALSE(lock.locked());
  });
}

TEST_F(Locks, L3_TimedFormsAreNotEarly) {
  with_each_lock([](auto& lock) {
    Holder holder(lock);
    const auto lasts = [](auto call) {
      const Stopwatch watch;
      call();
      EXPECT_GE(watch.elapsed(), 70ms);  // more than a sleeper's longest nap
    };
    lasts([&] { EXPECT_EQ(lock.acquire_for(70ms), Status::kTimeout); });
    lasts([&] { EXPECT_EQ(lock.acquire(Deadline::after(70ms)), Status::kTimeout); });
    lasts([&] { EXPECT_FALSE(lock.try_lock_for(70ms)); });
    lasts([&] { EXPECT_FALSE(lock.try_lock_until(std::chrono::steady_clock::now() + 70ms)); });
    lasts([&] { EXPECT_FALSE(lock.try_lock_until(std::chrono::system_clock::now() + 71ms)); });
    holder.let_go();
  });
}

TEST_F(Locks, L3_ZeroAndNegativeTimesTry) {
  with_each_lock([](auto& lock) {
    Holder holder(lock);
    for (const auto time : {0s, -1s, std::chrono::seconds::min()}) {
      EXPECT_EQ(lock.acquire_for(time), Status::kTimeout);
      EXPECT_FALSE(lock.try_lock_for(time));
    }
    EXPECT_FALSE(lock.try_lock_until(std::chrono::steady_clock::time_point()));
    holder.let_go();
    for (const auto time : {0s, -1s}) {
      EXPECT_EQ(lock.acquire_for(time), Status::kOk);
      lock.release();
    }
  });
}

TEST_F(Locks, L3_WaiterGetsWhatIsReleasedMeanwhile) {
  with_each_lock([](auto& lock) {
    Holder holder(lock);
    std::atomic<pid_t> waiter = 0;
    std::thread thread([&] {
      waiter = thread_id();
      EXPECT_EQ(lock.acquire_for(1h), Status::kOk);
      lock.release();
    });
    while (waiter == 0) std::this_thread::yield();
    await_blocked(::getpid(), waiter);
    holder.let_go();
    thread.join();
  });
}

TEST_F(LocksTiming, L3_TriesReturnWithin20MsTimesWithin100MsMore) {
  with_each_lock([](auto& lock) {
    Holder holder(lock);
    const Stopwatch none;
    EXPECT_EQ(lock.try_acquire(), Status::kTimeout);
    EXPECT_EQ(lock.acquire_for(-1h), Status::kTimeout);
    EXPECT_LT(none.elapsed(), 20ms);
    const Stopwatch some;
    EXPECT_EQ(lock.acquire_for(120ms), Status::kTimeout);
    EXPECT_LT(some.elapsed(), 220ms);
    holder.let_go();
  });
}

TEST_F(Locks, L4_NoAdditionIsLost) {
  with_each_lock([](auto& lock) {
    const SharedBox<std::atomic<std::uint64_t>> number(0U);
    const auto add = [&] {
      for (int i = 0; i < 5'000; ++i) {
        const std::scoped_lock guard(lock);
        const std::uint64_t seen = number->load(std::memory_order_relaxed);
        if (i % 100 == 0) std::this_thread::yield();
        number->store(seen + 1, std::memory_order_relaxed);
      }
    };
    const auto add_twice = [&] {
      std::thread other(add);
      add();
      other.join();
    };
    Peer peer(add_twice);
    add_twice();
    peer.join();
    EXPECT_EQ(*number, 20'000U);
  });
}

TEST_F(Locks, L6_AsManyReleasesAsAcquisitions) {
  RLock lock;
  for (std::uint32_t depth = 1; depth <= 3; ++depth) {
    EXPECT_EQ(lock.acquire(), Status::kOk);
    EXPECT_EQ(lock.depth(), depth);
  }
  for (std::uint32_t depth = 3; depth > 0; --depth) {
    elsewhere([&lock] {
      EXPECT_EQ(lock.try_acquire(), Status::kTimeout);
      EXPECT_EQ(lock.depth(), 0U);
    });
    lock.release();
  }
  EXPECT_FALSE(lock.locked());
  EXPECT_THROW(lock.release(), NotOwner);
  elsewhere([&lock] { const std::scoped_lock guard(lock); });
}

TEST_F(Locks, L6_AllLevelsCanBeLetGoAndTakenBack) {
  RLock lock;
  EXPECT_THROW((void)lock.release_all(), NotOwner);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(lock.acquire(), Status::kOk);
  EXPECT_THROW((void)lock.acquire_all(3), StateError);
  EXPECT_EQ(lock.release_all(), 3U);
  elsewhere([&lock] {
    const std::scoped_lock guard(lock);
    EXPECT_EQ(lock.depth(), 1U);
  });
  EXPECT_THROW((void)lock.acquire_all(0), BadArgument);
  {
    Holder holder(lock);
    EXPECT_EQ(lock.acquire_all(3, Deadline::after(1ms)), Status::kTimeout);
    EXPECT_EQ(lock.depth(), 0U);
    holder.let_go();
  }
  EXPECT_EQ(lock.acquire_all(3), Status::kOk);
  EXPECT_EQ(lock.depth(), 3U);
  for (int i = 0; i < 3; ++i) lock.release();
  EXPECT_FALSE(lock.locked());
}

TEST_F(Locks, L7_NobodyElseTakesOrReleasesIt) {
  with_each_lock([](auto& lock) {
    ASSERT_EQ(lock.acquire(), Status::kOk);
    elsewhere([&lock] {
      EXPECT_EQ(lock.acquire_for(1ms), Status::kTimeout);
      EXPECT_THROW(lock.release(), NotOwner);
      EXPECT_THROW(lock.unlock(), NotOwner);
    });
    EXPECT_TRUE(lock.holds());
    lock.release();
  });
}

TEST_F(Locks, L7_ChildOfTheHolderHoldsNothing) {
  with_each_lock([](auto& lock) {
    Lock other;
    const std::scoped_lock both(lock, other);
    Peer child([&] {
      EXPECT_FALSE(lock.holds());
      EXPECT_EQ(lock.try_acquire(), Status::kTimeout);
      EXPECT_THROW(lock.release(), NotOwner);
      Lock own;  // what it takes itself is its own affair
      const std::scoped_lock guard(own);
    });
    child.join();
    EXPECT_TRUE(lock.holds());
    EXPECT_TRUE(other.holds());
  });
}

TEST_F(Locks, L33_HolderWaitsForItselfAsLongAsItSaid) {
  Lock lock;
  ASSERT_EQ(lock.acquire(), Status::kOk);
  EXPECT_EQ(lock.try_acquire(), Status::kTimeout);
  EXPECT_FALSE(lock.try_lock());
  const Stopwatch watch;
  EXPECT_EQ(lock.acquire_for(70ms), Status::kTimeout);
  EXPECT_GE(watch.elapsed(), 70ms);
  EXPECT_THROW((void)lock.acquire(), StateError);
  EXPECT_THROW(lock.lock(), StateError);
  EXPECT_TRUE(lock.holds());
  lock.release();
  EXPECT_FALSE(lock.locked());
}

TEST_F(Locks, L34_SeveralAtOnceInAnyOrder) {
  Lock first;
  RLock second;
  const auto take = [&](auto& one, auto& other) {
    for (int i = 0; i < 2'000; ++i) {
      const std::scoped_lock both(one, other);
      EXPECT_TRUE(first.holds() && second.holds());
    }
  };
  Peer peer([&] { take(first, second); });
  std::thread thread([&] { take(first, second); });
  take(second, first);
  thread.join();
  peer.join();
  EXPECT_FALSE(first.locked() || second.locked());
}

TEST_F(Locks, L34_UniqueLockTriesWaitsAndLetsGo) {
  with_each_lock([](auto& lock) {
    Holder holder(lock);
    std::unique_lock guard(lock, std::try_to_lock);
    EXPECT_FALSE(guard.owns_lock());
    EXPECT_FALSE(guard.try_lock_for(1ms));
    EXPECT_FALSE(guard.try_lock_until(std::chrono::steady_clock::now() + 1ms));
    holder.let_go();
    EXPECT_TRUE(guard.try_lock());
    guard.unlock();
    EXPECT_FALSE(lock.locked());
    guard.lock();
    EXPECT_TRUE(lock.holds());
  });
}

TEST_F(Locks, L34_ConditionVariableAnyWaitsUnderIt) {
  with_each_lock([](auto& lock) {
    std::condition_variable_any changed;
    int turn = 0;
    const auto play = [&](int mine) {
      for (int round = 0; round < 500; ++round) {
        std::unique_lock guard(lock);
        changed.wait(guard, [&] { return turn % 2 == mine; });
        ++turn;
        changed.notify_all();
      }
    };
    std::thread other(play, 1);
    play(0);
    other.join();
    EXPECT_EQ(turn, 1'000);
  });
}

TEST_F(Locks, L35_NoSystemCallWhileNobodyElseIsThere) {
  Lock lock;
  RLock rlock;
  Semaphore semaphore(1);
  Peer peer([&] {
    const auto use = [&] {
      const std::scoped_lock both(lock, rlock);
      semaphore.acquire();
      semaphore.release();
    };
    use();  // a thread's first asks the kernel for its id
    // From here on any system call but read, write and exit kills.
    ASSERT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), 0);
    for (int i = 0; i < 1'000; ++i) use();
    ::syscall(SYS_exit, 0);
  });
  peer.join();
}

}  // namespace
}  // namespace crucible::testing
