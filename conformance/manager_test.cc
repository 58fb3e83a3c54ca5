// Clauses M1, M2, M5, M6, M22, M23, M26, H44: containers that a manager holds.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "conformance/manager_support.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class ManagerContainers : public ManagerTest {};

class ManagerBoxes : public ManagerTest {};

TEST_P(ManagerContainers, M1_AListDoesWhatAListDoes) {
  const auto manager = start();
  const auto list = manager->list<int>({5, 3, 9});
  list.append(7);
  list.extend({1, 3});
  EXPECT_EQ(list.copy(), (std::vector<int>{5, 3, 9, 7, 1, 3}));
  EXPECT_EQ(list.get(0), 5);
  EXPECT_EQ(list.get(-1), 3);
  list.insert(1, 8);
  list.set(-2, 2);
  EXPECT_EQ(list.copy(), (std::vector<int>{5, 8, 3, 9, 7, 2, 3}));
  EXPECT_EQ(list.pop(), 3);
  EXPECT_EQ(list.pop(0), 5);
  list.remove(9);
  EXPECT_EQ(list.index(7), 2U);
  EXPECT_EQ(list.count(8), 1U);
  EXPECT_TRUE(list.contains(2));
  list.sort();
  EXPECT_EQ(list.copy(), (std::vector<int>{2, 3, 7, 8}));
  list.reverse();
  list.erase(0);
  EXPECT_EQ(list.copy(), (std::vector<int>{7, 3, 2}));
  list.clear();
  EXPECT_TRUE(list.empty());
}

TEST_P(ManagerContainers, M1_SlicesFollowPython) {
  const auto manager = start();
  const auto list = manager->list<int>({0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  EXPECT_EQ(list.slice(2, 5), (std::vector<int>{2, 3, 4}));
  EXPECT_EQ(list.slice(-3, 100), (std::vector<int>{7, 8, 9}));
  EXPECT_EQ(list.slice(-100, 2), (std::vector<int>{0, 1}));
  EXPECT_EQ(list.slice(1, 9, 3), (std::vector<int>{1, 4, 7}));
  EXPECT_EQ(list.slice(8, 2, -2), (std::vector<int>{8, 6, 4}));
  EXPECT_EQ(list.slice(2, -100, -1), (std::vector<int>{2, 1, 0}));
  EXPECT_EQ(list.slice(5, 5), std::vector<int>());
  EXPECT_EQ(list.slice(0, 10, 9'223'372'036'854'775'807), (std::vector<int>{0}));
  EXPECT_THROW((void)list.slice(0, 10, 0), std::invalid_argument);
  list.set_slice(1, 9, {77});
  EXPECT_EQ(list.copy(), (std::vector<int>{0, 77, 9}));
}

TEST_P(ManagerContainers, M1_RepeatIsInPlaceAndASumIsACopy) {
  const auto manager = start();
  const auto list = manager->list<std::string>({"a", "b"});
  list.repeat(2);
  EXPECT_EQ(list.copy(), (std::vector<std::string>{"a", "b", "a", "b"}));
  const std::vector<std::string> sum = list + std::vector<std::string>{"c"};
  EXPECT_EQ(sum.size(), 5U);
  EXPECT_EQ(list.size(), 4U);
  EXPECT_THROW(list.repeat(1'000'000'000), std::length_error);
  EXPECT_EQ(list.size(), 4U);
}

TEST_P(ManagerContainers, M1_ListsAreIndependentAndIterationSeesChangesAhead) {
  const auto manager = start();
  const auto list = manager->list<int>({1, 2, 3});
  const auto other = manager->list<int>({1, 2, 3});
  std::vector<int> seen;
  for (const int item : list) {
    seen.push_back(item);
    if (item == 1) list.set(2, 30);
    if (item == 2) list.append(4);
  }
  EXPECT_EQ(seen, (std::vector<int>{1, 2, 30, 4}));
  EXPECT_EQ(other.copy(), (std::vector<int>{1, 2, 3}));
}

TEST_P(ManagerContainers, M2_ADictDoesWhatADictDoes) {
  const auto manager = start();
  const auto dict = manager->dict<std::string, int>({{"b", 2}, {"a", 1}});
  dict.set("c", 3);
  EXPECT_EQ(dict.get("c"), 3);
  EXPECT_EQ(dict.find("d"), std::nullopt);
  EXPECT_EQ(dict.get_or("d", 44), 44);
  EXPECT_EQ(dict.set_default("d", 4), 4);
  EXPECT_EQ(dict.set_default("d", 5), 4);
  EXPECT_EQ(dict.keys(), (std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_EQ(dict.values(), (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(dict.items().at(1), (std::pair<std::string, int>{"b", 2}));
  EXPECT_EQ(dict.pop("a"), 1);
  EXPECT_TRUE(dict.erase("b"));
  EXPECT_FALSE(dict.erase("b"));
  EXPECT_FALSE(dict.contains("b"));
  dict.update({{"c", 33}, {"x", 9}});
  EXPECT_EQ(dict.copy(), (std::map<std::string, int>{{"c", 33}, {"d", 4}, {"x", 9}}));
  EXPECT_EQ(dict.pop_item(), (std::pair<std::string, int>{"c", 33}));
  EXPECT_EQ(dict.size(), 2U);
  dict.clear();
  EXPECT_TRUE(dict.empty());
}

TEST_P(ManagerContainers, M2_KeysAndValuesOfAnyType) {
  const auto manager = start();
  const auto dict = manager->dict();
  dict.set(nullptr, Object::list(1, 2.0, "three"));
  dict.set(-7, Bytes(100'000, std::byte{9}));
  dict.set(Object::list(1, 2), true);
  EXPECT_EQ(dict.get(nullptr), Object::list(1, 2.0, "three"));
  EXPECT_EQ(dict.get(-7).as_bytes().size(), 100'000U);
  EXPECT_EQ(dict.get(Object::list(1, 2)), Object(true));
  EXPECT_FALSE(dict.contains(-7.0)) << "an integer is no double";
}

TEST_P(ManagerContainers, M2_AKeyIsItsValueHoweverItWasEncoded) {
  const auto manager = start();
  const auto floats = manager->dict<float, int>({{0.5F, 1}});
  const managed::Dict<std::vector<float>, int> lists(static_cast<const managed::Proxy&>(floats));
  lists.set({0.25F}, 2);
  const managed::Dict<> any(static_cast<const managed::Proxy&>(floats));
  EXPECT_EQ(any.get(0.5), Object(1));
  EXPECT_EQ(any.get(Object::list(0.25)), Object(2));
  any.set(0.5, 3);
  EXPECT_EQ(any.size(), 2U);
  EXPECT_EQ(floats.get(0.5F), 3);
}

TEST_P(ManagerContainers, M2_KeysAreListedInTheirOrder) {
  const auto manager = start();
  const auto dict = manager->dict<int, int>();
  for (const int key : {7, 3, 300, -1, 9}) dict.set(key, -key);
  EXPECT_EQ(dict.keys(), (std::vector<int>{-1, 3, 7, 9, 300}));
  EXPECT_EQ(dict.values(), (std::vector<int>{1, -3, -7, -9, -300}));
  EXPECT_EQ(dict.pop_item(), (std::pair<int, int>{-1, 1}));
}

TEST_P(ManagerContainers, M2_IterationEndsAndTellsOfKeysThatCameOrWent) {
  const auto manager = start();
  const auto dict = manager->dict<int, int>({{1, 10}, {2, 20}, {3, 30}});
  int sum = 0;
  for (const auto& [key, value] : dict) {
    dict.set(3, 31);  // no key comes or goes
    sum += key * value;
  }
  EXPECT_EQ(sum, 10 + 40 + 93);
  auto step = dict.begin();
  dict.clear();
  EXPECT_THROW(++step, StateError);
}

TEST_P(ManagerContainers, M5_WhatIsFetchedIsACopy) {
  const auto manager = start();
  const auto list = manager->list();
  list.append(Object::dict());
  Object inner = list.get(0);
  inner.as_dict()["x"] = 1;
  EXPECT_EQ(list.get(0), Object::dict());
  list.set(0, inner);
  EXPECT_EQ(list.get(0), Object::dict({{"x", 1}}));
}

TEST_P(ManagerBoxes, M6_ANamespaceHasAttributes) {
  const auto manager = start();
  const managed::Namespace space = manager->attributes();
  space.set("x", 10);
  space.set("name", "Ada");
  EXPECT_EQ(space.get<int>("x"), 10);
  EXPECT_EQ(space.get<std::string>("name"), "Ada");
  EXPECT_THROW((void)space.get("y"), std::out_of_range);
  EXPECT_TRUE(space.contains("x"));
  space.erase("x");
  EXPECT_FALSE(space.contains("x"));
  EXPECT_THROW(space.erase("x"), std::out_of_range);
}

TEST_P(ManagerBoxes, M6_PrivateNamesStayInThisProcess) {
  const auto manager = start();
  const managed::Namespace space = manager->attributes();
  const managed::Namespace same_object(static_cast<const managed::Proxy&>(space));
  space.set("_mine", 1);
  space.set("ours", 2);
  EXPECT_EQ(space.get<int>("_mine"), 1);
  EXPECT_THROW((void)same_object.get("_mine"), std::out_of_range);
  EXPECT_EQ(space.text(), "{\"ours\": 2}");
}

TEST_P(ManagerContainers, M23_AppendsOfThreeProcessesAreAllThere) {
  const auto manager = start();
  const auto list = manager->list<int>();
  {
    std::vector<std::unique_ptr<Peer>> peers;
    for (int peer = 0; peer < 3; ++peer) {
      peers.push_back(std::make_unique<Peer>([&list, peer] {
        for (int i = 0; i < 100; ++i) list.append(peer * 100 + i);
      }));
    }
  }
  std::vector<int> items = list.copy();
  std::ranges::sort(items);
  ASSERT_EQ(items.size(), 300U);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(items[static_cast<std::size_t>(i)], i);
}

TEST_P(ManagerBoxes, M26_AValueTakesAnythingAnArrayItsOwnType) {
  const auto manager = start();
  const auto value = manager->value<Object>(1);
  value.set("text");
  EXPECT_EQ(value.get(), Object("text"));
  value.set(Object::list(1));
  EXPECT_EQ(value.text(), "[1]");
  const auto numbers = manager->array<int>({1, 2, 3});
  numbers.set(1, 20);
  EXPECT_EQ(numbers.copy(), (std::vector<int>{1, 20, 3}));
  EXPECT_EQ(numbers.size(), 3U);
  EXPECT_THROW((void)numbers.get(3), std::out_of_range);
  EXPECT_THROW(numbers.call<void>("set", 0, "no number"), std::invalid_argument);
  EXPECT_THROW(numbers.call<void>("set", 0, 1.5), std::invalid_argument);
  EXPECT_EQ(manager->array<double>(2).copy(), (std::vector<double>{0, 0}));
}

TEST_P(ManagerContainers, M26_ProxiesAreEqualIfTheObjectIsTheSame) {
  const auto manager = start();
  const auto one = manager->list<int>({1});
  const auto other = manager->list<int>({1});
  const managed::List<int> copy = one;
  EXPECT_TRUE(copy == one);
  EXPECT_FALSE(one == other);
  EXPECT_EQ(one.text(), other.text());
  EXPECT_EQ(one.text(), "[1]");
}

TEST_P(ManagerContainers, H44_UpdatesAreAtomic) {
  const auto manager = start();
  const auto dict = manager->dict<std::string, int>();
  {
    std::vector<std::unique_ptr<Peer>> peers;
    for (int peer = 0; peer < 3; ++peer) {
      peers.push_back(std::make_unique<Peer>([&] {
        for (int i = 0; i < 50; ++i) {
          dict.update("count", [](const std::optional<int>& old) { return old.value_or(0) + 1; });
        }
      }));
    }
  }
  EXPECT_EQ(dict.get("count"), 150);
}

TEST_P(ManagerBoxes, H44_UpdatesOfAValueAreAtomic) {
  const auto manager = start();
  const auto value = manager->value<int>(0);
  {
    std::vector<std::unique_ptr<Peer>> peers;
    for (int peer = 0; peer < 3; ++peer) {
      peers.push_back(std::make_unique<Peer>([&] {
        for (int i = 0; i < 50; ++i) value.update([](int old) { return old + 1; });
      }));
    }
  }
  EXPECT_EQ(value.get(), 150);
}

TEST_P(ManagerContainers, H44_CompareAndSetSetsMakesAndRemoves) {
  const auto manager = start();
  const auto dict = manager->dict<std::string, int>({{"a", 1}});
  EXPECT_FALSE(dict.compare_and_set("a", 2, 3));
  EXPECT_TRUE(dict.compare_and_set("a", 1, 3));
  EXPECT_FALSE(dict.compare_and_set("a", std::nullopt, 4));
  EXPECT_TRUE(dict.compare_and_set("b", std::nullopt, 4));
  EXPECT_TRUE(dict.compare_and_set("a", 3, std::nullopt));
  EXPECT_EQ(dict.copy(), (std::map<std::string, int>{{"b", 4}}));
  const auto list = manager->list<int>({1});
  EXPECT_FALSE(list.compare_and_set(0, 2, 3));
  EXPECT_TRUE(list.compare_and_set(0, 1, 3));
  EXPECT_EQ(list.get(0), 3);
}

}  // namespace

CRUCIBLE_INSTANTIATE_MANAGERS_AND_STORES(ManagerContainers);
CRUCIBLE_INSTANTIATE_MANAGERS(ManagerBoxes);

}  // namespace crucible::testing
