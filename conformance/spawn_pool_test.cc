// Clause W45: pools whose workers are no forks of this process, but of this program run anew.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "conformance/pool_support.h"
#include "conformance/spawn_support.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"

namespace crucible::testing {
namespace {

int g_state = 1;  // 2 in the test's process

const Function kRead{"spawn_pool_test read", +[] { return g_state; }};
const Function kSquare{"spawn_pool_test square", +[](std::int64_t number) { return number * number; }};
const Function kRepeat{"spawn_pool_test repeat", +[](const std::string& text, const Bytes& bytes) {
                         return text + std::to_string(bytes.size());
                       }};
const Function kThrow{"spawn_pool_test throw", +[] { throw std::out_of_range("there"); }};
const Function kEnd{"spawn_pool_test end", +[](int code) { ::_exit(code); }};
const Function kThreads{"spawn_pool_test threads", +[] { return proc::threads_of(::getppid()).size(); }};

class PoolSpawned : public PoolTest {
 protected:
  static std::unique_ptr<Pool> spawn(int processes, PoolOptions options = {}) {
    options.start_method = "spawn";
    return make(processes, options);
  }
};

TEST_P(PoolSpawned, W45_NamedFunctionsAreItsTasks) {
  g_state = 2;
  const auto pool = spawn(2);
  EXPECT_EQ(pool->apply(kRead), 1);  // nothing of this process's state is there
  EXPECT_EQ(pool->apply(kRepeat, {"a", Bytes(1U << 20U)}), "a1048576");
  std::vector<std::int64_t> input(100);
  std::iota(input.begin(), input.end(), 0);
  const auto squares = pool->map(kSquare, input);
  for (std::int64_t i = 0; i < 100; ++i) EXPECT_EQ(squares[static_cast<std::size_t>(i)], i * i);
  EXPECT_EQ(pool->imap(kSquare, input, 7).next(), 0);
  EXPECT_THROW(pool->apply(kThrow), std::out_of_range);
  EXPECT_EQ(pool->apply(kThreads), 1U);
}

TEST_P(PoolSpawned, W45_OtherFunctionsAreRefused) {
  EXPECT_THROW((void)spawn(1, {.initializer = [] {}}), BadArgument);
  EXPECT_THROW((void)make(1, {.start_method = "teleport"}), BadArgument);
  const auto pool = spawn(1);
  EXPECT_THROW((void)pool->apply(&add_hundred, {1}), BadArgument);
  EXPECT_THROW((void)pool->apply([] {}), BadArgument);
  EXPECT_EQ(pool->apply(kSquare, {3}), 9);
}

TEST_P(PoolSpawned, W45_ItsWorkersAreReplacedToo) {
  const auto pool = spawn(1, {.max_tasks_per_child = 2});
  EXPECT_EQ(lost_with(pool->apply_async(kEnd, {5})), 5);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(pool->apply(kSquare, {i}), i * i);
  pool->close();
  pool->join();
  EXPECT_GE(pool->statistics().restarts, 2U);
}

TEST_P(PoolSpawned, W45_ItEndsWithItsOwner) {
  Peer owner([] {
    const auto pool = spawn(2);
    set_signal(0);
    await_signal(1);
  });
  await_signal(0);
  owner.kill();
  owner.join();
  await_orphans();
  EXPECT_LE(proc::children_of(::getpid()).size(), 1U);  // the watchdog
}

}  // namespace

CRUCIBLE_INSTANTIATE_POOLS(PoolSpawned);

}  // namespace crucible::testing
