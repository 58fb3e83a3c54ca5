// Clauses L37, and L40 of permits: permits whose holders end or stop.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <list>
#include <optional>
#include <thread>

#include "conformance/lock_support.h"
#include "conformance/support/children.h"
#include "conformance/support/resources.h"
#include "core/liveness.h"

namespace crucible::testing {
namespace {

// Another process that has taken `count` permits and sleeps.
class PermitHolder {
 public:
  PermitHolder(Semaphore& semaphore, int count)
      : peer_([this, &semaphore, count] {
          std::list<Semaphore::Permit> permits;
          for (int i = 0; i < count; ++i) permits.push_back(semaphore.permit());
          held_.set();
          may_end_.wait();
          ::_exit(0);
        }) {
    held_.wait();
  }
  PermitHolder(const PermitHolder&) = delete;
  PermitHolder& operator=(const PermitHolder&) = delete;
  ~PermitHolder() { may_end_.set(); }

  void end() {
    may_end_.set();
    peer_.join();
  }
  Peer& peer() { return peer_; }

 private:
  Event held_;
  Event may_end_;
  Peer peer_;
};

TEST_F(Semaphores, L37_PermitsOfAProcessThatEndedAreBack) {
  Semaphore semaphore(3);
  PermitHolder holder(semaphore, 2);
  EXPECT_EQ(semaphore.value(), 1);
  holder.end();
  EXPECT_EQ(semaphore.value(), 3);
}

TEST_F(Semaphores, L37_PermitsOfAZombieAreBack) {
  Semaphore semaphore(2);
  PermitHolder holder(semaphore, 2);
  EXPECT_FALSE(semaphore.try_permit());
  ::kill(holder.peer().pid(), SIGKILL);
  await_zombie(holder.peer().pid());
  EXPECT_TRUE(semaphore.try_permit());
  EXPECT_TRUE(semaphore.try_acquire());
  EXPECT_EQ(semaphore.value(), 1);
  holder.peer().kill();
}

TEST_F(Semaphores, L37_WhatWasAcquiredStaysTaken) {
  Semaphore semaphore(3);
  Peer([&] {
    semaphore.acquire();
    EXPECT_TRUE(semaphore.try_acquire());
    ::_exit(0);
  }).join();
  EXPECT_EQ(semaphore.value(), 1);
}

TEST_F(Semaphores, L37_WaitersGetWhatTheDeadHeld) {
  Semaphore semaphore(2);
  PermitHolder holder(semaphore, 2);
  const SharedBox<std::atomic<int>> inside(0);
  std::list<Peer> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] {
      const Semaphore::Permit permit = semaphore.permit();
      EXPECT_LE(++*inside, 2);
      EXPECT_FALSE(*inside == 2 && semaphore.try_acquire());
      --*inside;
    });
    await_blocked(waiters.back().pid());
  }
  holder.peer().kill();
  for (Peer& waiter : waiters) waiter.join();
  EXPECT_EQ(semaphore.value(), 2);
}

TEST_F(Semaphores, L37_SeveralWhoLookAtOnceGiveBackOnce) {
  for (int round = 0; round < 20; ++round) {
    Semaphore semaphore(2);
    PermitHolder(semaphore, 2).end();
    Event begin;
    std::list<Peer> lookers;
    for (int i = 0; i < 3; ++i) {
      lookers.emplace_back([&] {
        begin.wait();
        EXPECT_EQ(semaphore.value(), 2);
      });
    }
    begin.set();
    for (Peer& looker : lookers) looker.join();
    EXPECT_EQ(semaphore.value(), 2);
  }
}

TEST_F(Semaphores, L37_ChildsCopyGivesNothingBack) {
  Semaphore semaphore(2);
  std::optional<Semaphore::Permit> permit = semaphore.permit();
  Peer([&] {
    permit.reset();
    EXPECT_EQ(semaphore.value(), 1);
    const Semaphore::Permit own = semaphore.permit();
    EXPECT_EQ(semaphore.value(), 0);
  }).join();
  EXPECT_EQ(semaphore.value(), 1);
  permit.reset();
  EXPECT_EQ(semaphore.value(), 2);
}

TEST_F(Semaphores, L37_PidInOtherHandsIsNotItsFormerHolder) {
  const ProcessIdentity self = ProcessIdentity::self();
  EXPECT_EQ(self.pid, ::getpid());
  EXPECT_EQ(ProcessIdentity::of(::getpid()), self);
  EXPECT_EQ(ProcessIdentity::unpacked(self.packed()), self);
  EXPECT_TRUE(alive(self));
  EXPECT_FALSE(alive({.pid = self.pid, .start = self.start - 1}));
  EXPECT_FALSE(alive({}));
  Peer([&] {
    EXPECT_EQ(ProcessIdentity::self().pid, ::getpid());
    EXPECT_NE(ProcessIdentity::self(), self);
    EXPECT_TRUE(alive(self));
  }).join();
}

TEST_F(Semaphores, L37_ProcessWhoseFirstThreadEndedLives) {
  Semaphore semaphore(1);
  Event taken;
  Event may_end;
  Peer peer([&] {
    std::thread([&] {
      std::optional<Semaphore::Permit> permit = semaphore.permit();
      while (!is_zombie(::getpid())) std::this_thread::yield();
      taken.set();
      may_end.wait();
      ::_exit(0);
    }).detach();
    ::syscall(SYS_exit, 0);  // this thread only
  });
  taken.wait();
  EXPECT_FALSE(semaphore.try_acquire());
  may_end.set();
  peer.join();
  EXPECT_TRUE(semaphore.try_acquire());
}

TEST_F(Semaphores, L37_SlotsOfTheDeadAreUsedAgain) {
  Semaphore semaphore(1);
  for (int i = 0; i < 1'200; ++i) {  // more than may hold permits at a time
    const pid_t pid = ::fork();
    if (pid == 0) {
      const auto permit = semaphore.try_permit();
      ::_exit(permit ? 7 : 8);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_EQ(WEXITSTATUS(status), 7);
  }
  EXPECT_EQ(semaphore.value(), 1);
}

TEST_F(Semaphores, L37_WithoutDescriptorsNobodyIsTakenForDead) {
  Semaphore semaphore(2);
  PermitHolder holder(semaphore, 1);
  const Semaphore::Permit own = semaphore.permit();
  {
    const Exhaustion none(0);
    EXPECT_FALSE(semaphore.try_permit());
    EXPECT_FALSE(semaphore.try_acquire());
  }
  holder.end();
  EXPECT_EQ(semaphore.value(), 1);
}

TEST_F(SemaphoresTiming, L37_WaiterOfADeadHolderHasItsPermitWithin100Ms) {
  Semaphore semaphore(1);
  const SharedBox<std::atomic<std::int64_t>> taken_ns(0);
  PermitHolder holder(semaphore, 1);
  Peer waiter([&] {
    const Semaphore::Permit permit = semaphore.permit();
    *taken_ns = Deadline::now_ns();
  });
  await_blocked(waiter.pid());
  const std::int64_t killed_ns = Deadline::now_ns();
  holder.peer().kill();
  waiter.join();
  EXPECT_LT(*taken_ns - killed_ns, 100'000'000);
}

TEST_F(Semaphores, L40_StoppedHolderKeepsItsPermits) {
  Semaphore semaphore(2);
  PermitHolder holder(semaphore, 1);
  ::kill(holder.peer().pid(), SIGSTOP);
  semaphore.acquire();
  EXPECT_FALSE(semaphore.acquire_for(1s));
  EXPECT_EQ(semaphore.value(), 0);
  ::kill(holder.peer().pid(), SIGCONT);
  holder.end();
  EXPECT_EQ(semaphore.value(), 1);
}

TEST_F(Semaphores, L40_StoppedWaiterKeepsNobodyWaiting) {
  Semaphore semaphore(0);
  Peer stopped([&] { semaphore.acquire(); });
  await_blocked(stopped.pid());
  ::kill(stopped.pid(), SIGSTOP);
  Peer waiter([&] { semaphore.acquire(); });
  await_blocked(waiter.pid());
  semaphore.release();  // the wake-up goes to the one that was first
  waiter.join();
  semaphore.release();
  ::kill(stopped.pid(), SIGCONT);
  stopped.join();
}

}  // namespace
}  // namespace crucible::testing
