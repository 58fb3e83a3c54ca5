// Clauses W19 and W37 to W41: stopped processes, signals, forks, channels that are spoilt, many of everything.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "conformance/pipe_support.h"
#include "conformance/pool_support.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"
#include "conformance/support/resources.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

class PoolFaults : public PoolTest {
 protected:
  static pid_t zygote_of(const Pool& pool) {
    const pid_t worker = pool.workers().front();
    return proc::thread(worker, worker).parent;
  }
  static void stop(pid_t pid) {
    ASSERT_EQ(::kill(pid, SIGSTOP), 0);
    while (proc::thread(pid, pid).state != 'T') std::this_thread::yield();
  }
};

std::vector<int> numbers(int count) {
  std::vector<int> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

TEST_P(PoolFaults, W19_TwoHundredWorkers) {
  const auto pool = make(200);
  std::int64_t sum = 0;
  for (const std::int64_t square : pool->map([](std::int64_t i) { return i * i; }, numbers(1'000))) sum += square;
  EXPECT_EQ(sum, 332'833'500);
  EXPECT_EQ(pool->workers().size(), 200U);
}

TEST_P(PoolFaults, W37_AStoppedWorkerHoldsUpNobodyElse) {
  const auto pool = make(2);
  const auto held = pool->apply_async(&hold, {0, 1});
  await_signal(0);
  const auto stopped = [&] {
    set_signal(1);
    return held.get();
  }();
  stop(stopped);
  // One of them may be at the stopped worker; all of them are done when it goes on.
  std::vector<AsyncResult<int>> results;
  for (int i = 0; i < 20; ++i) results.push_back(pool->apply_async(&add_hundred, {i}));
  const auto large = pool->apply_async([](Bytes bytes) { return bytes.size(); }, {Bytes(1U << 20U)});
  for (int done = 0; done < 19;) {
    done = 0;
    for (const auto& result : results) done += result.ready() ? 1 : 0;
    std::this_thread::yield();
  }
  ASSERT_EQ(::kill(stopped, SIGCONT), 0);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)].get(), i + 100);
  EXPECT_EQ(large.get(), 1U << 20U);
  EXPECT_EQ(pool->statistics().restarts, 0U);
}

TEST_P(PoolFaults, W37_StoppedOnesAreTerminated) {
  const auto pool = make(2);
  const auto held = pool->apply_async(&hold, {0, 1});
  await_signal(0);
  for (const pid_t worker : pool->workers()) stop(worker);
  pool->terminate();
  EXPECT_THROW((void)held.get(), Terminated);
  {
    const auto other = make(1);
    stop(zygote_of(*other));
    EXPECT_EQ(other->apply(&add_hundred, {1}), 101);
    other->terminate();
  }
  await_orphans();
}

TEST_P(PoolFaults, W37_AStoppedZygoteDelaysReplacementsOnly) {
  const auto pool = make(2);
  const pid_t zygote = zygote_of(*pool);
  stop(zygote);
  const auto victim = pool->apply_async([] { ::_exit(3); });
  EXPECT_EQ(pool->apply(&add_hundred, {1}), 101);
  ASSERT_EQ(::kill(zygote, SIGCONT), 0);
  EXPECT_EQ(lost_with(victim), 3);
  await_whole(*pool);
}

TEST_P(PoolFaults, W38_SignalsNeverShow) {
  const SignalStorm storm;
  const auto pool = make(2);
  EXPECT_EQ(pool->map(&add_hundred, numbers(200), 1).size(), 200U);
  const auto held = pool->apply_async(&hold, {0, 1});
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_FALSE(held.get_for(50ms));
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 50ms);
  EXPECT_EQ(lost_with(pool->apply_async([] { ::_exit(3); })), 3);
  set_signal(1);
  held.wait();
  pool->close();
  EXPECT_TRUE(pool->join_for(1h));
  EXPECT_GT(SignalStorm::hits(), 0);
}

TEST_P(PoolFaults, W39_ForksOfABusyOwnerHoldNothing) {
  const auto pool = make(2);
  std::atomic<bool> over = false;
  std::thread busy([&] {
    while (!over) EXPECT_EQ(pool->apply(&add_hundred, {1}), 101);
  });
  const std::size_t own = open_descriptors();
  std::vector<std::unique_ptr<Peer>> children;
  for (int i = 0; i < 5; ++i) {
    children.push_back(std::make_unique<Peer>([&, own] {
      EXPECT_LE(open_descriptors() + 7, own) << "the zygote's two, the door's, two of each channel";
      EXPECT_THROW((void)pool->apply_async(&add_hundred, {1}), StateError);
      await_signal(0);
    }));
  }
  over = true;
  busy.join();
  EXPECT_EQ(lost_with(pool->apply_async([] { ::_exit(3); })), 3);
  const std::vector<pid_t> workers = pool->workers();
  pool->close();
  pool->join();
  for (const pid_t pid : workers) EXPECT_TRUE(proc::thread(pid, pid).gone());
  set_signal(0);
}

TEST_P(PoolFaults, W40_AWorkerThatClosesItsDescriptorsIsReplaced) {
  const auto pool = make(1);
  const pid_t before = pool->workers().front();
  const auto result = pool->apply_async([] {
    for (int descriptor = 3; descriptor < 256; ++descriptor) ::close(descriptor);
    return static_cast<int>(add(0));
  });
  try {
    EXPECT_EQ(result.get(), 0);  // its answer needs no descriptor everywhere
  } catch (const WorkerLost&) {  // with whatever code it ends when it finds itself without its owner
  }
  await_whole(*pool, before);
  EXPECT_EQ(pool->apply(&add_hundred, {1}), 101);
  EXPECT_EQ(cell(0), 1);
}

TEST_P(PoolFaults, W41_ManyTasksLeaveNothing) {
  const auto pool = make(2);
  const auto run = [&](int count) {
    for (int i = 0; i < count; ++i) EXPECT_EQ(pool->map(&add_hundred, numbers(100), 1).back(), 199);
  };
  run(20);
  const Resources first = Resources::now();
  run(20);
  expect_no_growth(first, Resources::now());
}

TEST_P(PoolFaults, W41_ManyPoolsLeaveNothing) {
  const auto run = [&](int count) {
    for (int i = 0; i < count; ++i) EXPECT_EQ(make(2)->apply(&add_hundred, {i}), i + 100);
  };
  run(10);
  const Resources first = Resources::now();
  run(20);
  expect_no_growth(first, Resources::now());
}

}  // namespace

CRUCIBLE_INSTANTIATE_POOLS(PoolFaults);

}  // namespace crucible::testing
