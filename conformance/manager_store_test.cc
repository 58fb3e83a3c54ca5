// Clauses M34 to M36, M38: dicts and lists that need no server.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "conformance/door_support.h"
#include "conformance/exec_peer.h"
#include "conformance/manager_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"

namespace crucible::testing {
namespace {

class Store : public ManagerTest {
 protected:
  static std::unique_ptr<Manager> of(std::size_t bytes) {
    ManagerOptions options;
    options.memory_bytes = bytes;
    return start(options);
  }
};

TEST_P(Store, M34_WhatNeedsAServerIsRefused) {
  ManagerOptions options;
  options.door = keyed("a-key");
  EXPECT_THROW((void)unstarted({}, options), Unsupported);
  EXPECT_THROW(unstarted()->start([] {}), Unsupported);
  EXPECT_THROW(unstarted()->serve_forever(), Unsupported);
  EXPECT_THROW((void)form().reach("boost:@nobody", {}, Deadline::never()), Unsupported);
  const auto manager = start();
  EXPECT_THROW((void)manager->lock(), Unsupported);
  EXPECT_THROW((void)manager->queue<int>(), Unsupported);
  EXPECT_THROW((void)manager->value<int>(), Unsupported);
  EXPECT_THROW((void)manager->create("Own"), Unsupported);
  EXPECT_THROW(manager->dict().call<void>("no such method"), NotFound);
  EXPECT_EQ(manager->pid(), std::nullopt);
  expect_serves(*manager);
}

TEST_P(Store, M34_EachStepHasItsTime) {
  const auto manager = unstarted();
  EXPECT_THROW((void)manager->dict(), StateError);
  EXPECT_THROW(manager->shutdown(), StateError);
  manager->start();
  EXPECT_THROW(manager->start(), StateError);
  EXPECT_THROW((void)manager->connect(), StateError);
  EXPECT_THROW(manager->serve_forever(), StateError);
  manager->shutdown();
  manager->shutdown();
  EXPECT_THROW((void)manager->list(), StateError);
  EXPECT_THROW(unstarted("no address")->start(), BadArgument);
  EXPECT_THROW(unstarted("boost:/a/path")->start(), BadArgument);
  EXPECT_THROW((void)of(1), BadArgument);
}

TEST_P(Store, M34_ProxiesOfAnotherStoreAreRefused) {
  const auto manager = start();
  const auto other = start();
  EXPECT_THROW(manager->list().append(Object(other->list())), BadArgument);
}

TEST_P(Store, M34_AContextMakesAndOpensThem) {
  const auto made = context(mechanism().name).store();
  made->list<int>({1});
  EXPECT_EQ(context(mechanism().name).open_store(made->address())->object_count(), 1U);
  for (const Mechanism& other : mechanisms()) {
    if (!other.stores.empty()) continue;
    EXPECT_THROW((void)context(other.name).store(), Unsupported) << other.name;
  }
}

TEST_P(Store, M35_WhoKnowsTheAddressUsesIt) {
  const auto manager = start({}, anywhere());
  const auto list = manager->list<int>({1});
  {
    const auto client = open(manager->address());
    EXPECT_THROW(client->shutdown(), StateError);
    const auto own = client->list<managed::List<int>>();
    EXPECT_THROW(own.append(managed::List<int>()), EncodingError) << "a proxy of nothing";
    EXPECT_EQ(client->object_count(), 2U);
  }
  EXPECT_THROW((void)start({}, manager->address()), Exists);
  const std::string address = manager->address();
  manager->shutdown();
  EXPECT_THROW((void)open(address), NotFound);
  expect_serves(*start({}, address));
}

TEST_P(Store, M35_AnotherProgramUsesWhatItIsSent) {
  const auto manager = start();
  const auto dict = manager->dict<std::string, Object>({{"here", 1}});
  std::string hex;
  const Encoded message = encode(dict);
  for (const std::byte byte : message.view()) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", static_cast<unsigned>(byte));
    hex += two;
  }
  ExecPeer peer(mechanism().name, manager->address());
  EXPECT_EQ(peer.ask("dict " + hex), "Ok");
  EXPECT_EQ(peer.ask("get here"), "1");
  EXPECT_EQ(peer.ask("set there 2"), "Ok");
  EXPECT_EQ(dict.get("there"), Object("2"));
}

TEST_P(Store, M35_AfterShutdownEveryUseIsBroken) {
  const auto manager = start({}, anywhere());
  const auto list = manager->list<int>({1});
  const auto client = open(manager->address());
  const auto clients = client->list<int>({2});
  const Encoded message = encode(list);
  const std::string address = manager->address();
  manager->shutdown();
  EXPECT_THROW((void)list.size(), Broken);
  EXPECT_THROW((void)clients.size(), Broken);
  EXPECT_THROW((void)client->dict(), Broken);
  EXPECT_THROW((void)encode(list), Broken);
  EXPECT_THROW((void)clients.call_async<std::size_t>("size"), Broken);
  EXPECT_THROW((void)decode<managed::List<int>>(message.view()).size(), Broken);
  Peer child([&] { EXPECT_THROW((void)list.size(), Broken); });
}

TEST_P(Store, M35_AProxyOfAStoreThatIsGoneSaysSo) {
  auto first = start({}, anywhere());
  const std::string address = first->address();
  const Encoded message = encode(first->list<int>({1}));
  first.reset();
  EXPECT_THROW((void)decode<managed::List<int>>(message.view()).size(), Broken);
  const auto second = start({}, address);
  EXPECT_THROW((void)decode<managed::List<int>>(message.view()).size(), Stale);
  EXPECT_THROW((void)encode(decode<managed::List<int>>(message.view())), Stale);
}

TEST_P(Store, M35_AKilledMakersStoreLastsAsLongAsItsUsers) {
  Event made;
  const SharedBox<std::array<char, 256>> address;
  Peer maker([&] {
    const auto manager = start();
    manager->address().copy(address->data(), address->size() - 1);
    made.set();
    for (;;) ::pause();
  });
  made.wait();
  {
    const auto client = open(address->data());
    const auto list = client->list<int>({1});
    maker.kill();
    maker.join();
    list.append(2);
    EXPECT_EQ(list.size(), 2U);
    expect_serves(*open(address->data()));
  }
  EXPECT_THROW((void)open(address->data()), NotFound);
}

TEST_P(Store, M36_WhatDoesNotFitChangesNothing) {
  const auto manager = of(256U << 10U);
  const auto dict = manager->dict<int, Bytes>({{0, Bytes(100)}});
  const auto list = manager->list<Bytes>({Bytes(100)});
  const Bytes much(1U << 20U);
  EXPECT_THROW(dict.set(0, much), std::bad_alloc);
  EXPECT_THROW(dict.set(1, much), std::bad_alloc);
  EXPECT_THROW(dict.update({{0, Bytes(7)}, {1, Bytes(50'000)}, {2, Bytes(50'000)}, {3, much}}), std::bad_alloc);
  EXPECT_THROW(list.append(much), std::bad_alloc);
  EXPECT_THROW(list.extend({Bytes(50'000), much}), std::bad_alloc);
  EXPECT_THROW(list.repeat(100'000), std::bad_alloc);
  EXPECT_THROW((void)manager->list<Bytes>({Bytes(50'000), much}), std::bad_alloc);
  EXPECT_EQ(dict.copy(), (std::map<int, Bytes>{{0, Bytes(100)}}));
  EXPECT_EQ(list.copy(), std::vector<Bytes>{Bytes(100)});
  auto step = dict.begin();
  EXPECT_NO_THROW(++step) << "no key came or went";
  for (int round = 0; round < 50; ++round) {
    dict.set(1, Bytes(60'000));
    EXPECT_TRUE(dict.erase(1));
    list.append(Bytes(60'000));
    (void)list.pop();
  }
  EXPECT_EQ(manager->object_count(), 2U);
}

TEST_P(Store, M38_AStoppedClientHoldsUpTheOthersUntilItGoesOn) {
  const auto manager = start();
  std::vector<int> many(100'000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<int>((i * 7'919) % many.size());
  const auto list = manager->list<int>(many);
  Event begun;
  Peer sorter([&] {
    begun.set();
    for (int round = 0; round < 1'000'000; ++round) list.sort();
  });
  begun.wait();
  const auto times_out = [&] {
    try {
      within(30ms, list).append(-1);
      return false;
    } catch (const Timeout&) {
      return true;
    }
  };
  for (;;) {
    ::kill(sorter.pid(), SIGSTOP);
    while (proc::thread(sorter.pid(), sorter.pid()).state != 'T') std::this_thread::yield();
    if (times_out()) break;
    list.remove(-1);  // it was stopped between two calls
    ::kill(sorter.pid(), SIGCONT);
  }
  EXPECT_EQ(list.call_for<std::size_t>(30ms, "size"), std::nullopt);
  ::kill(sorter.pid(), SIGCONT);
  EXPECT_EQ(list.size(), many.size()) << "a call that timed out was done";
  sorter.kill();
  sorter.join();
}

}  // namespace

CRUCIBLE_INSTANTIATE_MANAGERS_OVER(Store, all_stores());
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Store);

}  // namespace crucible::testing
