// Clauses M7, M9, M10, M25: managed locks, queues and what is built like them.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "conformance/manager_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class ManagerSync : public ManagerTest {};

TEST_P(ManagerSync, M7_EveryTypeWorksInAChildAndShowsHere) {
  const auto manager = start();
  const auto event = manager->event();
  const auto lock = manager->lock();
  const auto rlock = manager->rlock();
  const auto semaphore = manager->semaphore(2);
  const auto bounded = manager->bounded_semaphore(1);
  const auto queue = manager->queue<int>();
  const auto joinable = manager->joinable_queue<int>();
  const auto list = manager->list<int>();
  const auto dict = manager->dict<int, int>();
  const auto value = manager->value<int>(1);
  const auto array = manager->array<int>({1, 2});
  const auto space = manager->attributes();
  Peer child([&] {
    event.set();
    EXPECT_EQ(lock.acquire(), Status::kOk);
    lock.release();
    EXPECT_EQ(rlock.acquire(), Status::kOk);
    rlock.release();
    semaphore.acquire();
    bounded.acquire();
    queue.put(1);
    joinable.put(2);
    list.append(3);
    dict.set(4, 5);
    value.set(6);
    array.set(0, 7);
    space.set("x", 8);
  });
  child.join();
  EXPECT_TRUE(event.is_set());
  EXPECT_EQ(lock.try_acquire(), Status::kOk);
  EXPECT_EQ(rlock.try_acquire(), Status::kOk);
  EXPECT_EQ(semaphore.value(), 1);
  EXPECT_EQ(bounded.value(), 0);
  EXPECT_EQ(queue.get(), 1);
  EXPECT_FALSE(joinable.join_for(0s));
  EXPECT_EQ(list.get(0), 3);
  EXPECT_EQ(dict.get(4), 5);
  EXPECT_EQ(value.get(), 6);
  EXPECT_EQ(array.get(0), 7);
  EXPECT_EQ(space.get<int>("x"), 8);
}

TEST_P(ManagerSync, M9_AQueueIsExactAndOrdered) {
  const auto manager = start();
  const auto queue = manager->queue<int>(3);
  EXPECT_TRUE(queue.empty());
  for (int i = 0; i < 3; ++i) queue.put(i);
  EXPECT_TRUE(queue.full());
  EXPECT_EQ(queue.size(), 3U);
  EXPECT_FALSE(queue.try_put(9));
  const Stopwatch full;
  EXPECT_FALSE(queue.try_put_for(9, 20ms));
  EXPECT_GE(full.elapsed(), 20ms);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(queue.get(), i);
  EXPECT_EQ(queue.try_get(), std::nullopt);
  const Stopwatch empty;
  EXPECT_EQ(queue.try_get_for(20ms), std::nullopt);
  EXPECT_GE(empty.elapsed(), 20ms);
}

TEST_P(ManagerSync, M9_PuttersAndGettersWaitAndAreWoken) {
  const auto manager = start();
  const auto queue = manager->queue<int>(1);
  Peer getter([&] {
    for (int i = 0; i < 50; ++i) EXPECT_EQ(queue.get(), i);
  });
  await_blocked(getter.pid());
  for (int i = 0; i < 50; ++i) queue.put(i);
  getter.join();
  EXPECT_TRUE(queue.empty());
}

TEST_P(ManagerSync, M9_AJoinableQueueCountsWhatIsNotDone) {
  const auto manager = start();
  const auto queue = manager->joinable_queue<int>();
  queue.put(1);
  queue.put(2);
  EXPECT_FALSE(queue.join_for(5ms));
  Peer worker([&] {
    for (int i = 0; i < 2; ++i) {
      (void)queue.get();
      queue.done();
    }
  });
  queue.join();
  EXPECT_THROW(queue.done(), BadArgument);
  EXPECT_THROW(manager->queue<int>().call<void>("done"), StateError);
}

TEST_P(ManagerSync, M10_ALockIsItsHoldersAlone) {
  const auto manager = start();
  const auto lock = manager->lock();
  EXPECT_THROW(lock.release(), OverRelease);
  EXPECT_EQ(lock.acquire(), Status::kOk);
  EXPECT_TRUE(lock.locked());
  EXPECT_TRUE(lock.holds());
  EXPECT_THROW((void)lock.acquire(), StateError);
  std::thread([&] {
    EXPECT_THROW(lock.release(), NotOwner);
    EXPECT_EQ(lock.try_acquire(), Status::kTimeout);
    const Stopwatch waited;
    EXPECT_EQ(lock.acquire_for(20ms), Status::kTimeout);
    EXPECT_GE(waited.elapsed(), 20ms);
    EXPECT_FALSE(lock.holds());
  }).join();
  lock.release();
  EXPECT_FALSE(lock.locked());
}

TEST_P(ManagerSync, M10_NeverTwoHoldALock) {
  const auto manager = start();
  const auto lock = manager->lock();
  const SharedBox<std::atomic<int>> inside{0};
  {
    std::vector<std::unique_ptr<Peer>> peers;
    for (int peer = 0; peer < 3; ++peer) {
      peers.push_back(std::make_unique<Peer>([&] {
        for (int i = 0; i < 40; ++i) {
          const std::scoped_lock guard(lock);
          EXPECT_EQ(++*inside, 1);
          --*inside;
        }
      }));
    }
  }
  EXPECT_FALSE(lock.locked());
}

TEST_P(ManagerSync, M10_AnRLockIsReleasedAsOftenAsAcquired) {
  const auto manager = start();
  const auto lock = manager->rlock();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(lock.acquire(), Status::kOk);
  EXPECT_EQ(lock.depth(), 3U);
  for (int i = 0; i < 3; ++i) {
    std::thread([&] { EXPECT_EQ(lock.try_acquire(), Status::kTimeout); }).join();
    lock.release();
  }
  std::thread([&] {
    EXPECT_EQ(lock.try_acquire(), Status::kOk);
    lock.release();
  }).join();
  EXPECT_THROW(lock.release(), NotOwner);
}

TEST_P(ManagerSync, M10_SemaphoresCount) {
  const auto manager = start();
  const auto semaphore = manager->semaphore(2);
  semaphore.acquire();
  EXPECT_TRUE(semaphore.try_acquire());
  EXPECT_FALSE(semaphore.try_acquire());
  EXPECT_FALSE(semaphore.acquire_for(5ms));
  std::thread([&] { semaphore.release(); }).join();
  EXPECT_EQ(semaphore.value(), 1);
  const auto bounded = manager->bounded_semaphore(1);
  EXPECT_THROW(bounded.release(), OverRelease);
  bounded.acquire();
  bounded.release();
  EXPECT_THROW((void)manager->semaphore(-1), BadArgument);
  EXPECT_THROW((void)manager->semaphore(1LL << 31), BadArgument);
}

TEST_P(ManagerSync, M10_APermitComesBackInEveryWay) {
  const auto manager = start();
  const auto semaphore = manager->semaphore(1);
  {
    const managed::Semaphore::Permit permit = semaphore.permit();
    EXPECT_EQ(semaphore.try_permit().has_value(), false);
  }
  EXPECT_EQ(semaphore.value(), 1);
  end(holder([&] {
    static std::optional<managed::Semaphore::Permit> permit = semaphore.permit();
    EXPECT_EQ(semaphore.value(), 0);
  }));
  EXPECT_TRUE(semaphore.acquire_for(1h));
}

TEST_P(ManagerSync, M10_AConditionWakesThoseWhoWaitInTheirOrder) {
  const auto manager = start();
  const auto condition = manager->condition();
  const auto woken = manager->list<int>();
  std::vector<std::unique_ptr<Peer>> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.push_back(std::make_unique<Peer>([&, i] {
      const std::scoped_lock guard(condition);
      EXPECT_EQ(condition.wait(), Status::kOk);
      woken.append(i);
    }));
    while (condition.waiters() < waiters.size()) std::this_thread::yield();
  }
  EXPECT_THROW((void)condition.notify(), NotOwner);
  EXPECT_THROW((void)condition.wait(), NotOwner);
  condition.lock();
  EXPECT_EQ(condition.notify(2), 2U);
  condition.unlock();
  waiters[0]->join();
  waiters[1]->join();
  EXPECT_EQ(woken.copy(), (std::vector<int>{0, 1}));
  condition.lock();
  EXPECT_EQ(condition.notify_all(), 1U);
  EXPECT_EQ(condition.notify_all(), 0U);
  condition.unlock();
  waiters[2]->join();
}

TEST_P(ManagerSync, M10_AConditionsWaitLetsGoAtAllLevelsAndHoldsAgain) {
  const auto manager = start();
  const auto lock = manager->rlock();
  const auto condition = manager->condition(lock);
  (void)lock.acquire();
  (void)lock.acquire();
  const Stopwatch waited;
  EXPECT_EQ(condition.wait_for(20ms), Status::kTimeout);
  EXPECT_GE(waited.elapsed(), 20ms);
  EXPECT_EQ(lock.depth(), 2U);
  EXPECT_EQ(condition.waiters(), 0U);
  Peer notifier([&] {
    const std::scoped_lock guard(lock);
    EXPECT_EQ(condition.notify(), 1U);
  });
  EXPECT_EQ(condition.wait(), Status::kOk);
  EXPECT_EQ(lock.depth(), 2U);
  bool is_so = false;
  EXPECT_EQ(condition.wait_for(5ms, [&] { return is_so; }), Status::kTimeout);
  EXPECT_EQ(condition.wait([&] { return true; }), Status::kOk);
}

TEST_P(ManagerSync, M10_AnEventReleasesAllWhoWait) {
  const auto manager = start();
  const auto event = manager->event();
  EXPECT_FALSE(event.wait_for(0ms));
  const Stopwatch waited;
  EXPECT_FALSE(event.wait_for(20ms));
  EXPECT_GE(waited.elapsed(), 20ms);
  {
    std::vector<std::unique_ptr<Peer>> waiters;
    for (int i = 0; i < 3; ++i) waiters.push_back(std::make_unique<Peer>([&] { EXPECT_TRUE(event.wait()); }));
    while (event.waiters() < waiters.size()) std::this_thread::yield();
    event.set();
    event.clear();  // a pulse reaches who was waiting
  }
  EXPECT_FALSE(event.is_set());
}

TEST_P(ManagerSync, M10_ABarrierKeepsItsPartiesInStep) {
  const auto manager = start();
  const auto barrier = manager->barrier(3);
  const auto places = manager->list<std::uint32_t>();
  {
    std::vector<std::unique_ptr<Peer>> peers;
    for (int peer = 0; peer < 3; ++peer) {
      peers.push_back(std::make_unique<Peer>([&] {
        for (int pass = 0; pass < 5; ++pass) {
          EXPECT_LT(places.size(), static_cast<std::size_t>(3 * pass + 3)) << "a pass ahead";
          EXPECT_GE(places.size(), static_cast<std::size_t>(3 * pass)) << "a pass behind";
          places.append(barrier.wait());
          (void)barrier.wait();
        }
      }));
    }
  }
  std::vector<std::uint32_t> all = places.copy();
  ASSERT_EQ(all.size(), 15U);
  for (auto pass = all.begin(); pass != all.end(); pass += 3) {
    std::sort(pass, pass + 3);
    EXPECT_EQ(std::vector<std::uint32_t>(pass, pass + 3), (std::vector<std::uint32_t>{0, 1, 2}));
  }
  EXPECT_EQ(barrier.n_waiting(), 0U);
  EXPECT_FALSE(barrier.broken());
}

TEST_P(ManagerSync, M10_ABarriersActionRunsOnceBeforeAnyoneLeaves) {
  const auto manager = start();
  const auto runs = manager->value<int>(0);
  const auto barrier = manager->barrier(2, [&] { runs.set(runs.get() + 1); });
  const auto gate = manager->barrier(2);
  const auto pass_three_times = [&] {
    for (int pass = 1; pass <= 3; ++pass) {
      (void)barrier.wait();
      EXPECT_EQ(runs.get(), pass);
      (void)gate.wait();
    }
  };
  Peer other(pass_three_times);
  pass_three_times();
  const auto failing = manager->barrier(1, [] { throw std::runtime_error("no"); });
  EXPECT_THROW((void)failing.wait(), std::runtime_error);
  EXPECT_TRUE(failing.broken());
}

TEST_P(ManagerSync, M10_ABrokenBarrierIsBrokenUntilReset) {
  const auto manager = start();
  const auto barrier = manager->barrier(2);
  const Stopwatch waited;
  EXPECT_THROW((void)barrier.wait_for(20ms), BrokenBarrier);
  EXPECT_GE(waited.elapsed(), 20ms);
  EXPECT_TRUE(barrier.broken());
  EXPECT_THROW((void)barrier.wait(), BrokenBarrier);
  barrier.reset();
  EXPECT_FALSE(barrier.broken());
  Peer early([&] { EXPECT_THROW((void)barrier.wait(), BrokenBarrier); });
  while (barrier.n_waiting() == 0) std::this_thread::yield();
  barrier.abort();
  early.join();
  barrier.reset();
  Peer other([&] { (void)barrier.wait(); });
  (void)barrier.wait();
  EXPECT_THROW((void)manager->barrier(0), BadArgument);
}

TEST_P(ManagerSync, M25_OneWhoWaitsHoldsUpNobody) {
  const auto manager = start();
  const auto event = manager->event();
  const auto list = manager->list<int>();
  std::thread same_process([&] { EXPECT_TRUE(event.wait()); });
  Peer other_process([&] { EXPECT_TRUE(event.wait()); });
  await_blocked(other_process.pid());
  for (int i = 0; i < 20; ++i) list.append(i);
  Peer third([&] { EXPECT_EQ(list.size(), 20U); });
  third.join();
  event.set();
  same_process.join();
}

}  // namespace

CRUCIBLE_INSTANTIATE_MANAGERS(ManagerSync);

}  // namespace crucible::testing
