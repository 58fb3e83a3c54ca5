// Clauses S19 and H43: segments that last as long as a manager.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/status.h"
#include "conformance/shared_support.h"
#include "conformance/support/children.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/shared_memory_manager.h"

namespace crucible::testing {
namespace {

using Manager = crucible::SharedMemoryManager;
using Memory = crucible::SharedMemory;
using List = crucible::ShareableList;

class SharedManager : public CleanFixture {};

std::string make_named(Manager& manager) { return manager.shared_memory(64)->name(); }

TEST_F(SharedManager, S19_UseBeforeStartAndStartingTwiceAreErrors) {
  Manager manager;
  EXPECT_THROW((void)manager.shared_memory(64), StateError);
  EXPECT_THROW((void)manager.shareable_list({1}), StateError);
  EXPECT_THROW(manager.shutdown(), StateError);
  manager.start();
  EXPECT_THROW(manager.start(), StateError);
  manager.shutdown();
  EXPECT_THROW(manager.start(), StateError);
}

TEST_F(SharedManager, S19_WhatItMadeLastsUntilShutdown) {
  Manager manager;
  manager.start();
  const auto held = manager.shared_memory(64);
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) names.push_back(make_named(manager));
  const std::string list = manager.shareable_list({1, "two"})->name();
  for (const std::string& name : names) EXPECT_EQ(Memory::attach(name).size(), 64U);
  EXPECT_EQ(List::attach(list)[1], Object("two"));
  manager.shutdown();
  manager.shutdown();
  names.push_back(held->name());
  for (const std::string& name : names) EXPECT_THROW((void)Memory::attach(name), NotFound);
  EXPECT_THROW((void)List::attach(list), NotFound);
  EXPECT_THROW((void)manager.shared_memory(64), Closed);
  EXPECT_EQ(held->view()[63], std::byte{0}) << "who is attached goes on";
}

TEST_F(SharedManager, S19_TheEndOfItsScopeIsAShutdown) {
  std::string name;
  std::optional<pid_t> server;
  {
    Manager manager;
    manager.start();
    server = manager.pid();
    name = make_named(manager);
    EXPECT_EQ(Memory::attach(name).size(), 64U);
  }
  EXPECT_THROW((void)Memory::attach(name), NotFound);
  EXPECT_TRUE(is_forgotten(*server));
}

TEST_F(SharedManager, S19_AChildCreatesWhatOutlivesIt) {
  Manager manager;
  manager.start();
  const std::string name = fresh_name();
  auto reported = Memory::create(name, 100);
  Peer peer([&] {
    const auto memory = manager.shared_memory(8);
    memory->view()[0] = std::byte{7};
    std::ranges::transform(memory->name(), reported.view().span().begin(), [](char c) { return std::byte(c); });
    EXPECT_THROW(manager.shutdown(), StateError);
  });
  peer.join();
  const std::string made(reinterpret_cast<const char*>(reported.view().span().data()));
  EXPECT_EQ(Memory::attach(made).view()[0], std::byte{7});
}

TEST_F(SharedManager, S19_ItsServerIgnoresSigint) {
  Manager manager;
  manager.start();
  const std::string before = make_named(manager);
  ::kill(*manager.pid(), SIGINT);
  const std::string after = make_named(manager);
  EXPECT_EQ(Memory::attach(before).size(), 64U);
  EXPECT_EQ(Memory::attach(after).size(), 64U);
}

TEST_F(SharedManager, S19_ManyAskAtTheSameTime) {
  Manager manager;
  manager.start();
  const auto create = [&manager] {
    for (int i = 0; i < 25; ++i) EXPECT_EQ(Memory::attach(make_named(manager)).size(), 64U);
  };
  Peer one(create);
  Peer other(create);
  std::thread thread(create);
  thread.join();
  one.join();
  other.join();
}

TEST_F(SharedManager, S19_AServerWithoutDescriptorsSaysSoAndServesOn) {
  Manager manager;
  Peer peer([&] {
    const rlimit few = {.rlim_cur = 24, .rlim_max = 24};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    manager.start();
    std::vector<std::string> made;
    EXPECT_THROW(
        {
          for (int i = 0; i < 50; ++i) made.push_back(make_named(manager));
        },
        std::system_error);
    EXPECT_GT(made.size(), 5U);
    EXPECT_THROW((void)make_named(manager), std::system_error);
    for (const std::string& name : made) EXPECT_EQ(Memory::attach(name).size(), 64U);
    manager.shutdown();
    EXPECT_THROW((void)Memory::attach(made.front()), NotFound);
  });
  peer.join();
}

// A process with a manager that keeps one segment.
class ManagersParent {
 public:
  ManagersParent()
      : peer_([this] {
          Manager manager;
          manager.start();
          const std::string name = make_named(manager);
          std::ranges::transform(name, reported_.view().span().begin(), [](char c) { return std::byte(c); });
          *server_ = *manager.pid();
          made_.set();
          sleep_forever();
        }) {
    made_.wait();
  }
  std::string segment() const { return reinterpret_cast<const char*>(reported_.view().span().data()); }
  pid_t server() const { return *server_; }
  void kill() { peer_.kill(); }
  void join() { peer_.join(); }

 private:
  Memory reported_ = Memory::create(100);
  SharedBox<std::atomic<pid_t>> server_{0};
  Event made_;
  Peer peer_;
};

TEST_F(SharedManager, S19_AKilledParentsServerRemovesWhatItKeeps) {
  ManagersParent parent;
  const std::string name = parent.segment();
  EXPECT_EQ(Memory::attach(name).size(), 64U);
  parent.kill();
  parent.join();
  await_orphans();
  EXPECT_TRUE(is_forgotten(parent.server()));
  EXPECT_EQ(::access(folder_of(name).c_str(), F_OK), -1);
}

TEST_F(SharedManager, H43_AKilledServerIsToldAndLeavesTheUsersTheirSegments) {
  Manager manager;
  manager.start();
  const auto held = manager.shared_memory(64);
  const std::string unused = make_named(manager);
  ::kill(*manager.pid(), SIGKILL);
  await_zombie(*manager.pid());
  EXPECT_THROW((void)manager.shared_memory(64), Broken);
  EXPECT_EQ(Memory::attach(held->name()).size(), 64U);
  EXPECT_THROW((void)Memory::attach(unused), NotFound);
  Peer next([] { (void)Memory::create(1); });
  next.join();
  EXPECT_EQ(::access(folder_of(unused).c_str(), F_OK), -1);
  EXPECT_EQ(::access(folder_of(held->name()).c_str(), F_OK), 0);
}

TEST_F(SharedManager, H43_ServerAndOwnerKilledTogetherLeaveNothingForGood) {
  ManagersParent parent;
  const std::string name = parent.segment();
  ::kill(parent.server(), SIGSTOP);  // so that it cannot tidy up when its parent dies
  parent.kill();
  ::kill(parent.server(), SIGKILL);
  parent.join();
  await_orphans();
  Peer next([] { (void)Memory::create(1); });
  next.join();
  EXPECT_EQ(::access(folder_of(name).c_str(), F_OK), -1);
}

TEST_F(SharedManager, H43_AServerThatDoesNotAnswerIsNotWaitedForForEver) {
  Manager manager;
  manager.start();
  const std::string unused = make_named(manager);
  ::kill(*manager.pid(), SIGSTOP);
  manager.shutdown();
  EXPECT_THROW((void)Memory::attach(unused), NotFound);
}

}  // namespace
}  // namespace crucible::testing
