// How soon: clauses W36, W44, H6 and H10. Upper bounds, so these run one at a time.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <stdexcept>
#include <thread>
#include <vector>

#include "conformance/pool_support.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"

namespace crucible::testing {
namespace {

class PoolTiming : public PoolTest {
 protected:
  template <class Call>
  static std::chrono::nanoseconds time_of(const Call& call) {
    const auto begun = std::chrono::steady_clock::now();
    call();
    return std::chrono::steady_clock::now() - begun;
  }
};

TEST_P(PoolTiming, W44_APoolIsWholeAgainWithinHalfASecond) {
  const auto pool = make(2);
  for (int i = 0; i < 5; ++i) {
    Board::clear();
    const auto victim = pool->apply_async([] {
      add(0, ::getpid());
      await_signal(0);
      ::_exit(3);
    });
    while (cell(0) == 0) std::this_thread::yield();
    set_signal(0);
    EXPECT_LT(time_of([&] {
                victim.wait();
                await_whole(*pool, static_cast<pid_t>(cell(0)));
              }),
              500ms);
  }
}

TEST_P(PoolTiming, H6_AFailingInitializerShowsWithinASecond) {
  const auto pool = make(2, {.initializer = [] {
                           await_signal(0);
                           throw std::domain_error("no");
                         }});
  const auto waiting = pool->apply_async(&add_hundred, {1});
  set_signal(0);
  EXPECT_LT(time_of([&] { EXPECT_THROW((void)waiting.get(), Broken); }), 1s);
}

TEST_P(PoolTiming, H10_TerminateTakesNoTwoSeconds) {
  const auto pool = make(3);
  for (int i = 0; i < 10'000; ++i) (void)pool->apply_async(&hold, {0, 1});
  await_signal(0);
  EXPECT_LT(time_of([&] { pool->terminate(); }), 2s);
  EXPECT_LT(time_of([&] { pool->join(); }), 2s);
}

TEST_P(PoolTiming, W36_NoWorkerIsLeftAfterASecond) {
  Peer owner([] { own_busy_pool(3); });
  await_signal(2);
  const std::vector<pid_t> family = proc::descendants_of(owner.pid());
  EXPECT_LT(time_of([&] {
              owner.kill();
              proc::await_gone(family);
            }),
            1s);
  owner.join();
  while (proc::children_of(::getpid()).size() > 1) await_orphans();
}

}  // namespace

CRUCIBLE_INSTANTIATE_POOLS(PoolTiming);

}  // namespace crucible::testing
