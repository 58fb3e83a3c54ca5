// Clauses H8, L16, L46, L48, L50 and L55 of Condition: the dead, the stopped, signals, forks.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "conformance/event_support.h"
#include "conformance/support/children.h"
#include "conformance/support/resources.h"
#include "core/condition.h"
#include "core/lock.h"
#include "core/rlock.h"

namespace crucible::testing {
namespace {

class ConditionFaults : public CleanFixture {};
class ConditionTiming : public CleanFixture {};

std::size_t notify(Condition& condition, std::size_t n) {
  const std::scoped_lock holding(condition);
  return condition.notify(n);
}

void wait_once(Condition& condition) {
  const std::scoped_lock holding(condition);
  EXPECT_EQ(condition.wait(), Status::kOk);
}

void kill(Peer& victim) {
  victim.kill();
  victim.join();
}

TEST_F(ConditionFaults, H8_NotifyDoesNotWaitForAKilledWaiter) {
  Condition condition;
  Peer first([&] { wait_once(condition); });
  Peer victim([&] { wait_once(condition); });
  std::jthread thread([&] { wait_once(condition); });
  until([&] { return condition.waiters() == 3; });
  kill(victim);
  EXPECT_EQ(condition.waiters(), 2U);
  EXPECT_EQ(notify(condition, 3), 2U);
}

TEST_F(ConditionFaults, H8_AKilledWaiterUsesUpNoNotification) {
  Condition condition;
  Peer victim([&] { wait_once(condition); });
  until([&] { return condition.waiters() == 1; });
  Peer other([&] { wait_once(condition); });
  until([&] { return condition.waiters() == 2; });
  kill(victim);
  EXPECT_EQ(notify(condition, 1), 1U);
  other.join();
}

// The first is notified and cannot come out before it dies, since the test holds the lock.
TEST_F(ConditionFaults, L55_ANotificationOfTheDeadIsPassedOn) {
  Condition condition;
  Peer victim([&] { wait_once(condition); });
  until([&] { return condition.waiters() == 1; });
  Peer second([&] { wait_once(condition); });
  until([&] { return condition.waiters() == 2; });
  Peer third([&] { wait_once(condition); });
  until([&] { return condition.waiters() == 3; });
  {
    const std::scoped_lock holding(condition);
    EXPECT_EQ(condition.notify(1), 1U);
    kill(victim);
  }
  second.join();
  EXPECT_EQ(condition.waiters(), 1U) << "passed on to more than one";
  EXPECT_EQ(notify(condition, 1), 1U);
}

TEST_F(ConditionFaults, L55_ItIsNotPassedOnToWhoCameLater) {
  Condition condition;
  Peer other([&] { wait_once(condition); });
  until([&] { return condition.waiters() == 1; });
  Peer victim([&] { wait_once(condition); });
  until([&] { return condition.waiters() == 2; });
  {
    const std::scoped_lock holding(condition);
    EXPECT_EQ(condition.notify(2), 2U);
    kill(victim);
  }
  other.join();  // so that there is room beside what the victim left
  const std::scoped_lock holding(condition);
  EXPECT_EQ(condition.wait_for(120ms), Status::kTimeout);
}

TEST_F(ConditionTiming, L55_WithinATenthOfASecond) {
  Condition condition;
  for (int i = 0; i < 20; ++i) {
    const SharedBox<std::atomic<std::int64_t>> told{0};
    Peer victim([&] { wait_once(condition); });
    until([&] { return condition.waiters() == 1; });
    Peer other([&] {
      wait_once(condition);
      *told = Deadline::now_ns();
    });
    until([&] { return condition.waiters() == 2; });
    std::int64_t killed = 0;
    {
      const std::scoped_lock holding(condition);
      condition.notify(1);
      killed = Deadline::now_ns();
      kill(victim);
    }
    other.join();
    EXPECT_LE(*told - killed, std::chrono::nanoseconds(100ms).count());
  }
}

// Permits are made one at a time, each with one notification, and used up one at a time. Whoever finds that somebody
// died holding the lock cannot know what that one still owed, and notifies all.
class Permits {
 public:
  void put(Condition& condition) {
    acquire(condition);
    count_->fetch_add(1, std::memory_order_relaxed);
    condition.notify_one();
    condition.release();
  }
  void take(Condition& condition) {
    acquire(condition);
    while (condition.wait([this] { return *count_ > 0; }) == Status::kOwnerDied) condition.notify_all();
    count_->fetch_sub(1, std::memory_order_relaxed);
    condition.release();
  }
  static void acquire(Condition& condition) {
    if (condition.acquire() == Status::kOwnerDied) condition.notify_all();
  }
  int left() const { return *count_; }

 private:
  SharedBox<std::atomic<int>> count_{0};
};

template <class F>
void expect_no_permit_to_stay(const char* what, F victims_step) {
  constexpr int kKills = 120;
  Lock lock;
  Condition condition(lock);
  Permits permits;
  const SharedBox<std::atomic<bool>> over{false};
  const auto consume = [&] {
    while (!*over) permits.take(condition);
  };
  Peer first(consume);
  Peer second(consume);
  Random random;
  KillScore score(what);
  for (int i = 0; i < kKills; ++i) {
    const SharedBox<Calls> calls;
    Peer victim([&, when = moment(random)] {
      const SignalTimer death(SIGKILL, when);
      for (;;) calls->inside([&] { return victims_step(condition, permits), 0; });
    });
    while (!is_zombie(victim.pid())) permits.put(condition);
    EXPECT_EQ(victim.wait_status(), SIGKILL);
    score.count(calls->died_inside());
    Permits::acquire(condition);
    condition.release();
    until([&] { return permits.left() <= 0; });
    until([&] { return condition.waiters() == 2; });
  }
  *over = true;
  permits.put(condition);
  permits.put(condition);
}

TEST_F(ConditionFaults, H8_WaitersMayDieAtAnyMoment) {
  expect_no_permit_to_stay("waiters at a condition",
                           [](Condition& condition, Permits& permits) { permits.take(condition); });
}

TEST_F(ConditionFaults, H8_NotifiersMayDieAtAnyMoment) {
  expect_no_permit_to_stay("notifiers of a condition",
                           [](Condition& condition, Permits& permits) { permits.put(condition); });
}

TEST_F(ConditionFaults, H8_ANotifierThatDiesHoldingTheLockHasNotified) {
  Condition condition;
  Peer waiter([&] {
    EXPECT_EQ(condition.acquire(), Status::kOk);
    EXPECT_EQ(condition.wait(), Status::kOwnerDied);
    condition.release();
  });
  until([&] { return condition.waiters() == 1; });
  Peer notifier([&] {
    EXPECT_EQ(condition.acquire(), Status::kOk);
    EXPECT_EQ(condition.notify(), 1U);
    ::raise(SIGKILL);
  });
  EXPECT_TRUE(WIFSIGNALED(notifier.wait_status()));
  waiter.join();
}

TEST_F(ConditionTiming, L16_TheNotifiedWakeWhenTheLockIsLetGo) {
  Condition condition;
  constexpr int kTurns = 200;
  const SharedBox<std::atomic<int>> turn{0};
  const auto talk = [&](int mine) {
    const std::scoped_lock holding(condition);
    for (; *turn < kTurns; condition.notify()) {
      EXPECT_EQ(condition.wait([&] { return *turn % 2 == mine; }), Status::kOk);
      ++*turn;
    }
  };
  const Stopwatch watch;
  Peer other([&] { talk(1); });
  talk(0);
  other.join();
  EXPECT_LT(watch.elapsed(), 1s);
}

TEST_F(ConditionFaults, L46_SignalsEndNoWaitAndShortenNone) {
  Condition condition;
  const SignalStorm storm;
  Peer other([&] {
    until([&] { return condition.waiters() == 1; });
    Event never;
    EXPECT_FALSE(never.wait_for(30ms));
    EXPECT_EQ(notify(condition, 1), 1U);
  });
  const std::scoped_lock holding(condition);
  EXPECT_EQ(condition.wait(), Status::kOk);
  other.join();
  const Stopwatch watch;
  EXPECT_EQ(condition.wait_for(60ms), Status::kTimeout);
  EXPECT_GE(watch.elapsed(), 60ms);
  EXPECT_GT(SignalStorm::hits(), 0);
}

TEST_F(ConditionFaults, L48_AStoppedWaiterKeepsItsNotification) {
  Condition condition;
  Peer stopped([&] { wait_once(condition); });
  until([&] { return condition.waiters() == 1; });
  Peer other([&] { wait_once(condition); });
  until([&] { return condition.waiters() == 2; });
  ASSERT_EQ(::kill(stopped.pid(), SIGSTOP), 0);
  EXPECT_EQ(notify(condition, 1), 1U);
  Event never;
  EXPECT_FALSE(never.wait_for(120ms));
  EXPECT_EQ(condition.waiters(), 1U);
  ASSERT_EQ(::kill(stopped.pid(), SIGCONT), 0);
  stopped.join();
  EXPECT_EQ(notify(condition, 1), 1U);
}

TEST_F(ConditionFaults, L50_AThousandLeaveNothing) {
  const auto make = [] {
    Condition condition;
    const std::scoped_lock holding(condition);
    EXPECT_EQ(condition.wait_for(1us), Status::kTimeout);
    condition.notify_all();
  };
  for (int i = 0; i < 100; ++i) make();
  const Resources before = Resources::now();
  for (int i = 0; i < 1'000; ++i) make();
  expect_no_growth(before, Resources::now());
}

TEST_F(ConditionFaults, L50_AForkBesideThreadsThatWaitMayNotify) {
  Condition condition;
  std::jthread waiting([&] { wait_once(condition); });
  until([&] { return condition.waiters() == 1; });
  Peer child([&] { EXPECT_EQ(notify(condition, 1), 1U); });
}

}  // namespace
}  // namespace crucible::testing
