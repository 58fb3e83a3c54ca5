// Clause H50: clients that are killed holding locks, in line, or at a barrier.
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <utility>

#include "conformance/manager_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class ManagerDeath : public ManagerTest {};

TEST_P(ManagerDeath, H50_ADeadHoldersLockIsFreeAndSaysSo) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto manager = start();
  const auto lock = manager->lock();
  auto dead = holder([&] { EXPECT_EQ(lock.acquire(), Status::kOk); });
  Event over;
  Peer waiter([&] {
    EXPECT_EQ(lock.acquire(), Status::kOwnerDied);
    lock.release();
    over.set();
  });
  await_blocked(waiter.pid());
  EXPECT_FALSE(over.is_set());
  end(std::move(dead));
  waiter.join();
  EXPECT_EQ(lock.acquire(), Status::kOk) << "said once, to who repairs";
}

TEST_P(ManagerDeath, H50_StdsGuardsThrowUntilSomebodyHasAcquired) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto manager = start();
  const auto lock = manager->rlock();
  end(holder([&] {
    (void)lock.acquire();
    (void)lock.acquire();
  }));
  while (lock.locked()) std::this_thread::yield();
  EXPECT_THROW(lock.lock(), OwnerDied);
  EXPECT_THROW((void)lock.try_lock(), OwnerDied);
  EXPECT_EQ(lock.acquire(), Status::kOwnerDied);
  lock.release();
  EXPECT_TRUE(lock.try_lock());
}

TEST_P(ManagerDeath, H50_ADeadPartyBreaksTheBarrierADeadWaiterTakesNoNotification) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto manager = start();
  const auto barrier = manager->barrier(3);
  Peer survivor([&] { EXPECT_THROW((void)barrier.wait(), BrokenBarrier); });
  Peer party([&] { (void)barrier.wait(); });
  while (barrier.n_waiting() < 2) std::this_thread::yield();
  party.kill();
  party.join();
  survivor.join();
  const auto condition = manager->condition();
  const auto wait = [&] {
    const std::scoped_lock guard(condition);
    EXPECT_EQ(condition.wait(), Status::kOk);
  };
  Peer dying(wait);
  while (condition.waiters() < 1) std::this_thread::yield();
  Peer living(wait);
  while (condition.waiters() < 2) std::this_thread::yield();
  dying.kill();
  dying.join();
  while (condition.waiters() > 1) std::this_thread::yield();
  condition.lock();
  EXPECT_EQ(condition.notify(), 1U);
  condition.unlock();
  living.join();
}

TEST_P(ManagerDeath, H50_WhatADeadWaiterAskedForIsForTheNext) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto manager = start();
  const auto queue = manager->queue<int>();
  Peer getter([&] { (void)queue.get(); });
  await_blocked(getter.pid());
  getter.kill();
  getter.join();
  // Until the server has seen the death an item would be the dead one's.
  while (queue.getters() > 0) std::this_thread::yield();
  queue.put(1);
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_EQ(queue.get(), 1);
}

}  // namespace

CRUCIBLE_INSTANTIATE_MANAGERS(ManagerDeath);

}  // namespace crucible::testing
