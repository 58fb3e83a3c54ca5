// Clauses M11 to M14, H49: registered types, what their methods throw and return, calls with deadlines and pipelined
// ones.
#include <gtest/gtest.h>
#include <pthread.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "conformance/manager_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"

namespace crucible::testing {
namespace {

using managed::within;

struct TooFar : std::out_of_range {
  using std::out_of_range::out_of_range;
};

class Counter {
 public:
  Counter() = default;
  explicit Counter(int count) : count_(count) {
    if (count < 0) throw std::domain_error("below zero");
  }
  int add(int more) { return count_ += more; }
  int count() const { return count_; }
  void fail(const std::string& how) const {
    if (how == "key") throw std::out_of_range("no such key");
    if (how == "value") throw std::invalid_argument("a wrong value");
    if (how == "own") throw TooFar("too far");
    if (how == "state") throw StateError("not now");
    if (how == "thing") throw 7;  // NOLINT(hicpp-exception-baseclass): of no exception type
    if (how == "memory") throw std::bad_alloc();
    if (how == "thread") ::pthread_exit(nullptr);
  }
  void nap(int milliseconds) const { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }
  Object deep(int levels) const {
    Object nested = 1;
    for (int i = 0; i < levels; ++i) nested = Object::list(nested);
    return nested;
  }
  Generator<int> squares(int most) const {
    return [at = 0, most]() mutable -> std::optional<int> {
      if (at == most) return std::nullopt;
      const int square = at * at;
      ++at;
      return square;
    };
  }
  void keep(const Object& object) { kept_ = object; }
  Object kept() const { return kept_; }

 private:
  int count_ = 0;
  Object kept_;
};

int doubled(Counter& counter) { return counter.add(counter.count()); }

class ManagerErrors : public ManagerTest {};

class ManagerTypes : public ManagerTest {
 protected:
  static ManagerOptions options() {
    ManagerOptions options;
    options.types.add<Counter>("Counter")
        .constructor<int>()
        .method("add", &Counter::add)
        .method("count", &Counter::count)
        .method("doubled", &doubled)
        .method("fail", &Counter::fail)
        .method("nap", &Counter::nap)
        .method("deep", &Counter::deep)
        .method("squares", &Counter::squares)
        .method("keep", &Counter::keep)
        .method("kept", &Counter::kept);
    return options;
  }
};

TEST_P(ManagerTypes, M11_MethodsOfOwnTypesAreCalledThere) {
  const auto manager = start(options());
  const managed::Proxy counter = manager->create("Counter", 5);
  EXPECT_EQ(counter.call<int>("add", 2), 7);
  Peer child([&] { EXPECT_EQ(counter.call<int>("doubled"), 14); });
  child.join();
  EXPECT_EQ(counter.call<int>("count"), 14);
}

TEST_P(ManagerTypes, M11_AnErrorArrivesAsItsStandardType) {
  const auto manager = start(options());
  const managed::Proxy counter = manager->create("Counter", 5);
  try {
    counter.call<void>("fail", "key");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const std::out_of_range& error) {
    EXPECT_STREQ(error.what(), "no such key");
    const auto& info = dynamic_cast<const RemoteInfo&>(error);
    EXPECT_EQ(info.type(), "std::out_of_range");
    EXPECT_NE(info.where().find("Counter.fail in process "), std::string::npos) << info.where();
  }
  EXPECT_THROW(counter.call<void>("fail", "value"), std::invalid_argument);
  EXPECT_THROW(counter.call<void>("fail", "state"), StateError);
  EXPECT_THROW(counter.call<void>("fail", "memory"), std::bad_alloc);
  EXPECT_EQ(counter.call<int>("count"), 5) << "the next call works";
}

TEST_P(ManagerTypes, M11_AnErrorOfAnotherTypeTellsTypeMessageAndPlace) {
  const auto manager = start(options());
  const managed::Proxy counter = manager->create("Counter", 5);
  try {
    counter.call<void>("fail", "own");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const RemoteError& error) {
    EXPECT_NE(error.type().find("TooFar"), std::string::npos) << error.type();
    EXPECT_EQ(error.message(), "too far");
    EXPECT_NE(std::string(error.what()).find("too far"), std::string::npos);
  }
  try {
    counter.call<void>("fail", "thing");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const RemoteError& error) {
    EXPECT_EQ(error.type(), "int");
  }
  EXPECT_EQ(counter.call<int>("count"), 5);
}

TEST_P(ManagerErrors, M11_ContainersThrowAsStdsDo) {
  const auto manager = start();
  EXPECT_THROW((void)manager->dict().get(1), std::out_of_range);
  EXPECT_THROW((void)manager->dict().pop(1), std::out_of_range);
  EXPECT_THROW((void)manager->list<int>({1}).get(1), std::out_of_range);
  EXPECT_THROW((void)manager->list<int>({1}).get(-2), std::out_of_range);
  EXPECT_THROW((void)manager->list<int>().pop(), std::out_of_range);
  EXPECT_THROW(manager->list<int>({1}).remove(2), std::invalid_argument);
  EXPECT_THROW((void)manager->list<int>().call("get"), std::invalid_argument);
  EXPECT_THROW((void)manager->list<int>().call("get", "first"), std::invalid_argument);
}

TEST_P(ManagerTypes, M12_OnlyWhatIsRegisteredCanBeReached) {
  const auto manager = start(options());
  const managed::Proxy counter = manager->create("Counter", 5);
  EXPECT_THROW((void)counter.call("~Counter"), NotFound);
  EXPECT_THROW((void)manager->list<int>().call("squares", 1), NotFound);
  EXPECT_THROW((void)manager->create("Kounter", 5), NotFound);
  EXPECT_THROW((void)manager->create("Counter", -5), std::domain_error);
  EXPECT_THROW((void)manager->create("Counter"), std::invalid_argument);
  EXPECT_THROW((void)counter.call("add", "two"), std::invalid_argument);
  EXPECT_EQ(counter.call<int>("count"), 5);
}

TEST_P(ManagerTypes, M12_ATypesNameIsGivenOnce) {
  ManagedTypes types;
  types.add<Counter>("Counter");
  EXPECT_THROW((void)types.add<std::string>("Counter"), BadArgument);
  EXPECT_THROW((void)types.add<Counter>("dict"), BadArgument);
  EXPECT_THROW(types.add<Counter>("Other").method("add", &Counter::add).method("add", &Counter::add), BadArgument);
  ManagerOptions options;
  options.types = types;
  EXPECT_NO_THROW((void)start(options)->create("Counter"));
}

TEST_P(ManagerTypes, M13_AGeneratorIsSteppedThroughFromElsewhere) {
  const auto manager = start(options());
  const managed::Proxy counter = manager->create("Counter", 5);
  std::vector<int> squares;
  for (const int square : counter.call<managed::Generated<int>>("squares", 5)) squares.push_back(square);
  EXPECT_EQ(squares, (std::vector<int>{0, 1, 4, 9, 16}));
  const auto none = counter.call<managed::Generated<int>>("squares", 0);
  EXPECT_EQ(none.next(), std::nullopt);
  EXPECT_EQ(none.next(), std::nullopt);
}

TEST_P(ManagerTypes, M14_WhatCannotBeEncodedHarmsNoConnection) {
  const auto manager = start(options());
  const managed::Proxy counter = manager->create("Counter", 5);
  EXPECT_THROW((void)counter.call("deep", 200), EncodingError);
  Object too_deep = 1;
  for (int i = 0; i < 130; ++i) too_deep = Object::list(too_deep);
  EXPECT_THROW((void)counter.call("keep", too_deep), EncodingError);
  EXPECT_THROW((void)counter.call<std::string>("count"), EncodingError) << "it came, and is no text";
  EXPECT_EQ(counter.call<int>("count"), 5);
}

TEST_P(ManagerTypes, M14_ProxiesAreArgumentsAndResultsOfMethods) {
  const auto manager = start(options());
  const managed::Proxy counter = manager->create("Counter", 5);
  {
    const auto list = manager->list<int>({1, 2});
    counter.call<void>("keep", Object::list("kept", list));
  }
  const Object kept = counter.call("kept");
  EXPECT_EQ(managed::List<int>(managed::Proxy(kept.at(1).as_reference())).copy(), (std::vector<int>{1, 2}));
  const auto other = start(options());
  EXPECT_THROW(counter.call<void>("keep", Object(other->list<int>())), BadArgument) << "of another server";
}

TEST_P(ManagerTypes, M14_LargeArgumentsAndResultsArriveWhole) {
  const auto manager = start();
  const auto value = manager->value<Bytes>();
  for (const std::size_t size : {32'679U, 32'680U, 32'681U, 65'536U, 8U << 20U}) {
    const Bytes bytes = pattern(size, size);
    value.set(bytes);
    EXPECT_TRUE(same(value.get(), bytes)) << size;
  }
  EXPECT_THROW(value.set(Bytes(capabilities().max_message_bytes)), BadLength);
  EXPECT_EQ(value.get().size(), 8U << 20U);
}

TEST_P(ManagerTypes, H49_ACallOfAStoppedServerTimesOut) {
  const auto manager = start();
  const auto list = manager->list<int>({1});
  const auto value = manager->value<Bytes>();
  const auto lock = manager->lock();
  ASSERT_EQ(::kill(*manager->pid(), SIGSTOP), 0);
  const Stopwatch waited;
  EXPECT_EQ(list.call_for<std::size_t>(30ms, "size"), std::nullopt);
  EXPECT_GE(waited.elapsed(), 30ms);
  EXPECT_THROW((void)within(30ms, list).size(), Timeout);
  EXPECT_THROW(within(30ms, lock).lock(), Timeout);
  EXPECT_THROW(within(30ms, value).set(Bytes(4U << 20U)), Timeout) << "perhaps in the middle of it";
  ASSERT_EQ(::kill(*manager->pid(), SIGCONT), 0);
  EXPECT_EQ(list.size(), 1U) << "the proxy works on";
  const std::size_t size = value.get().size();
  EXPECT_TRUE(size == 0 || size == 4U << 20U) << "half a request of " << size;
  std::thread([&] {
    EXPECT_EQ(lock.acquire(), Status::kOk) << "what nobody waited for any more is given back";
  }).join();
}

TEST_P(ManagerTypes, H49_AMethodThatTakesLongHoldsUpItsOwnObjectOnly) {
  const auto manager = start(options());
  const managed::Proxy slow = manager->create("Counter", 5);
  const managed::Proxy quick = manager->create("Counter", 6);
  auto nap = slow.call_async<std::nullptr_t>("nap", 300);
  auto behind = slow.call_async<int>("add", 1);
  EXPECT_EQ(quick.call<int>("count"), 6);
  EXPECT_EQ(manager->list<int>({1}).size(), 1U);
  EXPECT_FALSE(nap.is_ready());
  EXPECT_EQ(behind.get_for(0s), std::nullopt);
  EXPECT_EQ(behind.get(), 6);
  EXPECT_TRUE(nap.is_ready()) << "one call at a time, in order";
  nap.get();
}

TEST_P(ManagerTypes, H49_AMethodThatEndsItsThreadIsAnError) {
  const auto manager = start(options());
  const managed::Proxy counter = manager->create("Counter", 5);
  EXPECT_THROW(counter.call<void>("fail", "thread"), StateError);
  EXPECT_EQ(counter.call<int>("count"), 5);
}

TEST_P(ManagerTypes, H49_ManyCallsAreUnderWayAtOnceAndDoneInOrder) {
  const auto manager = start();
  const auto list = manager->list<int>();
  std::vector<managed::Answer<std::nullptr_t>> answers;
  for (int i = 0; i < 2'000; ++i) answers.push_back(list.call_async<std::nullptr_t>("append", i));
  for (auto& answer : answers) answer.get();
  EXPECT_THROW(answers[0].get(), StateError) << "an answer is got once";
  const std::vector<int> items = list.copy();
  ASSERT_EQ(items.size(), 2'000U);
  for (int i = 0; i < 2'000; ++i) ASSERT_EQ(items[static_cast<std::size_t>(i)], i);
}

TEST_P(ManagerTypes, H49_WhoAsksForMuchBeforeTakingItGetsAllOfIt) {
  const auto manager = start();
  const auto value = manager->value<Bytes>(pattern(100'000, 1));
  std::vector<managed::Answer<Bytes>> answers;
  for (int i = 0; i < 100; ++i) answers.push_back(value.call_async<Bytes>("get"));
  for (auto& answer : answers) ASSERT_TRUE(same(answer.get(), pattern(100'000, 1)));
}

TEST_P(ManagerTypes, H49_WhatIsNotWantedAnyMoreIsWithdrawn) {
  const auto manager = start();
  const auto queue = manager->queue<int>();
  const auto lock = manager->lock();
  {
    const auto unwanted = queue.call_async<std::vector<int>>("get", -1);
  }
  queue.put(1);
  EXPECT_EQ(queue.get(), 1) << "it went to one who had given up";
  {
    auto unseen = lock.call_async<std::vector<int>>("acquire", -1, true);
    while (!unseen.is_ready()) std::this_thread::yield();
  }
  EXPECT_EQ(lock.try_acquire(), Status::kOk) << "granted, and never looked at";
  queue.put(2);
  {
    auto unseen = queue.call_async<std::vector<int>>("get", -1);
    while (!unseen.is_ready()) std::this_thread::yield();
  }
  EXPECT_EQ(queue.try_get(), 2);
}

}  // namespace

CRUCIBLE_INSTANTIATE_MANAGERS_AND_STORES(ManagerErrors);
CRUCIBLE_INSTANTIATE_MANAGERS(ManagerTypes);

}  // namespace crucible::testing
