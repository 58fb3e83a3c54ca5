// Clauses L36 and L38: processes and threads killed at any instruction of a lock's or a semaphore's calls.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <list>
#include <optional>
#include <thread>

#include "conformance/lock_support.h"
#include "conformance/random.h"

namespace crucible::testing {
namespace {

constexpr unsigned kRounds = 36;
constexpr unsigned kVictims = 6;

// What a victim was doing, for whoever looks after its death.
struct Victim {
  enum Where : int { kOutside, kCalling, kHolding };
  std::atomic<int> where;
};

class Score {
 public:
  void count(int where) {
    ++kills_;
    calling_ += where == Victim::kCalling ? 1U : 0U;
    holding_ += where == Victim::kHolding ? 1U : 0U;
  }
  void report(const char* what) const {
    std::printf("[  kills   ] %s: survived %u / %u, inside a call %u, holding %u\n", what, kills_, kills_, calling_,
                holding_);
    EXPECT_GE(kills_, 200U);
    // Both are what it is about; how much of the time is whose depends on the machine.
    EXPECT_GE(3 * calling_, kills_) << "fewer than a third struck inside a call";
    EXPECT_GE(2 * (calling_ + holding_), kills_) << "half struck neither callers nor holders";
  }

 private:
  unsigned kills_ = 0;
  unsigned calling_ = 0;
  unsigned holding_ = 0;
};

// `body(victim, round)` again and again in kVictims processes, each killed within `most` of their common start; `check`
// when they are gone.
void kill_in_rounds(const char* what, std::chrono::nanoseconds most, const std::function<void(Victim&, unsigned)>& body,
                    const std::function<void()>& check) {
  Random random;
  Score score;
  const SharedBox<std::array<Victim, kVictims>> victims;
  for (unsigned round = 0; round < kRounds; ++round) {
    Event begin;
    std::list<Peer> peers;
    for (unsigned i = 0; i < kVictims; ++i) {
      (*victims)[i].where = Victim::kOutside;
      const std::chrono::nanoseconds when(
          random.between(10'000, static_cast<std::size_t>(most.count()) / (random.one_in(2) ? 10 : 1)));
      peers.emplace_back([&, i, when, round] {
        begin.wait();
        const SignalTimer death(SIGKILL, when);
        for (;;) body((*victims)[i], round + i);
      });
    }
    begin.set();
    for (unsigned i = 0; Peer & peer : peers) {
      EXPECT_TRUE(WIFSIGNALED(peer.wait_status()));
      score.count((*victims)[i++].where);
    }
    check();
    if (::testing::Test::HasFailure()) return;
  }
  score.report(what);
}

// What the lock guards: whole when nobody is inside.
struct Record {
  std::atomic<std::uint64_t> first;
  std::atomic<std::uint64_t> second;
  std::atomic<pid_t> inside;

  void change(Status status, const std::function<void()>& meanwhile) {
    if (status == Status::kOwnerDied) {
      second = first.load();
      inside = 0;
    }
    EXPECT_EQ(first, second) << "half-changed, and it was not said";
    EXPECT_EQ(inside.exchange(::getpid()), 0) << "two are inside";
    ++first;
    meanwhile();
    ++second;
    EXPECT_EQ(inside.exchange(0), ::getpid()) << "two are inside";
  }
};

// By each of the ways to acquire; kOk or kOwnerDied.
template <class L>
Status acquire_somehow(L& lock, std::uint64_t way) {
  switch (way % 4) {
    case 0: return lock.acquire();
    case 1: return lock.acquire_for(1h);
    case 2:
      for (;;) {
        const Status status = lock.try_acquire();
        if (status != Status::kTimeout) return status;
      }
    default: break;
  }
  try {
    lock.lock();
    return Status::kOk;
  } catch (const OwnerDied&) {
    return lock.acquire();
  }
}

template <class L>
void survive_kills(const char* what) {
  L lock;
  const SharedBox<Record> record;
  const SharedBox<std::atomic<std::uint64_t>> survived(0U);
  Event stop;
  const auto visit = [&](std::uint64_t way, std::atomic<int>* where, auto inside) {
    const auto note = [where](int place) {
      if (where != nullptr) *where = place;
    };
    note(Victim::kCalling);
    const Status status = acquire_somehow(lock, way);
    note(Victim::kHolding);
    record->change(status, inside);
    note(Victim::kCalling);
    lock.release();
    note(Victim::kOutside);
  };
  Peer survivor([&] {
    for (std::uint64_t way = 0; !stop.is_set(); ++way) {
      visit(way % 4 == 2 ? 0 : way, nullptr, [] {});
      ++*survived;
    }
  });
  const auto body = [&](Victim& victim, unsigned round) {
    visit(round, &victim.where, [&] {
      for (int i = 0; i < 50; ++i) (void)lock.locked();
    });
  };
  const auto check = [&] {
    for (const std::uint64_t before = *survived; *survived < before + 2;) std::this_thread::yield();
    visit(0, nullptr, [] {});
  };
  kill_in_rounds(what, 4ms, body, check);
  stop.set();
  survivor.join();
  EXPECT_FALSE(lock.locked());
  visit(0, nullptr, [] {});
  EXPECT_EQ(record->first, record->second);
}

TEST_F(LockKill, L36_LockSurvivesKilledHoldersAndWaiters) { survive_kills<Lock>("Lock"); }
TEST_F(LockKill, L36_RLockSurvivesKilledHoldersAndWaiters) { survive_kills<RLock>("RLock"); }

TEST_F(LockKill, L36_ThreadsThatEndHoldingDelayNoOther) {
  Lock lock;
  unsigned told = 0;
  for (unsigned i = 0; i < 100; ++i) {
    std::thread waiter([&] {
      if (lock.acquire() == Status::kOwnerDied) ++told;
      lock.release();
    });
    std::thread holder([&] { EXPECT_NE(lock.acquire(), Status::kTimeout); });
    holder.join();
    waiter.join();
    if (lock.acquire() == Status::kOwnerDied) ++told;
    lock.release();
  }
  EXPECT_EQ(told, 100U);
}

constexpr std::int64_t kPermits = 2;

TEST_F(LockKill, L38_CountIsExactAfterKilledHoldersAndWaiters) {
  Semaphore semaphore(kPermits);
  const SharedBox<std::atomic<std::uint64_t>> survived(0U);
  Event stop;
  Peer survivor([&] {
    while (!stop.is_set()) {
      const Semaphore::Permit permit = semaphore.permit();
      ++*survived;
    }
  });
  const auto body = [&](Victim& victim, unsigned round) {
    victim.where = Victim::kCalling;
    std::optional<Semaphore::Permit> permit;
    while (!permit) {
      permit = round % 3 == 0 ? semaphore.permit_for(1h) : round % 3 == 1 ? semaphore.permit() : semaphore.try_permit();
    }
    victim.where = Victim::kHolding;
    for (int i = 0; i < 5; ++i) (void)semaphore.value();
    victim.where = Victim::kCalling;
    permit.reset();
    victim.where = Victim::kOutside;
  };
  const auto check = [&] {
    for (const std::uint64_t before = *survived; *survived < before + 2;) std::this_thread::yield();
  };
  kill_in_rounds("Semaphore, permits", 4ms, body, check);
  stop.set();
  survivor.join();
  EXPECT_EQ(semaphore.value(), kPermits);
  EXPECT_TRUE(semaphore.try_acquire() && semaphore.try_acquire());
  EXPECT_FALSE(semaphore.try_acquire());
}

TEST_F(LockKill, L38_KilledRecoverersGiveBackOnce) {
  Semaphore semaphore(kPermits);
  const auto take_all_and_die = [&] {
    Peer([&] {
      const Semaphore::Permit first = semaphore.permit();
      const Semaphore::Permit second = semaphore.permit();
      ::_exit(0);
    }).join();
  };
  take_all_and_die();
  const auto body = [&](Victim& victim, unsigned round) {
    victim.where = Victim::kCalling;
    if (round % 2 == 0) {
      EXPECT_LE(semaphore.value(), kPermits);
    } else {
      (void)semaphore.try_permit();
    }
    victim.where = Victim::kOutside;
  };
  const auto check = [&] {
    EXPECT_EQ(semaphore.value(), kPermits);
    take_all_and_die();
  };
  kill_in_rounds("Semaphore, recoverers", 300us, body, check);
  EXPECT_EQ(semaphore.value(), kPermits);
}

}  // namespace
}  // namespace crucible::testing
