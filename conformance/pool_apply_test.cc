// Clause W46: calls that wait for their own task, beside everything else that may happen to a pool.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "conformance/pool_support.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

class PoolApply : public PoolTest {
 protected:
  /// With nothing under way and nothing to come.
  static std::unique_ptr<Pool> make_idle(int processes) {
    auto pool = make(processes);
    for (int i = 0; i < 20 * processes; ++i) EXPECT_EQ(pool->apply(&add_hundred, {i}), i + 100);
    return pool;
  }
};

/// A call that has begun and goes on until signal 1 is set.
std::future<pid_t> begin_call(Pool& pool) {
  auto call = std::async(std::launch::async, [&pool] { return pool.apply(&hold, {0, 1}); });
  await_signal(0);
  return call;
}

TEST_P(PoolApply, W46_TerminateEndsIt) {
  const auto pool = make_idle(2);
  auto call = begin_call(*pool);
  pool->terminate();
  EXPECT_THROW(call.get(), Terminated);
  pool->join();
}

TEST_P(PoolApply, W46_CloseAndJoinWaitForIt) {
  const auto pool = make_idle(2);
  auto call = begin_call(*pool);
  pool->close();
  EXPECT_FALSE(pool->join_for(0ms));
  while (pool->workers().size() > 1) std::this_thread::yield();  // then only the call can wake it
  set_signal(1);
  pool->join();
  EXPECT_GT(call.get(), 0);
  EXPECT_TRUE(pool->workers().empty());
  EXPECT_EQ(pool->statistics().done, 41U);
}

TEST_P(PoolApply, W46_AChildOfItsWorkerMayKeepTheChannel) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto pool = make_idle(1);
  const auto leave_a_child = [] {
    if (::fork() == 0) {
      add(0, ::getpid());
      await_signal(1);
      ::_exit(0);
    }
    while (cell(0) == 0) std::this_thread::yield();
    std::raise(SIGKILL);
  };
  EXPECT_THROW(pool->apply(leave_a_child), WorkerLost);
  EXPECT_EQ(pool->apply(&add_hundred, {1}), 101);
  set_signal(1);
  EXPECT_EQ(::waitpid(static_cast<pid_t>(cell(0)), nullptr, 0), cell(0));  // an orphan is this process's
}

TEST_P(PoolApply, W46_AForkMeanwhileKeepsNothing) {
  const auto pool = make_idle(2);
  auto call = begin_call(*pool);
  Process child([] { await_signal(2); });
  child.start();
  set_signal(1);
  EXPECT_GT(call.get(), 0);
  pool->close();
  pool->join();
  set_signal(2);
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_P(PoolApply, W46_ItBeginsNoSoonerThanWhatWasThereBefore) {
  const auto pool = make_idle(1);
  const auto number = [] { return add(0); };
  for (std::int64_t round = 0; round < 100; ++round) {
    const auto before = pool->apply_async(number);
    EXPECT_EQ(pool->apply(number), 2 * round + 1);
    EXPECT_EQ(before.get(), 2 * round);
  }
}

TEST_P(PoolApply, W46_ManyThreadsGetTheirOwnAndAreCountedOnce) {
  constexpr int kThreads = 4;
  constexpr int kCalls = 100;
  const auto pool = make(2);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&pool, thread] {
      for (int i = 0; i < kCalls; ++i) {
        const auto other = pool->apply_async(&add_hundred, {-i});
        EXPECT_EQ(pool->apply(&add_hundred, {1000 * thread + i}), 1000 * thread + i + 100);
        EXPECT_EQ(other.get(), 100 - i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const PoolStatistics now = pool->statistics();
  EXPECT_EQ(now.done, 2U * kThreads * kCalls);
  EXPECT_EQ(now.queued + now.running + now.lost, 0U);
}

TEST_P(PoolApply, W46_WorkersKilledBetweenCallsCostNone) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto pool = make_idle(2);
  for (int i = 0; i < 10; ++i) {
    const pid_t victim = pool->apply(&worker_pid);
    ASSERT_EQ(::kill(victim, SIGKILL), 0);
    EXPECT_EQ(pool->apply(&add_hundred, {i}), i + 100);
    await_whole(*pool, victim);
  }
  EXPECT_EQ(pool->statistics().lost, 0U);
}

CRUCIBLE_INSTANTIATE_POOL_VARIANTS(PoolApply);

}  // namespace
}  // namespace crucible::testing
