// Clauses W5 to W9 and H13: results one by one, while the input is read.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iterator>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <vector>

#include "conformance/pool_support.h"

namespace crucible::testing {
namespace {

class PoolImap : public PoolTest {
 protected:
  /// Every result, and the text of every exception in its place.
  template <class Source>
  static std::vector<std::string> all_of(Source source) {
    std::vector<std::string> all;
    for (;;) {
      try {
        const auto value = source.next();
        if (!value) return all;
        all.push_back(std::to_string(*value));
      } catch (const std::exception& error) {
        all.emplace_back(error.what());
      }
    }
  }
};

int twice(int number) { return 2 * number; }
int not_three(int number) { return number == 3 ? throw std::invalid_argument("three") : number; }
// An input that notes how far it was read, and throws at `bad`.
auto counted(int size, int bad = -1) {
  return std::views::iota(0, size) | std::views::transform([bad](int number) {
           if (number == bad) throw std::out_of_range("input");
           add(0);
           return number;
         });
}

TEST_P(PoolImap, W5_ValuesComeInOrderAndThenTheEnd) {
  const auto pool = make(2);
  int expected = 0;
  for (const int value : pool->imap(&twice, std::views::iota(0, 10))) EXPECT_EQ(value, 2 * expected++);
  EXPECT_EQ(expected, 10);
  auto source = pool->imap(&twice, std::views::iota(0, 1'000), 100);
  for (int i = 0; i < 1'000; ++i) ASSERT_EQ(source.next(), 2 * i);
  EXPECT_FALSE(source.next());
  EXPECT_FALSE(source.next());
}

TEST_P(PoolImap, W6_UnorderedGivesEveryValueOnce) {
  const auto pool = make(3);
  for (const std::ptrdiff_t chunk : {1, 7}) {
    std::vector<int> values;
    for (const int value : pool->imap_unordered(&twice, std::views::iota(0, 100), chunk)) values.push_back(value);
    std::ranges::sort(values);
    ASSERT_EQ(values.size(), 100U);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], 2 * i);
  }
}

TEST_P(PoolImap, W6_WhatIsFinishedFirstComesFirst) {
  const auto pool = make(2);
  auto source = pool->imap_unordered(
      [](int number) {
        if (number == 0) await_signal(0);
        return number;
      },
      std::vector<int>{0, 1});
  EXPECT_EQ(source.next(), 1);
  set_signal(0);
  EXPECT_EQ(source.next(), 0);
  EXPECT_FALSE(source.next());
}

TEST_P(PoolImap, W7_ATimedNextLosesNothing) {
  const auto pool = make(1);
  for (const bool ordered : {true, false}) {
    Board::clear();
    const auto wait = [](int number) {
      await_signal(0);
      return number;
    };
    auto source = ordered ? pool->imap(wait, std::vector<int>{5}) : pool->imap_unordered(wait, std::vector<int>{5});
    std::optional<int> value = 1;
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_EQ(source.next_for(value, 50ms), Status::kTimeout);
    EXPECT_GE(std::chrono::steady_clock::now() - begun, 50ms);
    EXPECT_EQ(source.next_for(value, 0ms), Status::kTimeout);
    EXPECT_FALSE(value);
    set_signal(0);
    EXPECT_EQ(source.next_for(value, 1h), Status::kOk);
    EXPECT_EQ(value, 5);
    EXPECT_EQ(source.next_for(value, 1h), Status::kEof);
  }
}

TEST_P(PoolImap, W8_AnErrorStandsInItsElementsPlace) {
  const auto pool = make(2);
  const std::vector<std::string> expected = {"0", "1", "2", "three", "4", "5"};
  for (const std::ptrdiff_t chunk : {1, 2, 6, 50}) {
    EXPECT_EQ(all_of(pool->imap(&not_three, std::views::iota(0, 6), chunk)), expected);
    std::vector<std::string> unordered = all_of(pool->imap_unordered(&not_three, std::views::iota(0, 6), chunk));
    std::ranges::sort(unordered);
    EXPECT_EQ(unordered, (std::vector<std::string>{"0", "1", "2", "4", "5", "three"}));
  }
}

TEST_P(PoolImap, W9_AnErrorOfTheInputComesBehindWhatWasRead) {
  const auto pool = make(2);
  for (const int bad : {0, 1, 5}) {
    const auto input = counted(10, bad);
    EXPECT_THROW((void)pool->map(&twice, input), std::out_of_range);
    for (const std::ptrdiff_t chunk : {1, 2}) {
      std::vector<std::string> expected;
      for (int i = 0; i < bad; ++i) expected.push_back(std::to_string(2 * i));
      expected.emplace_back("input");
      EXPECT_EQ(all_of(pool->imap(&twice, input, chunk)), expected);
      std::vector<std::string> unordered = all_of(pool->imap_unordered(&twice, input, chunk));
      EXPECT_EQ(unordered.back(), "input");
      EXPECT_EQ(unordered.size(), expected.size());
    }
  }
  EXPECT_EQ(pool->apply(&twice, {4}), 8);
}

TEST_P(PoolImap, H13_TheInputIsReadNoFurtherAheadThanAsked) {
  const auto pool = make(2);
  const auto endless = counted(std::numeric_limits<int>::max());
  auto source = pool->imap(&twice, endless, 2, 6);
  EXPECT_EQ(cell(0), 6);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(source.next(), 2 * i);
  EXPECT_LE(cell(0), 10 + 6);
  auto unordered = pool->imap_unordered(&twice, endless);
  EXPECT_LE(cell(0), 10 + 6 + 8);
  EXPECT_TRUE(unordered.next());
}

TEST_P(PoolImap, H13_APoolEndsInTheMiddleOfAnInput) {
  {
    const auto pool = make(2);
    auto source = pool->imap(&twice, counted(std::numeric_limits<int>::max()), 1, 3);
    EXPECT_EQ(source.next(), 0);
    pool->close();
    pool->join();
    std::vector<int> rest;
    EXPECT_THROW(while (const auto value = source.next()) rest.push_back(*value), StateError);
    EXPECT_EQ(rest, (std::vector<int>{2, 4}));
    EXPECT_FALSE(source.next());
  }
  const auto pool = make(2);
  auto endless = pool->imap([](int) { return hold(1, 2); }, counted(100), 1, 3);
  await_signal(1);
  pool->terminate();
  for (int i = 0; i < 3; ++i) EXPECT_THROW((void)endless.next(), Terminated);
}

TEST_P(PoolImap, H14_ChunksOfLessThanOneAreAnError) {
  const auto pool = make(1);
  const std::vector<int> some = {1, 2};
  for (const std::ptrdiff_t chunk : {0, -1}) {
    EXPECT_THROW((void)pool->map(&twice, some, chunk), BadArgument);
    EXPECT_THROW((void)pool->map_async(&twice, some, chunk), BadArgument);
    EXPECT_THROW((void)pool->imap(&twice, some, chunk), BadArgument);
    EXPECT_THROW((void)pool->imap_unordered(&twice, some, chunk), BadArgument);
    EXPECT_THROW((void)pool->imap(&twice, some, 1, chunk), BadArgument);
  }
  EXPECT_EQ(pool->map(&twice, some, std::numeric_limits<std::ptrdiff_t>::max()), (std::vector<int>{2, 4}));
}

}  // namespace

CRUCIBLE_INSTANTIATE_POOLS(PoolImap);

}  // namespace crucible::testing
