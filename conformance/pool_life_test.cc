// Clauses W19 to W31, W47: how pools begin and end.
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "conformance/pool_support.h"
#include "conformance/support/capture.h"
#include "conformance/support/children.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"
#include "conformance/support/resources.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

std::unique_ptr<Capture> printed;  // what the tasks of a test do

class PoolLife : public PoolTest {
 protected:
  /// The processes that have come to be and are not in `before`.
  static std::size_t more_descendants_than(const std::vector<pid_t>& before) {
    return proc::descendants_of(::getpid()).size() - before.size();
  }
};

TEST_P(PoolLife, W19_ThereAreAsManyWorkersAsAskedFor) {
  const auto pool = make(3);
  EXPECT_EQ(pool->size(), 3U);
  const std::vector<pid_t> pids = pool->workers();
  EXPECT_EQ(std::set<pid_t>(pids.begin(), pids.end()).size(), 3U);
  for (const pid_t pid : pids) EXPECT_EQ(::kill(pid, 0), 0);
  EXPECT_EQ(context(mechanism().name).pool({.wait = GetParam().wait})->size(), cpu_count());
  EXPECT_EQ(context(mechanism().name).pool(1)->size(), 1U);
}

TEST_P(PoolLife, W19_FewerThanOneIsAnError) {
  EXPECT_THROW((void)make(0), BadArgument);
  EXPECT_THROW((void)make(-1), BadArgument);
}

TEST_P(PoolLife, W47_WhatATaskPrintedIsNotLostWithItsWorker) {
  printed = std::make_unique<Capture>();
  const auto pool = make(1);
  pool->apply([] {
    printed->replace(STDOUT_FILENO);
    std::printf("by C, ");
  });
  pool->apply([] { std::cout << "by C++, "; });
  pool->apply([] {
    std::ios_base::sync_with_stdio(false);
    std::cout << "from a buffer of its own";
  });
  EXPECT_THROW(pool->apply([] { ::raise(SIGKILL); }), WorkerLost);
  pool->terminate();
  pool->join();
  EXPECT_EQ(printed->text(), "by C, by C++, from a buffer of its own");
  printed.reset();
}

TEST_P(PoolLife, W20_TheInitializerRunsOnceInEachWorkerBeforeItsTasks) {
  std::vector<int> captured = {7};
  const auto pool =
      make(2, {.initializer = [captured] { add(static_cast<std::size_t>(::getpid()) % 1000, captured[0]); }});
  const auto first = pool->apply_async(&hold, {0, 1});
  const auto second = pool->apply_async(&hold, {1, 0});
  EXPECT_NE(first.get(), second.get());
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(pool->apply([] { return cell(static_cast<std::size_t>(::getpid()) % 1000); }), 7);
  }
}

TEST_P(PoolLife, W21_AWorkerIsReplacedAfterItsLastTask) {
  const auto pool = make(3, {.max_tasks_per_child = 10});
  std::vector<int> input(100);
  std::iota(input.begin(), input.end(), 0);
  std::map<std::int64_t, int> tasks_of;
  for (const std::int64_t pid : pool->map([](int) { return static_cast<std::int64_t>(::getpid()); }, input, 1)) {
    ++tasks_of[pid];
  }
  EXPECT_GE(tasks_of.size(), 10U);
  for (const auto& [pid, tasks] : tasks_of) EXPECT_LE(tasks, 10);
  EXPECT_GE(pool->statistics().restarts, 7U);
}

TEST_P(PoolLife, W21_AChunkCountsOnce) {
  const auto pool = make(1, {.max_tasks_per_child = 2});
  const std::vector<int> input(6);
  const auto pids = pool->map([](int) { return static_cast<std::int64_t>(::getpid()); }, input, 2);
  EXPECT_EQ(pids[0], pids[3]);
  EXPECT_NE(pids[3], pids[4]);
}

TEST_P(PoolLife, W21_LimitsOfLessThanOneAreAnError) {
  EXPECT_THROW((void)make(1, {.max_tasks_per_child = 0}), BadArgument);
  EXPECT_THROW((void)make(1, {.max_tasks_per_child = -1}), BadArgument);
}

TEST_P(PoolLife, W22_AClosedPoolGoesOnReplacingUntilAllIsDone) {
  const auto pool = make(2, {.max_tasks_per_child = 1});
  const auto result = pool->map_async(&add_hundred, std::vector<int>{1, 2, 3, 4, 5, 6}, 1);
  pool->close();
  pool->join();
  EXPECT_EQ(result.get(), (std::vector<int>{101, 102, 103, 104, 105, 106}));
}

TEST_P(PoolLife, W23_AfterCloseNothingNewIsTakenAndTheRestIsDone) {
  const auto pool = make(1);
  const auto held = pool->apply_async(&hold, {0, 1});
  const auto queued = pool->apply_async(&add_hundred, {1});
  pool->close();
  const std::vector<int> some = {1};
  EXPECT_THROW((void)pool->apply_async(&add_hundred, {1}), StateError);
  EXPECT_THROW((void)pool->apply(&add_hundred, {1}), StateError);
  EXPECT_THROW((void)pool->map(&add_hundred, some), StateError);
  EXPECT_THROW((void)pool->imap(&add_hundred, some).next(), StateError);
  EXPECT_FALSE(pool->join_for(10ms));
  set_signal(1);
  pool->join();
  EXPECT_EQ(queued.get(), 101);
  EXPECT_TRUE(pool->workers().empty());
}

TEST_P(PoolLife, W24_JoinComesBehindCloseOrTerminateAndAllAreRepeatable) {
  const auto pool = make(1);
  EXPECT_THROW(pool->join(), StateError);
  EXPECT_THROW((void)pool->join_for(0s), StateError);
  pool->close();
  pool->close();
  pool->join();
  pool->terminate();
  pool->join();
  pool->close();
  const auto other = make(1);
  other->terminate();
  other->terminate();
  other->close();
  other->join();
  other->join();
  EXPECT_THROW((void)other->apply_async(&add_hundred, {1}), StateError);
}

TEST_P(PoolLife, W25_TerminateEndsTenThousandQueuedTasks) {
  const auto pool = make(2);
  std::vector<AsyncResult<pid_t>> results;
  for (int i = 0; i < 10'000; ++i) results.push_back(pool->apply_async(&hold, {0, 1}));
  await_signal(0);
  const std::vector<pid_t> workers = pool->workers();
  pool->terminate();
  for (const pid_t pid : workers) EXPECT_TRUE(is_forgotten(pid));
  for (const auto& result : results) EXPECT_THROW((void)result.get(), Terminated);
}

TEST_P(PoolLife, H11_TerminateEndsWhatWaits) {
  const auto pool = make(1);
  const auto held = pool->apply_async(&hold, {0, 1});
  Peer::set_phase("waiting for what will be terminated");
  std::string text;
  const auto called = pool->apply_async(
      &add_hundred, {1}, [](int) { ADD_FAILURE(); }, [&](const std::exception& error) { text = error.what(); });
  std::thread waiter([&] { EXPECT_THROW((void)held.get(), Terminated); });
  await_signal(0);
  pool->terminate();
  waiter.join();
  EXPECT_THROW((void)called.get(), Terminated);
  EXPECT_TRUE(text.starts_with("Terminated")) << text;
  EXPECT_FALSE(called.successful());
}

TEST_P(PoolLife, H10_ACallbackMayTerminate) {
  const auto pool = make(2);
  std::vector<AsyncResult<pid_t>> held;
  const auto first = pool->apply_async(&add_hundred, {1}, [&](int) {
    pool->terminate();
    EXPECT_THROW(pool->join(), StateError);
  });
  EXPECT_EQ(first.get(), 101);
  pool->join();
  EXPECT_TRUE(pool->workers().empty());
}

TEST_P(PoolLife, W26_TheEndOfItsScopeTerminatesIt) {
  const std::vector<pid_t> before = proc::descendants_of(::getpid());
  std::optional<AsyncResult<pid_t>> held;
  {
    const auto pool = make(2);
    held = pool->apply_async(&hold, {0, 1});
    await_signal(0);
    pool->close();
  }
  EXPECT_THROW((void)held->get(), Terminated);
  EXPECT_EQ(more_descendants_than(before), 0U);
}

TEST_P(PoolLife, W27_APoolThatCannotBeMadeLeavesNothing) {
  Peer peer([] {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)make(1);  // what a process opens once
    const std::size_t before = open_descriptors();
    bool made = false;
    for (std::size_t left = 0; left < 80 && !made; left += left < 24 ? 1 : 5) {
      std::unique_ptr<Pool> pool;
      {
        const Exhaustion exhausted(left);
        try {
          pool = make(3);
        } catch (const std::system_error& error) {
          EXPECT_EQ(error.code(), std::errc::too_many_files_open) << error.what();
        } catch (const Error& refused) {  // a worker was turned away
          EXPECT_NE(std::string(refused.what()), "");
        }
      }
      if (pool != nullptr) {
        made = pool->apply(&add_hundred, {1}) == 101;
        pool.reset();
      }
      EXPECT_EQ(proc::children_of(::getpid()).size(), 0U) << left;
      EXPECT_EQ(open_descriptors(), before) << left;
    }
    EXPECT_TRUE(made);
  });
}

TEST_P(PoolLife, W28_NothingOfATaskIsKept) {
  const auto pool = make(1);
  const auto echo_many = [&](int count) {
    for (int i = 0; i < count; ++i) (void)pool->apply([](const Bytes& bytes) { return bytes; }, {Bytes(1U << 20U)});
  };
  echo_many(20);
  const Resources first = Resources::now();
  echo_many(60);
  const Resources second = Resources::now();
  constexpr long kAThirdOfThemKib = 20'480;
  EXPECT_LT(second.resident_kib, first.resident_kib + kAThirdOfThemKib);
  EXPECT_EQ(second.descriptors, first.descriptors);
}

TEST_P(PoolLife, W29_APoolWorksInAChildAndNotInAWorker) {
  Process child([] {
    const auto pool = make(1);
    return pool->apply(&add_hundred, {1}) == 101 ? 0 : 1;
  });
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
  static const PoolForm* form = nullptr;
  form = GetParam().form;
  const auto pool = make(1);
  EXPECT_THROW(pool->apply([] { (void)form->create({.processes = 1}); }), StateError);
  EXPECT_THROW(pool->apply([] { Process([] {}).start(); }), StateError);
}

TEST_P(PoolLife, W30_AProgramEndsWithAnOpenPool) {
  Process program([] {
    auto* const pool = make(2).release();
    (void)pool->apply_async(&hold, {0, 1});
    await_signal(0);
  });
  program.start();
  program.join();
  EXPECT_EQ(program.exit_code(), 0);
  EXPECT_TRUE(proc::children_of(::getpid()).size() <= 1U);  // the watchdog
}

TEST_P(PoolLife, W31_DestroyingUnfinishedTasksIsSaid) {
  Capture errors;
  Peer program([&] {
    errors.replace(STDERR_FILENO);
    {
      const auto idle = make(1);
      EXPECT_EQ(idle->apply(&add_hundred, {1}), 101);
    }
    const auto pool = make(1);
    for (int i = 0; i < 3; ++i) (void)pool->apply_async(&hold, {0, 1});
    await_signal(0);
  });
  const std::string text = errors.text();
  program.join();
  EXPECT_EQ(text, "crucible: a Pool that was not closed is destroyed, and 3 unfinished tasks with it\n");
}

TEST_P(PoolLife, W32_ItBelongsToTheProcessThatMadeIt) {
  const auto pool = make(1);
  Peer child([&] {
    EXPECT_THROW((void)pool->apply_async(&add_hundred, {1}), StateError);
    EXPECT_THROW(pool->close(), StateError);
    EXPECT_THROW(pool->terminate(), StateError);
    EXPECT_THROW(pool->join(), StateError);
    EXPECT_THROW((void)pool->statistics(), StateError);
  });
  child.join();
  EXPECT_EQ(pool->apply(&add_hundred, {1}), 101);
}

TEST_P(PoolLife, W33_StatisticsCountEveryTask) {
  const auto pool = make(2);
  const auto first = pool->apply_async(&hold, {0, 2});
  const auto second = pool->apply_async(&hold, {1, 2});
  std::vector<AsyncResult<int>> queued;
  for (int i = 0; i < 5; ++i) queued.push_back(pool->apply_async(&add_hundred, {i}));
  await_signal(0);
  await_signal(1);
  PoolStatistics now = pool->statistics();
  EXPECT_EQ(now.running, 2U);
  EXPECT_EQ(now.queued, 5U);
  EXPECT_EQ(now.done, 0U);
  set_signal(2);
  for (const auto& result : queued) result.wait();
  first.wait();
  second.wait();
  now = pool->statistics();
  EXPECT_EQ(now.running + now.queued + now.lost + now.restarts, 0U);
  EXPECT_EQ(now.done, 7U);
}

TEST_P(PoolLife, W34_ATaskIsNotKeptBehindAnother) {
  const auto pool = make(2);
  // The first is in the way of whatever is behind it at its worker until all others have run.
  const auto first = pool->apply_async(&hold, {0, 1});
  std::vector<AsyncResult<int>> small;
  for (int i = 0; i < 50; ++i) small.push_back(pool->apply_async(&add_hundred, {i}));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(small[static_cast<std::size_t>(i)].get(), i + 100);
  set_signal(1);
  first.wait();
}

// They are submitted at once, so that one of them stands behind the first, until the other worker is free for it.
TEST_P(PoolLife, W34_WhatIsTakenBackRunsOnce) {
  const auto pool = make(2);
  const auto count = [](int which) {
    if (which == 0) await_signal(1);
    return add(static_cast<std::size_t>(which));
  };
  const auto all = pool->map_async(count, std::views::iota(0, 10), 1);
  for (std::size_t which = 1; which < 10; ++which) {
    while (cell(which) == 0) std::this_thread::yield();
  }
  set_signal(1);
  EXPECT_EQ(all.get(), std::vector<std::int64_t>(10, 0));
  pool->close();
  pool->join();
  for (std::size_t which = 0; which < 10; ++which) EXPECT_EQ(cell(which), 1) << which;
}

}  // namespace

CRUCIBLE_INSTANTIATE_POOLS(PoolLife);

}  // namespace crucible::testing
