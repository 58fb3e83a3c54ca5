// Clauses W1 to W12: what a pool computes, one call after another and many at a time.
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "conformance/pool_support.h"
#include "core/function.h"

namespace crucible::testing {
namespace {

class PoolBasic : public PoolTest {};

std::string join(const std::string& first, const std::vector<int>& numbers, const std::map<std::string, double>& last) {
  return first + std::to_string(numbers.at(1)) + std::to_string(last.at("x"));
}
int square(int number) { return number * number; }
std::vector<int> squares(int count) {
  std::vector<int> all;
  for (int i = 0; i < count; ++i) all.push_back(square(i));
  return all;
}
std::vector<int> numbers(int count) {
  std::vector<int> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

TEST_P(PoolBasic, W1_AFunctionAndAClosureReturnWhatTheyComputed) {
  const auto pool = make(2);
  EXPECT_EQ(pool->apply(&add_hundred, {3}), 103);
  EXPECT_EQ(pool->apply([](int i) { return i + 1; }, {41}), 42);
  EXPECT_EQ(pool->apply(&join, {"a", {1, 2}, {{"x", 0.5}}}), "a20.500000");
  EXPECT_NE(pool->apply(&worker_pid), ::getpid());
  pool->apply([] {});
}

TEST_P(PoolBasic, W1_ArgumentsAndResultsOfAnyCodecType) {
  const auto pool = make(1);
  const Object object = Object::list(42, nullptr, "hello", Object::dict({{"k", 1.5}}));
  EXPECT_EQ(pool->apply([](const Object& same) { return same; }, {object}), object);
  EXPECT_EQ(pool->apply([](Bytes bytes) { return bytes.size(); }, {Bytes(5)}), 5U);
  const auto pair = pool->apply(
      [](std::optional<int> one, std::variant<int, std::string> two) {
        return std::pair(one.value_or(-1), std::get<std::string>(two));
      },
      {std::nullopt, "two"});
  EXPECT_EQ(pair, std::pair(-1, std::string("two")));
}

TEST_P(PoolBasic, W1_EightMebibytesEachWay) {
  const auto pool = make(2);
  Bytes large(8U << 20U);
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<std::byte>(i * 7 + i / 251);
  const auto echo = [](Bytes same) { return same; };
  const auto first = pool->apply_async(echo, {large});
  const auto second = pool->apply_async(echo, {large});
  EXPECT_EQ(pool->apply(&add_hundred, {1}), 101);
  EXPECT_TRUE(first.get() == large);
  EXPECT_TRUE(second.get() == large);
}

TEST_P(PoolBasic, W1_BothWorkersAreUsed) {
  const auto pool = make(2);
  const auto first = pool->apply_async(&hold, {0, 1});
  const auto second = pool->apply_async(&hold, {1, 0});  // each waits until the other has begun
  EXPECT_NE(first.get(), second.get());
}

TEST_P(PoolBasic, W2_MapGivesTheResultsInTheOrderOfTheInput) {
  const auto pool = make(3);
  EXPECT_EQ(pool->map(&square, numbers(10)), squares(10));
  EXPECT_EQ(pool->map(&square, numbers(100), 20), squares(100));
  EXPECT_EQ(pool->map_async(&square, numbers(101), 7).get(), squares(101));
  EXPECT_EQ(pool->map(&square, {3, 4}), (std::vector<int>{9, 16}));
}

TEST_P(PoolBasic, W2_WhateverTheOrderOfCompletion) {
  const auto pool = make(2);
  const auto result = pool->map_async(
      [](int number) {
        if (number == 0) await_signal(0);
        if (number == 5) set_signal(0);
        return number;
      },
      numbers(6), 1);
  EXPECT_EQ(result.get(), numbers(6));
}

TEST_P(PoolBasic, W3_StarmapUnpacks) {
  const auto pool = make(2);
  const auto subtract = [](int from, int what) { return from - what; };
  const std::vector<std::pair<int, int>> pairs = {{1, 2}, {10, 3}, {5, 5}};
  EXPECT_EQ(pool->starmap(subtract, pairs), (std::vector<int>{-1, 7, 0}));
  EXPECT_EQ(pool->starmap_async(subtract, pairs, 2).get(), (std::vector<int>{-1, 7, 0}));
  EXPECT_EQ(pool->starmap(subtract, {{4, 1}}), (std::vector<int>{3}));
}

TEST_P(PoolBasic, W4_NothingGivesNothingAtOnce) {
  const auto pool = make(1);
  const auto held = pool->apply_async(&hold, {0, 1});  // nobody is free to do anything
  const std::vector<int> none;
  EXPECT_EQ(pool->map(&square, none), none);
  EXPECT_EQ(pool->map(&square, none, 1), none);
  std::vector<int> called(1);
  const auto result = pool->map_async(&square, none, {}, [&](std::vector<int> results) { called = results; });
  EXPECT_EQ(result.get(), none);
  EXPECT_EQ(called, none);
  EXPECT_FALSE(pool->imap(&square, none).next());
  EXPECT_FALSE(pool->imap_unordered(&square, none).next());
  set_signal(1);
  held.wait();
}

const Function kRepeat{"pool_test repeat", +[](const std::string& text, int times) {
                         std::string all;
                         for (int i = 0; i < times; ++i) all += text;
                         return all;
                       }};

TEST_P(PoolBasic, W42_ANamedFunctionIsATask) {
  const auto pool = make(2);
  EXPECT_EQ(pool->apply(kRepeat, {"ab", 3}), "ababab");
  const std::vector<std::pair<std::string, int>> input = {{"x", 1}, {"y", 2}};
  EXPECT_EQ(pool->starmap(kRepeat, input), (std::vector<std::string>{"x", "yy"}));
}

TEST_P(PoolBasic, W10_GetWaitsAndIsRepeatable) {
  const auto pool = make(1);
  const auto held = pool->apply_async(&hold, {0, 1});
  await_signal(0);
  EXPECT_FALSE(held.ready());
  set_signal(1);
  const pid_t pid = held.get();
  EXPECT_EQ(held.get(), pid);
  EXPECT_EQ(pool->workers(), std::vector<pid_t>{pid});
}

TEST_P(PoolBasic, W11_ATimedGetLeavesTheTaskAlone) {
  const auto pool = make(1);
  const auto held = pool->apply_async(&hold, {0, 1});
  EXPECT_FALSE(held.get_for(0ms));
  EXPECT_FALSE(held.get_for(-1s));
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_FALSE(held.get_for(50ms));
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 50ms);
  set_signal(1);
  EXPECT_EQ(held.get_for(1h), held.get());
}

TEST_P(PoolBasic, W12_ReadyWaitAndSuccessfulSayHowFarItIs) {
  const auto pool = make(1);
  const auto held = pool->apply_async(&hold, {0, 1});
  EXPECT_FALSE(held.ready());
  EXPECT_FALSE(held.wait_for(1ms));
  EXPECT_THROW((void)held.successful(), StateError);
  const auto thrown = pool->apply_async([] { throw std::runtime_error("no"); });
  set_signal(1);
  held.wait();
  EXPECT_TRUE(held.ready());
  EXPECT_TRUE(held.successful());
  thrown.wait();
  EXPECT_FALSE(thrown.successful());
}

}  // namespace

CRUCIBLE_INSTANTIATE_POOL_VARIANTS(PoolBasic);

}  // namespace crucible::testing
