// Clauses M3, M4, M22, M24, H45, H47, H48: objects in objects, in messages, in forked children, and how long they live.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "conformance/door_support.h"
#include "conformance/manager_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

using List = managed::List<>;
using Dict = managed::Dict<>;

class ManagerProxies : public ManagerTest {};

class ManagerReferences : public ManagerTest {
 protected:
  /// Until the server has heard of everything that other processes let go of.
  static void await_objects(const Manager& manager, std::size_t count) {
    while (manager.object_count() != count) std::this_thread::yield();
  }
};

TEST_P(ManagerProxies, M3_WhatIsChangedThroughTheOuterIsSeenThroughTheInner) {
  const auto manager = start();
  const List inner = manager->list({1, 2});
  const Dict dict = manager->dict();
  const List outer = manager->list();
  outer.append(inner);
  dict.set("list", outer);
  const List through(managed::Proxy(dict.get("list").as_reference()));
  const List innermost(managed::Proxy(through.get(0).as_reference()));
  innermost.append(3);
  EXPECT_EQ(inner.copy(), (std::vector<Object>{1, 2, 3}));
  inner.set(0, "one");
  EXPECT_EQ(innermost.get(0), Object("one"));
  EXPECT_TRUE(innermost == inner);
  EXPECT_FALSE(through == inner);
}

TEST_P(ManagerReferences, M3_TypedContainersOfProxies) {
  const auto manager = start();
  const auto queues = manager->dict<std::string, managed::Queue<int>>();
  queues.set("work", manager->queue<int>());
  queues.get("work").put(7);
  EXPECT_EQ(queues.get("work").get(), 7);
  const auto lists = manager->list<managed::List<int>>();
  lists.append(manager->list<int>({1}));
  for (const managed::List<int>& list : lists) list.append(2);
  EXPECT_EQ(lists.get(0).copy(), (std::vector<int>{1, 2}));
}

TEST_P(ManagerReferences, M3_AProxyDeepInAnObjectIsFoundThere) {
  const auto manager = start();
  const List inner = manager->list({1});
  const auto value = manager->value<Object>(Object::list("a", Object::dict({{"proxy", inner}})));
  const Object fetched = value.get();
  const List again(managed::Proxy(fetched.at(1).at(Object("proxy")).as_reference()));
  again.append(2);
  EXPECT_EQ(inner.size(), 2U);
  EXPECT_EQ(value.text(), "[\"a\", {\"proxy\": <list " + std::to_string(inner.reference().name().number) + ">}]");
}

TEST_P(ManagerReferences, M4_AnObjectLivesAsLongAsAnythingRefersToIt) {
  const auto manager = start();
  const List outer = manager->list();
  outer.append(manager->list({"kept"}));
  EXPECT_EQ(manager->object_count(), 2U);
  {
    const List inner(managed::Proxy(outer.get(0).as_reference()));
    outer.clear();
    EXPECT_EQ(inner.get(0), Object("kept")) << "its container was cleared, a proxy is left";
  }
  EXPECT_EQ(manager->object_count(), 1U);
}

TEST_P(ManagerReferences, M4_AListThatContainsItselfIsNoProblem) {
  const auto manager = start();
  const List list = manager->list({1});
  list.append(list);
  const List same(managed::Proxy(list.get(1).as_reference()));
  EXPECT_EQ(same.get(0), Object(1));
  EXPECT_TRUE(same == list);
  EXPECT_NE(list.text().find("<list "), std::string::npos);
  expect_serves(*manager);
}

TEST_P(ManagerReferences, M4_AChainOfAnyLengthIsDestroyed) {
  const auto manager = start();
  List chain = manager->list();
  for (int i = 0; i < 5'000; ++i) chain = manager->list({chain});
  EXPECT_EQ(manager->object_count(), 5'001U);
  chain = List();
  await_objects(*manager, 0);
  expect_serves(*manager);
}

TEST_P(ManagerReferences, M22_DroppedProxiesLeaveNoObject) {
  const auto manager = start();
  const std::size_t before = manager->object_count();
  for (int i = 0; i < 20; ++i) {
    const List list = manager->list({i});
    const List copy = list;
    const auto queue = manager->queue<managed::List<>>();
    queue.put(copy);
    EXPECT_TRUE(queue.get() == list);
    (void)manager->lock().acquire();
  }
  EXPECT_EQ(manager->object_count(), before);
}

TEST_P(ManagerReferences, M22_ADeadClientsProxiesLeaveNoObject) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto manager = start();
  Event made;
  Peer client([&] {
    const List own = manager->list({1});
    const List other = manager->list({own});
    made.set();
    for (;;) ::pause();
  });
  made.wait();
  EXPECT_EQ(manager->object_count(), 2U);
  client.kill();
  client.join();
  await_objects(*manager, 0);
}

TEST_P(ManagerProxies, M24_AChildUsesWhatItInheritedBesideItsParent) {
  const auto manager = start();
  const auto list = manager->list<int>();
  Peer child([&] {
    for (int i = 0; i < 50; ++i) list.append(1);
    expect_serves(*manager);
  });
  for (int i = 0; i < 50; ++i) list.append(2);
  child.join();
  EXPECT_EQ(list.count(1), 50U);
  EXPECT_EQ(list.count(2), 50U);
}

TEST_P(ManagerReferences, M24_AChildForkedAmidCallsOfOtherThreadsIsAClientOfItsOwn) {
  const auto manager = start();
  const auto list = manager->list<int>();
  const auto event = manager->event();
  std::atomic<bool> stop = false;
  std::thread waiting([&] { EXPECT_TRUE(event.wait()); });
  std::thread busy([&] {
    while (!stop) list.append(0);
  });
  for (int round = 0; round < 5; ++round) {
    Peer child([&] {
      for (int i = 0; i < 10; ++i) list.append(1);
    });
    child.join();
  }
  stop = true;
  event.set();
  waiting.join();
  busy.join();
  EXPECT_EQ(list.count(1), 50U);
}

TEST_P(ManagerReferences, H45_AProxyThatWasSentLivesOnTheWay) {
  const auto manager = start();
  auto [here, there] = mechanism().make_pipe({});
  const auto carrier = context(mechanism().name).queue();
  here->send(manager->list({"by pipe"}));
  carrier->put(Object::list("in an object", manager->list({"by queue"})));
  EXPECT_EQ(manager->object_count(), 2U) << "nobody but the messages refers to them";
  Peer receiver([&] {
    const auto list = there->recv<List>();
    EXPECT_EQ(list.get(0), Object("by pipe"));
    const Object message = carrier->get<Object>();
    const List other(managed::Proxy(message.at(1).as_reference()));
    EXPECT_EQ(other.get(0), Object("by queue"));
  });
  receiver.join();
  await_objects(*manager, 0);
}

TEST_P(ManagerReferences, H45_TheSendersDeathIsNothingToTheMessage) {
  CRUCIBLE_REQUIRE(survives_kill);
  const auto manager = start();
  const auto carrier = context("unix_socket").queue();
  Event is_sent;
  Peer sender([&] {
    const List list = manager->list({"still there"});
    carrier->put(list);
    is_sent.set();
    for (;;) ::pause();
  });
  is_sent.wait();
  sender.kill();
  sender.join();
  const auto list = carrier->get<List>();
  EXPECT_EQ(list.get(0), Object("still there"));
}

TEST_P(ManagerProxies, H45_AProxyIsAnArgumentOfAProcess) {
  const auto manager = start();
  const auto list = manager->list<int>();
  Process child([](const managed::List<int>& to) { to.append(1); }, list);
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
  EXPECT_EQ(list.copy(), std::vector<int>{1});
}

// The parent lets go before the child has used its copy for the first time.
TEST_P(ManagerReferences, H47_WhatAForkCopiedItHolds) {
  const auto manager = start();
  auto list = std::make_unique<List>(manager->list({"inherited"}));
  Event may_use;
  Peer child([&] {
    may_use.wait();
    EXPECT_EQ(list->get(0), Object("inherited"));
    list.reset();
  });
  list.reset();
  EXPECT_EQ(manager->object_count(), 1U) << "the child's";
  may_use.set();
  child.join();
  await_objects(*manager, 0);
}

TEST_P(ManagerReferences, H47_AForkThatNeverUsesItsCopiesLeavesNoObject) {
  const auto manager = start();
  {
    const List list = manager->list({1});
    Event may_end;
    Peer child([&] { may_end.wait(); });
    may_end.set();
  }
  await_objects(*manager, 0);
}

TEST_P(ManagerReferences, H47_ForksOfForksHoldWhatTheyCopied) {
  const auto manager = start();
  auto list = std::make_unique<List>(manager->list({"old"}));
  Event may_use;
  Peer child([&] {
    Peer grandchild([&] {
      may_use.wait();
      EXPECT_EQ(list->get(0), Object("old"));
    });
    list.reset();
    (void)manager->object_count();
    may_use.set();
    grandchild.join();
  });
  list.reset();
  child.join();
  await_objects(*manager, 0);
}

TEST_P(ManagerReferences, H48_AProxyOfAServerWithAKeyOfItsOwnGoesWhereTheKeyIsKnown) {
  ManagerOptions options;
  options.door = keyed("a key of its own");
  Event go;
  const auto carrier = context("unix_socket").queue();
  const SharedBox<std::array<char, 256>> address;
  Peer before([&] {  // forked before there was a server
    go.wait();
    const auto list = carrier->get<List>();
    EXPECT_THROW((void)list.size(), Auth);
    const auto manager = open(address->data(), options);
    const auto again = carrier->get<List>();
    EXPECT_EQ(again.get(0), Object("keyed"));
  });
  const auto manager = start(options, anywhere());
  manager->address().copy(address->data(), address->size() - 1);
  const List list = manager->list({"keyed"});
  carrier->put(list);
  carrier->put(list);
  go.set();
  before.join();
}

}  // namespace

CRUCIBLE_INSTANTIATE_MANAGERS_AND_STORES(ManagerProxies);
CRUCIBLE_INSTANTIATE_MANAGERS(ManagerReferences);

}  // namespace crucible::testing
