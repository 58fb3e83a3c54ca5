// Clauses M15, M16, M20, M21: a manager's beginning and end.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "conformance/manager_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

class ManagerLife : public ManagerTest {
 protected:
  static bool is_gone(pid_t pid) { return ::kill(pid, 0) != 0 || proc::thread(pid, pid).gone(); }
};

TEST_P(ManagerLife, M15_TheInitializerRunsOnceInTheServerBeforeItServes) {
  const SharedBox<std::atomic<int>> runs{0};
  const SharedBox<std::atomic<pid_t>> where{0};
  const auto manager = unstarted();
  manager->start([&] {
    ++*runs;
    *where = ::getpid();
  });
  EXPECT_EQ(*runs, 1);
  EXPECT_EQ(*where, *manager->pid());
  EXPECT_NE(*where, ::getpid());
  expect_serves(*manager);
}

TEST_P(ManagerLife, M15_AFailingInitializerFailsTheStart) {
  const auto manager = unstarted();
  try {
    manager->start([] { throw std::runtime_error("not today"); });
    ADD_FAILURE() << "it started";
  } catch (const Broken& error) {
    EXPECT_NE(std::string(error.what()).find("not today"), std::string::npos) << error.what();
  }
  manager->start();
  expect_serves(*manager);
}

TEST_P(ManagerLife, M15_TheScopeEndsTheServer) {
  pid_t server = 0;
  {
    const auto manager = start();
    server = *manager->pid();
    EXPECT_FALSE(is_gone(server));
  }
  EXPECT_TRUE(is_gone(server));
}

TEST_P(ManagerLife, M15_TheServerIgnoresAnInterrupt) {
  const auto manager = start();
  ASSERT_EQ(::kill(*manager->pid(), SIGINT), 0);
  expect_serves(*manager);
}

TEST_P(ManagerLife, M16_EachStepHasItsTime) {
  const auto manager = unstarted();
  EXPECT_THROW((void)manager->dict(), StateError);
  EXPECT_THROW((void)manager->shutdown(), StateError);
  EXPECT_EQ(manager->pid(), std::nullopt);
  manager->start();
  EXPECT_THROW(manager->start(), StateError);
  EXPECT_THROW((void)manager->connect(), StateError);
  EXPECT_THROW(manager->serve_forever(), StateError);
  manager->shutdown();
  manager->shutdown();
  EXPECT_THROW(manager->start(), StateError);
  EXPECT_THROW((void)manager->list(), StateError);
  EXPECT_EQ(manager->pid(), std::nullopt);
}

TEST_P(ManagerLife, M16_AnAddressThatIsNoneIsRefused) {
  EXPECT_THROW(unstarted("no address")->start(), BadArgument);
  EXPECT_THROW((void)unstarted("no address")->connect(), BadArgument);
}

TEST_P(ManagerLife, M16_AServerInThisProcessServesUntilItIsShutDown) {
  Event ended;
  const SharedBox<std::array<char, 256>> address;
  Event serving;
  Peer server([&] {
    const auto manager = unstarted();
    std::thread stopper([&] {
      ended.wait();
      manager->shutdown();
    });
    manager->serve_forever([&](const std::string& at) {
      at.copy(address->data(), address->size() - 1);
      serving.set();
    });
    stopper.join();
    EXPECT_THROW(manager->serve_forever(), StateError);
  });
  serving.wait();
  ManagerOptions options;
  options.door.authkey = current_process().authkey;
  {
    const auto client = open(address->data(), options);
    expect_serves(*client);
    EXPECT_THROW(client->shutdown(), StateError) << "it was not started here";
    ended.set();
    server.join();
    EXPECT_THROW((void)client->list(), Broken);
  }
}

TEST_P(ManagerLife, M20_AfterShutdownEveryUseIsAnErrorAtOnce) {
  const auto manager = start();
  const auto list = manager->list<int>({1});
  const Encoded encoded = encode(list);
  auto waiting = manager->event().call_async<std::vector<int>>("wait", -1);
  manager->shutdown();
  EXPECT_THROW((void)waiting.get(), Broken);
  EXPECT_THROW((void)list.size(), Broken);
  std::thread([&] { EXPECT_THROW(list.append(1), Broken); }).join();
  const auto decoded = decode<managed::List<int>>(encoded.view());
  EXPECT_THROW((void)decoded.size(), Broken);
  EXPECT_THROW((void)encode(list), Broken);
  Peer child([&] { EXPECT_THROW((void)list.size(), Broken); });
}

TEST_P(ManagerLife, M20_ACallThatIsWaitingEndsWithTheServer) {
  const auto manager = start();
  const auto event = manager->event();
  Peer child([&] { EXPECT_THROW((void)event.wait(), Broken); });
  std::thread here([&] { EXPECT_THROW((void)event.wait(), Broken); });
  await_blocked(child.pid());
  manager->shutdown();
  here.join();
}

TEST_P(ManagerLife, M21_AKilledServerIsAnErrorAndShutdownReturns) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto manager = start();
  const auto list = manager->list<int>({1});
  const auto event = manager->event();
  std::thread waiting([&] { EXPECT_THROW((void)event.wait(), Broken); });
  Peer other([&] { EXPECT_THROW((void)event.wait(), Broken); });
  await_blocked(other.pid());
  ASSERT_EQ(::kill(*manager->pid(), SIGKILL), 0);
  waiting.join();
  other.join();
  EXPECT_THROW((void)list.size(), Broken);
  EXPECT_THROW((void)manager->list(), Broken);
  manager->shutdown();
}

TEST_P(ManagerLife, M21_AStoppedServerIsShutDownAllTheSame) {
  const auto manager = start();
  const pid_t server = *manager->pid();
  ASSERT_EQ(::kill(server, SIGSTOP), 0);
  manager->shutdown();
  EXPECT_TRUE(is_gone(server));
}

TEST_P(ManagerLife, M21_ADeadCreatorsServerEndsWithTheLastOfItsFamily) {
  CRUCIBLE_REQUIRE(survives_kill);
  Event made;
  Event is_dead;
  Event over;
  const SharedBox<std::atomic<pid_t>> server{0};
  Peer creator([&] {
    const auto manager = start();
    const auto list = manager->list<int>({1});
    *server = *manager->pid();
    if (::fork() == 0) {
      made.set();
      is_dead.wait();
      list.append(2);
      EXPECT_EQ(list.size(), 2U);
      over.set();
      ::_exit(0);
    }
    for (;;) ::pause();
  });
  made.wait();
  creator.kill();
  creator.join();
  is_dead.set();
  over.wait();
  await_orphans();
  EXPECT_TRUE(is_gone(*server));
}

}  // namespace

CRUCIBLE_INSTANTIATE_MANAGERS(ManagerLife);

}  // namespace crucible::testing
