// Clauses M7, M39, M40, M41: a Pool that a manager holds.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/door_support.h"
#include "conformance/exec_peer.h"
#include "conformance/manager_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/function.h"

namespace crucible::testing {
namespace {

// What tasks and their test share: made before the manager, whose workers are this program as it was then.
struct Desk {
  Event is_in;
  Event go_on;
  Event prepared;
};
std::unique_ptr<Desk> desk;

int square(int x) { return x * x; }
pid_t own_pid() { return ::getpid(); }
void wait_at_the_desk() {
  desk->is_in.set();
  desk->go_on.wait();
}
const Function named_square{"managed pool: square", &square};

class ManagerPool : public ManagerTest {
 protected:
  void SetUp() override {
    ManagerTest::SetUp();
    desk = std::make_unique<Desk>();
  }
  void TearDown() override {
    desk.reset();
    ManagerTest::TearDown();
  }
  void warm_up() override {
    ManagerTest::warm_up();
    {
      const auto manager = start();
      const auto pool = manager->pool({.processes = 1});
      EXPECT_EQ(pool->apply_async(&square, {2}).get(), 4);
    }
    await_orphans();
  }
  static std::unique_ptr<ExecPeer> program(const std::string& address) {
    return std::make_unique<ExecPeer>(mechanism().name, address);
  }
};

TEST_P(ManagerPool, M7_APoolWorksInAChildAndShowsHere) {
  const auto manager = start();
  const auto pool = manager->pool({.processes = 2});
  Peer child([&] {
    EXPECT_EQ(pool->apply(&square, {7}), 49);
    EXPECT_EQ(pool->map(&square, {1, 2, 3}), (std::vector<int>{1, 4, 9}));
  });
  child.join();
  EXPECT_GE(pool->statistics().done, 2U);
  EXPECT_EQ(pool->size(), 2U);
  EXPECT_EQ(pool->workers().size(), 2U);
  EXPECT_EQ(pool->mechanism(), mechanism().name);
}

TEST_P(ManagerPool, M39_ItDoesWhatAPoolDoes) {
  const auto manager = start();
  const auto pool = manager->pool({.processes = 2});
  EXPECT_EQ(pool->apply([](const std::string& a, int b) { return a + std::to_string(b); }, {"x", 5}), "x5");
  EXPECT_NE(pool->apply(&own_pid), ::getpid());
  std::vector<int> numbers(100);
  for (int i = 0; i < 100; ++i) numbers[static_cast<std::size_t>(i)] = i;
  std::vector<int> squares;
  for (const int number : numbers) squares.push_back(square(number));
  EXPECT_EQ(pool->map(&square, numbers), squares);
  EXPECT_EQ(pool->map(&square, numbers, 1), squares);
  EXPECT_EQ(pool->map(&square, std::vector<int>()), std::vector<int>());
  EXPECT_EQ(pool->starmap([](int a, int b) { return a - b; }, {{5, 3}, {9, 1}}), (std::vector<int>{2, 8}));
  std::vector<int> one_by_one;
  for (const int value : pool->imap(&square, numbers)) one_by_one.push_back(value);
  EXPECT_EQ(one_by_one, squares);
  one_by_one.clear();
  for (const int value : pool->imap_unordered(&square, numbers, 3)) one_by_one.push_back(value);
  std::ranges::sort(one_by_one);
  EXPECT_EQ(one_by_one, squares);
  EXPECT_EQ(pool->apply([](const Bytes& bytes) { return bytes; }, {Bytes(8U << 20U, std::byte{7})}),
            Bytes(8U << 20U, std::byte{7}));
}

TEST_P(ManagerPool, M39_CallbacksComeBeforeTheResultIsSeenAndMayUseThePool) {
  const auto manager = start();
  const auto pool = manager->pool({.processes = 2});
  std::atomic<int> got = 0;
  std::atomic<int> failed = 0;
  const auto good = pool->apply_async(&square, {6}, [&](int value) { got = value + pool->apply(&square, {1}); });
  good.wait();
  EXPECT_EQ(got, 37);
  const auto bad = pool->apply_async([](int) -> int { throw std::out_of_range("nothing there"); }, {1}, {},
                                     [&](const std::exception& error) {
                                       if (dynamic_cast<const std::out_of_range*>(&error) != nullptr) ++failed;
                                     });
  EXPECT_THROW((void)bad.get(), std::out_of_range);
  EXPECT_EQ(failed, 1);
  const auto unjoinable = pool->apply_async(&square, {1}, [&](int) {
    try {
      pool->join();
    } catch (const StateError&) {
      ++failed;
    }
  });
  EXPECT_EQ(unjoinable.get(), 1);
  EXPECT_EQ(failed, 2);
}

TEST_P(ManagerPool, M39_WhatATaskThrowsAndItsWorkersDeathAreItsOwn) {
  const auto manager = start();
  const auto pool = manager->pool({.processes = 2});
  EXPECT_THROW((void)pool->apply([] { throw std::invalid_argument("no"); }), std::invalid_argument);
  EXPECT_THROW((void)pool->apply([] { ::_exit(3); }), WorkerLost);
  const auto killed = pool->apply_async([] { ::raise(SIGKILL); });
  EXPECT_THROW(killed.get(), WorkerLost);
  EXPECT_EQ(pool->map(&square, {1, 2, 3}, 1), (std::vector<int>{1, 4, 9}));
  EXPECT_EQ(pool->statistics().lost, 2U);
}

TEST_P(ManagerPool, M39_EachProcessGetsItsOwnResults) {
  const auto manager = start();
  const auto pool = manager->pool({.processes = 2});
  const auto work = [&pool](int seed) {
    std::vector<AsyncResult<int>> results;
    for (int i = 0; i < 200; ++i) results.push_back(pool->apply_async(&square, {seed + i}));
    for (int i = 0; i < 200; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)].get(), square(seed + i));
  };
  const auto pending = pool->apply_async(&square, {3});  // the parent's own thread is there at the forks
  Peer first([&] { work(1'000); });
  Peer second([&] { work(5'000); });
  std::thread another([&] { work(100); });
  work(300);
  another.join();
  EXPECT_EQ(pending.get(), 9);
  first.join();
  second.join();
}

TEST_P(ManagerPool, M39_ATaskUsesTheManagersObjects) {
  const auto manager = start();
  const auto pool = manager->pool({.processes = 2});
  const auto list = manager->list<int>();
  const auto append = [](const managed::List<int>& to, int item) { to.append(item); };
  for (int i = 0; i < 20; ++i) pool->apply(append, {list, i});
  EXPECT_EQ(list.size(), 20U);
  // What the pool's own workers hold must not keep the server.
  const auto holder = manager->list<Object>();
  holder.append(pool);
  EXPECT_EQ(managed::Pool(managed::Proxy(holder.get(0).as_reference()))->apply(&square, {4}), 16);
}

TEST_P(ManagerPool, M40_CloseTerminateAndJoinAreEverybodys) {
  const auto manager = start();
  const auto pool = manager->pool({.processes = 1});
  EXPECT_THROW(pool->join(), StateError);
  const auto busy = pool->apply_async(&wait_at_the_desk);
  desk->is_in.wait();
  Peer child([&] { pool->close(); });
  child.join();
  EXPECT_THROW((void)pool->apply(&square, {1}), StateError);
  EXPECT_THROW((void)pool->apply_async(&square, {1}), StateError);
  EXPECT_FALSE(pool->join_for(1ms));
  // Two who wait, of whom one gives up.
  std::thread joiner([&] { pool->join(); });
  EXPECT_FALSE(pool->join_for(20ms));
  desk->go_on.set();
  joiner.join();
  busy.get();
  pool->join();

  const auto other = manager->pool({.processes = 1});
  const auto stuck = other->apply_async([] { ::pause(); });
  const auto queued = other->apply_async(&square, {1});
  other->terminate();
  EXPECT_THROW(stuck.get(), Terminated);
  EXPECT_THROW((void)queued.get(), Terminated);
  other->join();
  EXPECT_TRUE(other->workers().empty());
}

TEST_P(ManagerPool, M40_ItEndsWithTheLastReference) {
  const auto manager = start();
  const std::size_t objects = manager->object_count();
  pid_t worker = 0;
  {
    const auto pool = manager->pool({.processes = 1});
    worker = pool->workers().at(0);
    (void)pool->apply_async([] { ::pause(); });
  }
  while (manager->object_count() != objects) std::this_thread::yield();
  while (::kill(worker, 0) == 0) std::this_thread::yield();
  expect_serves(*manager);
}

TEST_P(ManagerPool, M40_ResultsEndWithTheLastHandleAndTasksDoNot) {
  const auto manager = start();
  const auto kept = manager->list<Object>();
  std::unique_ptr<AsyncResult<void>> pending;
  {
    const auto pool = manager->pool({.processes = 2});
    kept.append(pool);
    pending = std::make_unique<AsyncResult<void>>(pool->apply_async(&wait_at_the_desk));
    desk->is_in.wait();
    std::atomic<pid_t> receiver = 0;
    EXPECT_EQ(pool->apply_async(&square, {3}, [&](int) { receiver = ::gettid(); }).get(), 9);
    await_blocked(::getpid(), receiver);  // in the middle of asking for the other
  }
  EXPECT_THROW(pending->get(), Terminated);
  const managed::Pool pool(managed::Proxy(kept.get(0).as_reference()));
  EXPECT_EQ(pool->statistics().running, 1U);
  desk->go_on.set();
  EXPECT_EQ(pool->apply(&square, {5}), 25);
}

TEST_P(ManagerPool, M40_AKilledClientsTasksAreDoneAndHarmNobody) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto manager = start();
  const auto pool = manager->pool({.processes = 1});
  auto client = holder([&] {
    for (int i = 0; i < 50; ++i) (void)pool->apply_async(&square, {i});
    (void)pool->apply_async(&wait_at_the_desk);
    desk->is_in.wait();
  });
  end(std::move(client));
  desk->go_on.set();
  EXPECT_EQ(pool->apply(&square, {8}), 64);
  while (pool->statistics().done < 52) std::this_thread::yield();
}

TEST_P(ManagerPool, M40_AKilledServerIsBrokenForAllAndItsWorkersEnd) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto manager = start();
  const auto pool = manager->pool({.processes = 2});
  const auto pending = pool->apply_async([] { ::pause(); });
  std::thread caller([&] { EXPECT_THROW((void)pool->apply([] { ::pause(); }), Broken); });
  while (pool->statistics().running < 2) std::this_thread::yield();
  ::kill(*manager->pid(), SIGKILL);
  EXPECT_THROW(pending.get(), Broken);
  caller.join();
  EXPECT_THROW((void)pool->apply_async(&square, {1}), Broken);
  EXPECT_THROW((void)pool->apply(&square, {1}), Broken);
}  // where all that is left of it is waited for

TEST_P(ManagerPool, M40_ShutdownEndsAPoolThatIsBusy) {
  const auto manager = start();
  const auto pool = manager->pool({.processes = 2});
  const auto pending = pool->apply_async([] { ::pause(); });
  std::thread joiner;
  {
    const auto closed = manager->pool({.processes = 1});
    const auto endless = closed->apply_async([] { ::pause(); });
    closed->close();
    joiner = std::thread([closed] { EXPECT_THROW(closed->join(), Broken); });
    while (closed->statistics().running < 1) std::this_thread::yield();
    manager->shutdown();
    EXPECT_THROW(endless.get(), Broken);
  }
  joiner.join();
  EXPECT_THROW(pending.get(), Broken);
}

TEST_P(ManagerPool, M40_APoolKeepsNoServerThatNobodyCanReach) {
  CRUCIBLE_REQUIRE(survives_kill);
  Peer creator([&] {
    const auto manager = start();
    const auto inside = manager->list<Object>();
    const auto pool = manager->pool({.processes = 1});
    inside.append(inside);
    inside.append(pool);
    pool->apply([](const managed::List<Object>& list) { list.append(1); }, {inside});
    ::raise(SIGKILL);
  });
  EXPECT_EQ(creator.wait_status(), SIGKILL);
}  // where all that is left of it is waited for

// A worker that had the server's ends of its connections would keep them open.
TEST_P(ManagerPool, M40_WorkersHaveNothingOfTheServersOpen) {
  const auto manager = start();
  const auto list = manager->list<int>({1});
  const auto pool = manager->pool({.processes = 1});
  const auto open = [] {
    std::vector<int> descriptors;
    for (int descriptor = 0; descriptor < 1'024; ++descriptor) {
      if (::fcntl(descriptor, F_GETFD) != -1) descriptors.push_back(descriptor);
    }
    return descriptors.size();
  };
  const std::size_t before = pool->apply(open);
  std::vector<std::unique_ptr<Peer>> clients;
  for (int i = 0; i < 8; ++i) clients.push_back(holder([&] { EXPECT_EQ(list.size(), 1U); }));
  const auto other = manager->pool({.processes = 1});
  // A worker's own channel may be short of a descriptor that still comes.
  EXPECT_LT(other->apply(open), before + 4) << "one more for each client";
  for (auto& client : clients) end(std::move(client));
}

TEST_P(ManagerPool, M40_ABusyPoolHoldsUpNobody) {
  const auto manager = start();
  const auto list = manager->list<int>();
  const auto pool = manager->pool({.processes = 1});
  const auto pending = pool->apply_async(&wait_at_the_desk);
  desk->is_in.wait();
  std::thread waiting([&] { pool->apply(&square, {1}); });
  std::thread making([&] { (void)manager->pool({.processes = 20})->apply(&square, {1}); });
  for (int i = 0; i < 100; ++i) list.append(i);
  EXPECT_EQ(list.size(), 100U);
  making.join();
  desk->go_on.set();
  waiting.join();
  pending.get();
}

TEST_P(ManagerPool, M41_OptionsAreThePoolsOwn) {
  const auto manager = start();
  const PoolOptions initialized = {.processes = 1, .initializer = +[] { desk->prepared.set(); }};
  EXPECT_EQ(manager->pool(initialized)->apply(&square, {2}), 4);
  EXPECT_TRUE(desk->prepared.is_set());
  const auto fresh = manager->pool({.processes = 1, .max_tasks_per_child = 1});
  EXPECT_NE(fresh->apply(&own_pid), fresh->apply(&own_pid));
  EXPECT_THROW((void)manager->pool({.processes = 0}), BadArgument);
  EXPECT_THROW((void)manager->pool({.processes = 1, .initializer = [&] {}}), BadArgument);
  EXPECT_THROW((void)manager->pool({.processes = 1, .start_method = "no such"}), BadArgument);
  const PoolOptions failing = {.processes = 1, .initializer = +[] { throw std::runtime_error("not today"); }};
  EXPECT_THROW((void)manager->pool(failing)->apply(&square, {2}), Broken);
}

TEST_P(ManagerPool, M41_WhoIsNoForkNamesFunctions) {
  const auto manager = start({}, anywhere());
  const auto pool = manager->pool({.processes = 1});
  EXPECT_EQ(pool->apply(named_square, {3}), 9);
  const auto stranger = open(manager->address());
  const auto its_own = stranger->pool({.processes = 1});
  EXPECT_EQ(its_own->apply(named_square, {4}), 16);
  EXPECT_EQ(its_own->map(named_square, {1, 2}), (std::vector<int>{1, 4}));
  const auto peer = program(manager->address());
  EXPECT_EQ(peer->ask("open"), "Ok");
  EXPECT_EQ(peer->ask("pool square 5"), "25");
  EXPECT_EQ(peer->ask("pool address 5"), "BadArgument");
  EXPECT_EQ(peer->ask("pool unknown 5"), "BadArgument");
  EXPECT_EQ(peer->ask("pool initializer 5"), "BadArgument");
}

CRUCIBLE_INSTANTIATE_MANAGERS(ManagerPool);

}  // namespace
}  // namespace crucible::testing
