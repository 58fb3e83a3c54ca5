// Clauses M17, M18, M19, H46: managers that programs which are no forks of each other meet at.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "conformance/door_support.h"
#include "conformance/exec_peer.h"
#include "conformance/manager_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class NamedManager : public ManagerTest {
 protected:
  using Dict = managed::Dict<std::string, Object>;

  static ManagerOptions with_key(std::string_view key) {
    ManagerOptions options;
    options.door = keyed(key);
    return options;
  }
  static std::unique_ptr<ExecPeer> program(const std::string& address) {
    return std::make_unique<ExecPeer>(mechanism().name, address);
  }
  static std::string hex(ByteView bytes) {
    std::string digits;
    for (const std::byte byte : bytes) {
      char two[3];
      std::snprintf(two, sizeof two, "%02x", static_cast<unsigned>(byte));
      digits += two;
    }
    return digits;
  }
  /// Gives the program a proxy, as any message would.
  static void give(ExecPeer& peer, const managed::Proxy& proxy) {
    EXPECT_EQ(peer.ask("dict " + hex(encode(proxy).view())), "Ok");
  }
};

TEST_P(NamedManager, M17_AnotherProgramUsesWhatItIsGivenAndGivesItsOwn) {
  const auto manager = start(with_key("a-key"), anywhere());
  const Dict dict = manager->dict<std::string, Object>();
  const auto peer = program(manager->address());
  EXPECT_EQ(peer->ask("open a-key"), "Ok");
  give(*peer, dict);
  EXPECT_EQ(peer->ask("set name Ada"), "Ok");
  EXPECT_EQ(dict.get("name"), Object("Ada"));
  dict.set("answer", 42);
  EXPECT_EQ(peer->ask("get answer"), "42");
  EXPECT_EQ(peer->ask("make 3"), "Ok");
  EXPECT_EQ(peer->ask("share"), "Ok");
  const managed::List<int> list(managed::Proxy(dict.get("list").as_reference()));
  EXPECT_EQ(list.copy(), (std::vector<int>{7, 7, 7}));
}

TEST_P(NamedManager, M17_WhereThereIsNoKeyTheKernelsWordDecides) {
  const auto manager = start({}, anywhere());
  const Dict dict = manager->dict<std::string, Object>();
  const auto peer = program(manager->address());
  EXPECT_EQ(peer->ask("open"), "Ok");
  give(*peer, dict);
  EXPECT_EQ(peer->ask("set a 1"), "Ok");
  EXPECT_EQ(dict.size(), 1U);
}

TEST_P(NamedManager, M17_WhatAProgramHeldGoesWithIt) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto manager = start({}, anywhere());
  const auto peer = program(manager->address());
  EXPECT_EQ(peer->ask("open"), "Ok");
  EXPECT_EQ(peer->ask("make 10"), "Ok");
  EXPECT_EQ(manager->object_count(), 1U);
  peer->kill(SIGKILL);
  (void)peer->wait_status();
  while (manager->object_count() > 0) std::this_thread::yield();
}

TEST_P(NamedManager, M18_AWrongKeyIsAuth) {
  const auto manager = start(with_key("right"), anywhere());
  EXPECT_THROW((void)open(manager->address(), with_key("wrong")), Auth);
  EXPECT_THROW((void)open(manager->address()), Auth);
  expect_serves(*open(manager->address(), with_key("right")));
}

TEST_P(NamedManager, M18_WhereNobodyIsNothingIsOpened) {
  std::string address;
  {
    address = start({}, anywhere())->address();
  }
  try {
    (void)open(address);
    ADD_FAILURE() << "opened what is not there any more";
  } catch (const NotFound&) {
  } catch (const Refused&) {
  }
}

TEST_P(NamedManager, M18_WhoOnlyConnectedCannotShutTheServerDown) {
  const auto manager = start({}, anywhere());
  {
    const auto client = open(manager->address());
    EXPECT_THROW(client->shutdown(), StateError);
    EXPECT_EQ(client->pid(), std::nullopt);
    EXPECT_THROW(client->start(), StateError);
  }
  expect_serves(*manager);
}

TEST_P(NamedManager, M18_AnAddressIsTakenWhileItsServerLives) {
  const auto manager = start({}, anywhere());
  EXPECT_THROW((void)start({}, manager->address()), Exists);
  expect_serves(*manager);
}

TEST_P(NamedManager, M18_APipesDoorIsNoManagersAndAManagersNoPipes) {
  const auto manager = start({}, anywhere());
  EXPECT_THROW((void)mechanism().connect(manager->address(), {}, Deadline::after(1h)), Error);
  const std::unique_ptr<Listener> pipes = mechanism().listen(anywhere(), {});
  Peer accepting([&] {
    std::unique_ptr<Connection> end;
    for (Status status = Status::kAuth; status == Status::kAuth;) status = pipes->accept(end, Deadline::after(1s));
  });
  EXPECT_THROW((void)open(pipes->address()), Error);
  accepting.kill();
  accepting.join();
}

TEST_P(NamedManager, M19_ARestartAtTheSameAddressBindsAtOnce) {
  std::string address = anywhere();
  for (int round = 0; round < 3; ++round) {
    const auto manager = start({}, address);
    address = manager->address();
    expect_serves(*manager);
    expect_serves(*open(address));
  }
}

TEST_P(NamedManager, H46_AfterARestartNewProxiesWorkAndOldOnesAreStale) {
  CRUCIBLE_REQUIRE(survives_kill);
  auto first = start({}, anywhere());
  const std::string address = first->address();
  const auto old = first->list<int>({1});
  const auto client = open(address);
  const auto clients = client->list<int>({2});
  const Encoded message = encode(old);
  ASSERT_EQ(::kill(*first->pid(), SIGKILL), 0);
  EXPECT_THROW((void)old.size(), Broken);
  first.reset();
  const auto second = start({}, address);
  const auto again = second->list<int>({3});
  EXPECT_THROW((void)old.size(), Stale);
  EXPECT_THROW((void)clients.size(), Stale);
  EXPECT_THROW((void)client->list(), Stale);
  EXPECT_THROW((void)decode<managed::List<int>>(message.view()).size(), Stale);
  EXPECT_EQ(again.copy(), std::vector<int>{3});
  expect_serves(*open(address));
}

TEST_P(NamedManager, H46_AProgramsServerIsServedByAProgram) {
  CRUCIBLE_REQUIRE(survives_kill);
  auto server = program(anywhere());
  server->tell("serve a-key");
  const std::string address = server->hear();
  ASSERT_TRUE(address.starts_with(anywhere())) << address;
  const auto client = open(address, with_key("a-key"));
  const auto list = client->list<int>({1});
  server->kill(SIGKILL);
  (void)server->wait_status();
  EXPECT_THROW((void)list.size(), Broken);
  server = program(address);
  server->tell("serve a-key");
  EXPECT_EQ(server->hear(), address);
  EXPECT_THROW((void)list.size(), Stale);
  expect_serves(*open(address, with_key("a-key")));
}

}  // namespace

CRUCIBLE_INSTANTIATE_MANAGERS(NamedManager);

}  // namespace crucible::testing
