// Clauses H50, M31, M32: clients and servers that are killed at any instruction.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "conformance/manager_support.h"
#include "conformance/random.h"
#include "conformance/stamp.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class ManagerKill : public ManagerTest {
 protected:
  /// What a victim was in the middle of.
  struct Progress {
    Victim calls;
    std::atomic<std::uint64_t> begun_appends;
    std::atomic<std::uint64_t> returned_appends;
  };
  template <class Call>
  static auto noted(Victim& victim, const Call& call) {
    ++victim.begun;
    struct Returned {
      Victim& victim;
      ~Returned() { ++victim.returned; }
    } const returned{victim};
    return call();
  }
};

TEST_P(ManagerKill, H50_KilledClientsGiveBackLocksPermitsAndReferences) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  Score score;
  const auto manager = start();
  const auto lock = manager->lock();
  const auto semaphore = manager->semaphore(2);
  const auto list = manager->list<std::uint64_t>();
  const std::size_t objects = manager->object_count();
  for (int round = 0; round < 110; ++round) {
    const SharedBox<Progress> progress;
    const auto when = 2 * moment(random);
    Peer client([&] {
      if (round % 2 == 0) (void)list.size();
      const SignalTimer death(SIGKILL, when);
      for (std::uint64_t i = 0;; ++i) {
        Victim& calls = progress->calls;
        const Status status = noted(calls, [&] { return lock.acquire(); });
        EXPECT_TRUE(status == Status::kOk || status == Status::kOwnerDied);
        ++progress->begun_appends;
        noted(calls, [&] { list.append(i); });
        ++progress->returned_appends;
        const auto permit = noted(calls, [&] { return semaphore.permit(); });
        const auto own = noted(calls, [&] { return manager->list<int>({1, 2, 3}); });
        noted(calls, [&] { own.append(4); });
        noted(calls, [&] { lock.release(); });
      }
    });
    ASSERT_EQ(client.wait_status(), SIGKILL);
    const Status status = lock.acquire_for(30s);
    ASSERT_TRUE(status == Status::kOk || status == Status::kOwnerDied) << to_string(status);
    const std::vector<std::uint64_t> items = list.copy();
    ASSERT_GE(items.size(), progress->returned_appends) << "an append that returned was lost";
    ASSERT_LE(items.size(), progress->begun_appends);
    for (std::size_t i = 0; i < items.size(); ++i) ASSERT_EQ(items[i], i);
    list.clear();
    lock.release();
    while (manager->object_count() != objects) std::this_thread::yield();
    while (semaphore.value() != 2) std::this_thread::yield();
    score.count(progress->calls.inside());
  }
  score.report("clients with locks", GetParam().name());
}

TEST_P(ManagerKill, M31_ARequestIsAppliedWhollyOrNotAtAll) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  Score score;
  const auto manager = start();
  const auto dict = manager->dict<int, std::pair<std::uint64_t, Bytes>>();
  for (int round = 0; round < 110; ++round) {
    const SharedBox<Victim> victim;
    const auto when = 2 * moment(random);
    const std::size_t size = round % 4 == 0 ? 20'000 : 100;
    Peer client([&] {
      std::map<int, std::pair<std::uint64_t, Bytes>> items;
      const SignalTimer death(SIGKILL, when);
      for (std::uint64_t i = 0;; ++i) {
        for (int key = 0; key < 8; ++key) items[key] = {i, Bytes(size)};
        noted(*victim, [&] { dict.update(items); });
      }
    });
    ASSERT_EQ(client.wait_status(), SIGKILL);
    const auto items = dict.copy();
    for (const auto& [key, item] : items) {
      ASSERT_EQ(items.size(), 8U);
      ASSERT_EQ(item.first, items.begin()->second.first) << "half an update, of key " << key;
      ASSERT_EQ(item.second.size(), items.begin()->second.second.size());
    }
    score.count(victim->inside());
  }
  expect_serves(*manager);
  score.report("clients amid updates", GetParam().name());
}

TEST_P(ManagerKill, M32_AKilledServerIsOneErrorForAll) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  Score score;
  for (int round = 0; round < 16; ++round) {
    const SharedBox<std::array<Victim, 3>> victims;
    const auto manager = start();
    const auto list = manager->list<int>();
    const auto event = manager->event();
    std::vector<std::unique_ptr<Peer>> clients;
    for (std::size_t i = 0; i < 3; ++i) {
      clients.push_back(std::make_unique<Peer>([&, i] {
        EXPECT_THROW(
            for (;;) {
              ++(*victims)[i].begun;
              if (i == 0) (void)event.wait();
              if (i == 1) list.append(1);
              if (i == 2) (void)manager->list<int>(std::vector<int>(50'000, 1)).size();
              ++(*victims)[i].returned;
            },
            Broken);
      }));
    }
    std::this_thread::sleep_for(moment(random));
    ASSERT_EQ(::kill(*manager->pid(), SIGKILL), 0);
    clients.clear();
    for (const Victim& victim : *victims) score.count(victim.inside());
    EXPECT_THROW((void)list.size(), Broken);
  }
  score.report("servers, clients counted", GetParam().name());
}

TEST_P(ManagerKill, M32_ServersThatAreKilledAsTheyStartOrEndLeaveNothing) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  Score score;
  for (int round = 0; round < 30; ++round) {
    const SharedBox<Victim> victim;
    const auto when = 4 * moment(random);
    Peer creator([&] {
      const SignalTimer death(SIGKILL, when);
      for (;;) noted(*victim, [] { expect_serves(*start()); });
    });
    ASSERT_EQ(creator.wait_status(), SIGKILL);
    score.count(victim->inside());
    await_orphans();
  }
  score.report("creators", GetParam().name());
}

}  // namespace

CRUCIBLE_INSTANTIATE_MANAGERS(ManagerKill);

class ManagerTiming : public ManagerTest {};

TEST_P(ManagerTiming, M32_ADeadServerIsKnownWithin100Milliseconds) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto manager = start();
  const auto event = manager->event();
  const SharedBox<std::atomic<std::int64_t>> known{0};
  Peer waiter([&] {
    EXPECT_THROW((void)event.wait(), Broken);
    *known = Deadline::now_ns();
  });
  await_blocked(waiter.pid());
  const std::int64_t killed = Deadline::now_ns();
  ASSERT_EQ(::kill(*manager->pid(), SIGKILL), 0);
  waiter.join();
  EXPECT_LT(*known - killed, 100'000'000);
  const Stopwatch next;
  EXPECT_THROW((void)event.is_set(), Broken);
  EXPECT_LT(next.elapsed(), 100ms);
}

TEST_P(ManagerTiming, H50_ADeadClientsLockIsFreeWithin100Milliseconds) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto manager = start();
  const auto lock = manager->lock();
  Event held;
  Peer holder([&] {
    (void)lock.acquire();
    held.set();
    for (;;) ::pause();
  });
  held.wait();
  holder.kill();
  holder.join();
  const Stopwatch waited;
  EXPECT_EQ(lock.acquire(), Status::kOwnerDied);
  EXPECT_LT(waited.elapsed(), 100ms);
}

CRUCIBLE_INSTANTIATE_MANAGERS(ManagerTiming);

}  // namespace crucible::testing
