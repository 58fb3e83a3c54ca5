// Clauses W35, W36, W43, H10, H16 and H17: workers, what starts them, and the owner are killed under load.
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <thread>
#include <vector>

#include "conformance/pool_support.h"
#include "conformance/random.h"
#include "conformance/stamp.h"
#include "conformance/support/children.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"

namespace crucible::testing {
namespace {

constexpr int kKills = 200;
constexpr std::size_t kInside = 30'000;  // cells that say by the last digits of a pid what its process is doing
constexpr std::size_t kNames = 2'000;

std::size_t inside_of(pid_t pid) { return kInside + static_cast<std::size_t>(pid) % kNames; }

/// Notes that it began, works for as long as told, and answers with a stamp of the size told.
Bytes work(std::uint32_t task, int spin_us, std::uint32_t size) {
  add(inside_of(::getpid()));
  add(task);
  const std::int64_t until = Deadline::now_ns() + spin_us * 1'000;
  while (Deadline::now_ns() < until) {
  }
  Bytes answer = stamped(1, task, size);
  add(inside_of(::getpid()), -1);
  return answer;
}

class PoolKill : public PoolTest {
 protected:
  /// No worker, no zygote: only the watchdog is left.
  static void await_alone() {
    while (proc::children_of(::getpid()).size() > 1) {
      (void)::waitpid(-1, nullptr, WNOHANG);
      std::this_thread::yield();
    }
  }
};

TEST_P(PoolKill, W43_TwoHundredWorkersKilledUnderLoad) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  const auto pool = make(3);
  std::atomic<bool> over = false;
  const std::uint64_t seed = random.between(0, 1'000'000);
  std::array<int, 2> kills = {};  // outside a task, in one
  std::thread killer([&] {
    Random own(seed);
    while (kills[0] + kills[1] < kKills) {
      std::this_thread::sleep_for(std::chrono::microseconds(own.between(0, 4'000)));
      const std::vector<pid_t> pids = pool->workers();
      if (pids.empty()) continue;
      const pid_t pid = pids[own.between(0, pids.size() - 1)];
      if (::kill(pid, SIGKILL) != 0) continue;
      proc::await_gone({pid});
      ++kills.at(cell(inside_of(pid)) != 0 ? 1 : 0);
      Board::get().cells.at(inside_of(pid)) = 0;
      // Who dies more quickly than anybody can begin makes the pool give up.
      const std::uint64_t done = pool->statistics().done;
      for (PoolStatistics now = pool->statistics(); now.done == done && now.queued + now.running > 0;) {
        std::this_thread::sleep_for(100us);
        now = pool->statistics();
      }
    }
    over = true;
  });
  std::vector<AsyncResult<Bytes>> results;
  while (!over && results.size() < kInside) {
    const auto task = static_cast<std::uint32_t>(results.size());
    const std::uint32_t size =
        random.between(0, 20) == 0 ? 300'000 : static_cast<std::uint32_t>(random.between(0, 3'000));
    results.push_back(
        pool->apply_async(&work, {task, static_cast<int>(random.between(0, 300)), std::max<std::uint32_t>(size, 64)}));
    if (results.size() % 50 == 0) results.back().wait();
  }
  pool->close();
  killer.join();
  pool->join();
  std::uint64_t lost = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    try {
      const std::optional<Stamp> stamp = read_whole(results[i].get());
      ASSERT_TRUE(stamp);
      ASSERT_EQ(stamp->sequence, i);
      ASSERT_EQ(cell(i), 1) << "task " << i;
    } catch (const WorkerLost& error) {
      ASSERT_EQ(error.exit_code(), -SIGKILL);
      ASSERT_LE(cell(i), 1) << "task " << i;
      ++lost;
    }
  }
  const PoolStatistics now = pool->statistics();
  EXPECT_EQ(now.lost, lost);
  EXPECT_LE(lost, static_cast<std::uint64_t>(kKills));
  EXPECT_EQ(now.done + lost, results.size());
  std::printf("[  kills   ] survived %d / %d, %d in a task, %d receiving or sending; %llu tasks lost of %zu\n",
              kills[0] + kills[1], kKills, kills[1], kills[0], static_cast<unsigned long long>(lost), results.size());
}

TEST_P(PoolKill, H10_TerminatedAtTwoHundredMoments) {
  Random random;
  for (int round = 0; round < kKills; ++round) {
    Board::clear();
    const auto pool = make(2);
    std::vector<AsyncResult<Bytes>> results;
    const auto count = random.between(0, 40);
    for (std::uint32_t i = 0; i < count; ++i) {
      results.push_back(pool->apply_async(&work, {i, static_cast<int>(random.between(0, 100)), 64}));
    }
    const std::int64_t until = Deadline::now_ns() + static_cast<std::int64_t>(random.between(0, 2'000'000));
    while (Deadline::now_ns() < until) std::this_thread::yield();
    pool->terminate();
    EXPECT_TRUE(pool->workers().empty());
    std::uint64_t ended = 0;
    for (const auto& result : results) {
      ASSERT_TRUE(result.ready());
      try {
        (void)result.get();
      } catch (const Terminated&) {
        ++ended;
      }
    }
    pool->join();
    EXPECT_EQ(pool->statistics().done + ended, results.size());
    await_alone();
  }
}

TEST_P(PoolKill, W36_TheOwnersDeathEndsIdleAndBusyWorkers) {
  for (int round = 0; round < 5; ++round) {
    Board::clear();
    Peer owner([] { own_busy_pool(3); });
    await_signal(2);
    const std::vector<pid_t> family = proc::descendants_of(owner.pid());
    EXPECT_EQ(family.size(), 4U);
    owner.kill();
    owner.join();
    proc::await_gone(family);
    await_alone();
  }
}

TEST_P(PoolKill, W36_AlsoWhereTheZygoteWasStopped) {
  Peer owner([] { own_busy_pool(2); });
  await_signal(2);
  const std::vector<pid_t> family = proc::descendants_of(owner.pid());
  ASSERT_EQ(family.size(), 3U);
  ASSERT_EQ(::kill(family.front(), SIGSTOP), 0);
  owner.kill();
  owner.join();
  await_alone();
}

TEST_P(PoolKill, W35_TheZygotesDeathEndsThePool) {
  CRUCIBLE_REQUIRE(survives_kill);
  for (int round = 0; round < 5; ++round) {
    Board::clear();
    const auto pool = make(2);
    const auto running = pool->apply_async(&hold, {0, 1});
    const auto queued = pool->map_async(&add_hundred, std::vector<int>{1, 2, 3});
    await_signal(0);
    const std::vector<pid_t> workers = pool->workers();
    const pid_t zygote = proc::thread(workers.front(), workers.front()).parent;
    ASSERT_EQ(::kill(zygote, SIGKILL), 0);
    EXPECT_THROW((void)running.get(), Broken);
    try {
      (void)queued.get();
    } catch (const Broken&) {  // unless it was done before
    }
    EXPECT_THROW((void)pool->apply_async(&add_hundred, {1}), Broken);
    pool->join();
    proc::await_gone(workers);
    await_alone();
  }
}

TEST_P(PoolKill, H16_AnInterruptOfTheGroupIsTheOwnersAlone) {
  Peer owner([] {
    static std::atomic<int> interrupts = 0;
    ASSERT_EQ(::setpgid(0, 0), 0);
    std::signal(SIGINT, [](int) { ++interrupts; });
    const auto pool = make(2);
    const std::vector<pid_t> before = pool->workers();
    const auto held = pool->apply_async(&hold, {0, 1});
    await_signal(0);
    ASSERT_EQ(::kill(0, SIGINT), 0);
    while (interrupts == 0) std::this_thread::yield();
    set_signal(1);
    held.wait();
    EXPECT_EQ(pool->apply(&add_hundred, {1}), 101);
    EXPECT_EQ(pool->workers(), before);
    EXPECT_EQ(interrupts, 1);
  });
  owner.join();
  await_alone();
}

TEST_P(PoolKill, H17_RecyclingUnderLoadLosesNothing) {
  for (const int limit : {1, 2, 3}) {
    Board::clear();
    const auto pool = make(3, {.max_tasks_per_child = limit});
    std::vector<AsyncResult<Bytes>> results;
    for (std::uint32_t i = 0; i < 60; ++i) results.push_back(pool->apply_async(&work, {i, 20, 64}));
    pool->close();
    pool->join();
    for (std::size_t i = 0; i < results.size(); ++i) {
      const std::optional<Stamp> stamp = read_whole(results[i].get());
      ASSERT_TRUE(stamp);
      ASSERT_EQ(stamp->sequence, i);
      ASSERT_EQ(cell(i), 1);
    }
  }
}

}  // namespace

CRUCIBLE_INSTANTIATE_POOLS(PoolKill);

}  // namespace crucible::testing
