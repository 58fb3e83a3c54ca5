// Clauses H1, H2, H3 and H6: the ways in which a worker can end, wherever it is then.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <new>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "api/remote_error.h"
#include "conformance/pool_support.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"

namespace crucible::testing {
namespace {

enum Way { kKilled, kSegv, kAbort, kQuickExit, kExit, kException, kNoException, kStackOverflow, kNoMemory, kWays };

int overflow(volatile int* depth) {
  volatile int here[1024] = {*depth};
  return *depth < 0 ? 0 : overflow(here) + here[7];
}

[[noreturn]] void die(int way) {
  switch (way) {
    case kKilled: ::kill(::getpid(), SIGKILL); break;
    case kSegv: ::raise(SIGSEGV); break;
    case kAbort: std::abort();
    case kQuickExit: ::_exit(3);
    case kExit: std::exit(4);
    case kException: throw std::domain_error("thrown");
    case kNoException: throw 42;
    case kStackOverflow: {
      volatile int depth = 0;
      (void)overflow(&depth);
      break;
    }
    case kNoMemory: ::operator delete(::operator new(std::size_t{1} << 60U)); break;
    default: break;
  }
  for (;;) ::pause();  // a signal is on its way
}

/// What a task that ends so in it ends with: a worker's exit code, or 1000 and the number of an exception.
int expected(Way way) {
  constexpr std::array<int, kWays> kOutcomes = {-SIGKILL, -SIGSEGV, -SIGABRT, 3, 4, 1000, 1001, -SIGSEGV, 1002};
  return kOutcomes.at(way);
}
template <class T>
int outcome_of(const AsyncResult<T>& result) {
  try {
    (void)result.get();
  } catch (const WorkerLost& lost) {
    return lost.exit_code();
  } catch (const std::domain_error&) {
    return 1000;
  } catch (const RemoteError& error) {
    return error.type() == "int" ? 1001 : 2000;
  } catch (const std::bad_alloc&) {
    return 1002;
  }
  return 3000;
}

/// Ends its process when it is read there, or written there.
struct Trap {
  int way = 0;
  int when_read = 0;
  int when_written = 0;
  template <class Packer>
  void msgpack_pack(Packer& out) const {
    if (when_written != 0 && when_written != ::getpid()) die(way);
    out.pack_array(3);
    out.pack_int(way).pack_int(when_read).pack_int(when_written);
  }
  void msgpack_unpack(const msgpack::object& in) {
    const auto all = in.as<std::array<int, 3>>();
    way = all[0], when_read = all[1], when_written = all[2];
    if (when_read != 0 && when_read != ::getpid()) die(way);
  }
};

class PoolDeath : public PoolTest {
 protected:
  void SetUp() override {
    PoolTest::SetUp();
    const rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    ::setrlimit(RLIMIT_CORE, &none);
  }

  /// Whatever `submit(pool, way)` does to its worker, it alone is concerned: the tasks around it give their results,
  /// and the pool is whole again.
  template <class Submit>
  static void expect_one_victim(const Submit& submit) {
    for (int way = 0; way < kWays; ++way) {
      SCOPED_TRACE(way);
      const auto pool = make(2);
      std::vector<AsyncResult<int>> others;
      for (int i = 0; i < 4; ++i) others.push_back(pool->apply_async(&add_hundred, {i}));
      const auto victim = submit(*pool, way);
      for (int i = 4; i < 8; ++i) others.push_back(pool->apply_async(&add_hundred, {i}));
      EXPECT_EQ(outcome_of(victim), expected(static_cast<Way>(way)));
      for (int i = 0; i < 8; ++i) EXPECT_EQ(others[static_cast<std::size_t>(i)].get(), i + 100);
      await_whole(*pool);
      const PoolStatistics now = pool->statistics();
      const bool dies = expected(static_cast<Way>(way)) < 1000;
      EXPECT_EQ(now.lost, dies ? 1U : 0U);
      EXPECT_EQ(now.restarts, dies ? 1U : 0U);
      EXPECT_EQ(now.done, dies ? 8U : 9U);
      EXPECT_EQ(pool->apply(&add_hundred, {1}), 101);
      pool->close();
      pool->join();
    }
  }
};

TEST_P(PoolDeath, H1_InATaskItEndsThatTaskOnly) {
  expect_one_victim([](Pool& pool, int way) { return pool.apply_async([](int how) { die(how); }, {way}); });
}

// They are submitted at once, so that one stands behind the victim where a worker has more than one.
TEST_P(PoolDeath, H1_WhatStandsBehindTheVictimIsDone) {
  const auto pool = make(1);
  const auto die_first = [](int which) {
    if (which == 0) std::raise(SIGKILL);
    return add(0);
  };
  EXPECT_THROW((void)pool->map(die_first, {0, 1, 2, 3}, 1), WorkerLost);
  EXPECT_EQ(cell(0), 3);
  EXPECT_EQ(pool->statistics().lost, 1U);
}

TEST_P(PoolDeath, H1_BeforeATaskItEndsThatTaskOnly) {
  expect_one_victim(
      [](Pool& pool, int way) { return pool.apply_async([](Trap) {}, {Trap{.way = way, .when_read = ::getpid()}}); });
}

TEST_P(PoolDeath, H1_WithTheResultItEndsThatTaskOnly) {
  expect_one_victim([](Pool& pool, int way) {
    return pool.apply_async([](int how, int owner) { return Trap{.way = how, .when_written = owner}; },
                            {way, ::getpid()});
  });
}

TEST_P(PoolDeath, W43_InTheMiddleOfALongResultItEndsThatTaskOnly) {
  CRUCIBLE_REQUIRE(survives_kill);
  Peer owner([] {
    const auto pool = make(1);
    const auto victim = pool->apply_async([] {
      add(0, hold(0, 1));
      return Bytes(64U << 20U);
    });
    EXPECT_EQ(lost_with(victim), -SIGKILL);
    EXPECT_EQ(pool->apply(&add_hundred, {1}), 101);
    EXPECT_EQ(pool->statistics().lost, 1U);
  });
  await_signal(0);
  ASSERT_EQ(::kill(owner.pid(), SIGSTOP), 0);  // nobody receives
  while (proc::thread(owner.pid(), owner.pid()).state != 'T') std::this_thread::yield();
  set_signal(1);
  while (cell(0) == 0) std::this_thread::yield();
  const auto worker = static_cast<pid_t>(cell(0));
  await_blocked(worker);
  ASSERT_EQ(::kill(worker, SIGKILL), 0);
  ASSERT_EQ(::kill(owner.pid(), SIGCONT), 0);
  owner.join();
}

TEST_P(PoolDeath, H2_IdleItEndsNoTask) {
  CRUCIBLE_REQUIRE(survives_kill);
  for (int way = 0; way < kWays; ++way) {
    SCOPED_TRACE(way);
    Board::clear();
    const auto pool = make(1);
    // A thread of the worker's own, since nothing of the pool's runs in it now.
    const auto victim = pool->apply(
        [](int how) {
          std::thread([how] {
            await_signal(0);
            if (how == kExit) ::_exit(4);  // leaving main while it waits is undefined
            die(how);
          }).detach();
          return ::getpid();
        },
        {way});
    set_signal(0);
    await_whole(*pool, victim);
    EXPECT_NE(pool->apply(&worker_pid), victim);
    const PoolStatistics now = pool->statistics();
    EXPECT_EQ(now.lost, 0U);
    EXPECT_EQ(now.restarts, 1U);
  }
}

TEST_P(PoolDeath, H2_EachIdleWorkerInTurn) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto pool = make(3);
  for (const pid_t pid : pool->workers()) {
    await_blocked(pid);
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    await_whole(*pool, pid);
    EXPECT_EQ(pool->apply(&add_hundred, {1}), 101);
  }
  EXPECT_EQ(pool->statistics().lost, 0U);
}

TEST_P(PoolDeath, H6_InTheInitializerItFailsThePool) {
  for (int way = 0; way < kWays; ++way) {
    SCOPED_TRACE(way);
    Board::clear();
    try {
      const auto pool = make(2, {.initializer = [way] {
                               add(1);
                               await_signal(0);
                               die(way);
                             }});
      const auto waiting = pool->apply_async(&add_hundred, {1});
      set_signal(0);
      try {
        (void)waiting.get();
        ADD_FAILURE();
      } catch (const Broken& error) {
        EXPECT_NE(std::string(error.what()).find("initializer"), std::string::npos) << error.what();
      }
      EXPECT_THROW((void)pool->apply_async(&add_hundred, {1}), Broken);
      EXPECT_NE(pool->failure(), "");
      pool->join();
      EXPECT_EQ(pool->statistics().restarts, 0U);
      EXPECT_TRUE(pool->workers().empty());
    } catch (const Broken&) {
      ADD_FAILURE() << "before the pool was there";
    }
    EXPECT_LE(cell(1), 2);
  }
}

TEST_P(PoolDeath, H6_AReplacementsInitializerToo) {
  const auto pool = make(1, {.initializer = [] {
                           if (add(0) > 0) throw std::domain_error("the second time");
                         }});
  EXPECT_EQ(lost_with(pool->apply_async([] { ::_exit(3); })), 3);
  try {
    (void)pool->apply(&add_hundred, {1});
    ADD_FAILURE();
  } catch (const Broken& error) {
    EXPECT_NE(std::string(error.what()).find("std::domain_error: the second time"), std::string::npos) << error.what();
  }
  EXPECT_EQ(cell(0), 2);
}

TEST_P(PoolDeath, H1_OneElementOfAMap) {
  const auto pool = make(2);
  std::vector<int> input(10);
  std::iota(input.begin(), input.end(), 0);
  const auto task = [](int number) {
    add(static_cast<std::size_t>(number));
    if (number == 4) ::_exit(5);
    return number;
  };
  EXPECT_EQ(lost_with(pool->map_async(task, input, 1)), 5);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(cell(i), 1) << i;
  auto source = pool->imap(task, input, 1);
  for (int i = 0; i < 10; ++i) {
    if (i == 4) {
      EXPECT_THROW((void)source.next(), WorkerLost);
    } else {
      EXPECT_EQ(source.next(), i);
    }
  }
  EXPECT_FALSE(source.next());
}

TEST_P(PoolDeath, H1_EveryTaskOfManyWithALimit) {
  const auto pool = make(2, {.max_tasks_per_child = 2});
  std::vector<AsyncResult<int>> results;
  for (int i = 0; i < 30; ++i) {
    results.push_back(pool->apply_async(
        [](int number) {
          if (number % 5 == 0) ::_exit(6);
          return number;
        },
        {i}));
  }
  pool->close();
  pool->join();
  for (int i = 0; i < 30; ++i) {
    const AsyncResult<int>& result = results[static_cast<std::size_t>(i)];
    if (i % 5 == 0) {
      EXPECT_EQ(lost_with(result), 6);
    } else {
      EXPECT_EQ(result.get(), i);
    }
  }
}

TEST_P(PoolDeath, H1_WhatAWorkerHadAnsweredIsKept) {
  const auto pool = make(1);
  std::vector<AsyncResult<int>> answered;
  for (int i = 0; i < 20; ++i) answered.push_back(pool->apply_async(&add_hundred, {i}));
  const auto victim = pool->apply_async([] { ::_exit(7); });
  EXPECT_EQ(lost_with(victim), 7);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(answered[static_cast<std::size_t>(i)].get(), i + 100);
}

}  // namespace

CRUCIBLE_INSTANTIATE_POOLS(PoolDeath);

}  // namespace crucible::testing
