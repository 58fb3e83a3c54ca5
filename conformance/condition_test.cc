// Clauses L13 to L21, L53 and L54: Condition.
#include "core/condition.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "conformance/event_support.h"
#include "core/lock.h"
#include "core/rlock.h"

namespace crucible::testing {
namespace {

class ConditionTest : public CleanFixture {};

using Count = SharedBox<std::atomic<int>>;

void acquire(Condition& condition) { ASSERT_EQ(condition.acquire(), Status::kOk); }

std::size_t notify(Condition& condition, std::size_t n) {
  const std::scoped_lock holding(condition);
  return condition.notify(n);
}

// Waits once, counting who has been woken.
void wait_once(Condition& condition, std::atomic<int>& woken) {
  const std::scoped_lock holding(condition);
  EXPECT_EQ(condition.wait(), Status::kOk);
  ++woken;
}

// Nobody else than those who were notified: the others are still there once these have all come.
void expect_awake(Condition& condition, const std::atomic<int>& woken, int awake, std::size_t asleep) {
  until([&] { return woken >= awake; });
  EXPECT_EQ(woken, awake);
  EXPECT_EQ(condition.waiters(), asleep);
}

TEST_F(ConditionTest, L13_WaitAndNotifyNeedTheLock) {
  Lock lock;
  Condition over_lock(lock);
  Condition own;
  for (Condition* condition : {&over_lock, &own}) {
    EXPECT_THROW((void)condition->wait(), NotOwner);
    EXPECT_THROW((void)condition->wait_for(0s), NotOwner);
    EXPECT_THROW((void)condition->wait_for(1s, [] { return false; }), NotOwner);
    EXPECT_THROW(condition->notify(), NotOwner);
    EXPECT_THROW(condition->notify_all(), NotOwner);
    acquire(*condition);
    std::jthread([&] { EXPECT_THROW(condition->notify(), NotOwner); });
    Peer([&] { EXPECT_THROW((void)condition->wait(), NotOwner); });
    condition->release();
  }
}

TEST_F(ConditionTest, L14_NotifyWakesOneAndThenTheOther) {
  Condition condition;
  const Count woken{0};
  Crew crew;
  crew.both(1, [&] { wait_once(condition, *woken); });
  until([&] { return condition.waiters() == 2; });
  EXPECT_EQ(notify(condition, 1), 1U);
  expect_awake(condition, *woken, 1, 1);
  EXPECT_EQ(notify(condition, 1), 1U);
  expect_awake(condition, *woken, 2, 0);
}

TEST_F(ConditionTest, L15_NotifyAllWakesAll) {
  Lock lock;
  Condition condition(lock);
  const Count woken{0};
  Crew crew;
  crew.both(3, [&] { wait_once(condition, *woken); });
  until([&] { return condition.waiters() == 6; });
  {
    const std::scoped_lock holding(lock);
    EXPECT_EQ(condition.notify_all(), 6U);
  }
  expect_awake(condition, *woken, 6, 0);
}

TEST_F(ConditionTest, L16_NotifyWakesAsManyAsItSaysAndIsNotRemembered) {
  Condition condition;
  const Count woken{0};
  Crew crew;
  crew.both(3, [&] {
    wait_once(condition, *woken);
    until([&] { return *woken == 6; });
    wait_once(condition, *woken);
  });
  until([&] { return condition.waiters() == 6; });
  EXPECT_EQ(notify(condition, 2), 2U);
  expect_awake(condition, *woken, 2, 4);
  EXPECT_EQ(notify(condition, 4), 4U);
  until([&] { return *woken >= 6; });
  until([&] { return condition.waiters() == 6; });
  EXPECT_EQ(notify(condition, 0), 0U);
  EXPECT_EQ(notify(condition, 10), 6U);
  EXPECT_EQ(notify(condition, 3), 0U) << "nobody waits";
  expect_awake(condition, *woken, 12, 0);
  acquire(condition);
  EXPECT_EQ(condition.wait_for(30ms), Status::kTimeout) << "an earlier notification was remembered";
  condition.release();
}

TEST_F(ConditionTest, L17_TimedOutWaitersUseUpNoNotification) {
  Condition condition;
  const Count woken{0};
  const Count late{0};
  Crew crew;
  crew.both(2, [&] {
    acquire(condition);
    EXPECT_EQ(condition.wait_for(20ms), Status::kTimeout);
    ++*late;
    condition.release();
  });
  Peer patient([&] { wait_once(condition, *woken); });
  until([&] { return *late == 4 && condition.waiters() == 1; });
  EXPECT_EQ(notify(condition, 1), 1U);
  expect_awake(condition, *woken, 1, 0);
}

// Those whose time passes just when the others are notified.
TEST_F(ConditionTest, L17_ANotificationIsEitherUsedOrLeft) {
  Condition condition;
  const Count notified{0};
  const Count over{0};
  Crew crew;
  crew.both(2, [&] {
    acquire(condition);
    while (*over == 0) {
      if (condition.wait_for(100us) == Status::kOk) ++*notified;
    }
    condition.release();
  });
  int told = 0;
  for (int i = 0; i < 2'000; ++i) {
    told += static_cast<int>(notify(condition, 1));
    if (i % 16 == 0) ::usleep(100);
  }
  *over = 1;
  crew.join();
  EXPECT_EQ(*notified, told);
  EXPECT_EQ(condition.waiters(), 0U);
}

TEST_F(ConditionTest, L18_TimedWaitSaysSoAndHoldsTheLockAgain) {
  Lock lock;
  Condition condition(lock);
  acquire(condition);
  for (const auto duration : {1ms, 40ms}) {
    const Stopwatch watch;
    EXPECT_EQ(condition.wait_for(duration), Status::kTimeout);
    EXPECT_GE(watch.elapsed(), duration);
    EXPECT_TRUE(lock.holds());
  }
  EXPECT_EQ(condition.wait_for(0s), Status::kTimeout);
  EXPECT_EQ(condition.wait_until(std::chrono::steady_clock::now() - 1s), Status::kTimeout);
  EXPECT_TRUE(lock.holds());
  condition.release();
}

TEST_F(ConditionTest, L18_NotifiedInTimeSaysSoAndHoldsTheLockAgain) {
  Lock lock;
  Condition condition(lock);
  acquire(condition);
  Peer other([&] { EXPECT_EQ(notify(condition, 1), 1U); });
  EXPECT_EQ(condition.wait_for(1h), Status::kOk);
  EXPECT_TRUE(lock.holds());
  condition.release();
}

TEST_F(ConditionTest, L19_WhatThePredicateThrowsComesOutHoldingTheLock) {
  Lock lock;
  Condition condition(lock);
  acquire(condition);
  Peer other([&] { EXPECT_EQ(notify(condition, 1), 1U); });
  int asked = 0;
  EXPECT_THROW((void)condition.wait([&]() -> bool {
    if (++asked == 2) throw std::domain_error("of the predicate");
    return false;
  }),
               std::domain_error);
  EXPECT_EQ(asked, 2);
  EXPECT_TRUE(lock.holds());
  condition.release();
}

TEST_F(ConditionTest, L20_WaitsUntilThePredicateIsSo) {
  Condition condition;
  const Count value{0};
  Peer other([&] {
    for (int i = 1; i <= 4; ++i) {
      until([&] { return condition.waiters() == 1; });
      const std::scoped_lock holding(condition);
      *value = i;
      condition.notify_one();
    }
  });
  const std::scoped_lock holding(condition);
  EXPECT_EQ(condition.wait([&] { return *value == 4; }), Status::kOk);
  EXPECT_EQ(*value, 4);
  EXPECT_EQ(condition.wait_for(0s, [&] { return *value == 4; }), Status::kOk) << "it is so already";
}

TEST_F(ConditionTest, L20_WakeUpsDoNotProlongItsTime) {
  Condition condition;
  const SharedBox<std::atomic<bool>> over{false};
  Peer other([&] {
    while (!*over) notify(condition, 1);
  });
  acquire(condition);
  const Stopwatch watch;
  EXPECT_EQ(condition.wait_for(50ms, [] { return false; }), Status::kTimeout);
  EXPECT_GE(watch.elapsed(), 50ms);
  *over = true;
  condition.release();
}

TEST_F(ConditionTest, L21_LetsGoAtAllLevelsAndHoldsThemAgain) {
  RLock lock;
  Condition condition(lock);
  for (int i = 0; i < 3; ++i) acquire(condition);
  Peer other([&] { EXPECT_EQ(notify(condition, 1), 1U) << "the lock was not free"; });
  EXPECT_EQ(condition.wait(), Status::kOk);
  EXPECT_EQ(lock.depth(), 3U);
  EXPECT_EQ(condition.wait_for(5ms), Status::kTimeout);
  EXPECT_EQ(lock.depth(), 3U);
  for (int i = 0; i < 3; ++i) condition.release();
  EXPECT_FALSE(lock.locked());
}

TEST_F(ConditionTest, L53_WaitersAreWokenInTheOrderOfTheirComing) {
  Condition condition;
  const Count woken{0};
  const SharedBox<std::array<std::atomic<int>, 5>> place;
  std::vector<std::unique_ptr<Peer>> waiters;
  for (std::size_t i = 0; i < place->size(); ++i) {
    waiters.push_back(std::make_unique<Peer>([&, i] {
      const std::scoped_lock holding(condition);
      EXPECT_EQ(condition.wait(), Status::kOk);
      place->at(i) = ++*woken;
    }));
    until([&] { return condition.waiters() == i + 1; });
  }
  for (int i = 1; i <= 5; ++i) {
    EXPECT_EQ(notify(condition, 1), 1U);
    until([&] { return *woken == i; });
  }
  for (std::size_t i = 0; i < place->size(); ++i) EXPECT_EQ(place->at(i), static_cast<int>(i) + 1);
}

TEST_F(ConditionTest, L54_OneWaiterTooManyIsAnError) {
  Condition condition;
  const Count woken{0};
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < Condition::kMaxWaiters; ++i) {
    threads.emplace_back([&] { wait_once(condition, *woken); });
  }
  until([&] { return condition.waiters() == Condition::kMaxWaiters; });
  acquire(condition);
  EXPECT_THROW((void)condition.wait_for(1h), std::system_error);
  EXPECT_EQ(condition.notify_all(), Condition::kMaxWaiters);
  condition.release();
  threads.clear();
  EXPECT_EQ(*woken, static_cast<int>(Condition::kMaxWaiters));
}

}  // namespace
}  // namespace crucible::testing
