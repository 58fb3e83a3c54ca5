// Clauses S4 to S6: a number of objects that several processes use.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/status.h"
#include "conformance/shared_support.h"
#include "conformance/support/peer.h"
#include "core/array.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

class SharedArray : public CleanFixture {};

using Ints = std::vector<int>;

TEST_F(SharedArray, S4_MadeFromASequenceItHoldsIt) {
  const Ints values = {680, 626, 934, 821, 150};
  RawArray<int> raw(values);
  Array<int> locked(values);
  EXPECT_EQ(raw.size(), 5U);
  EXPECT_EQ(locked.size(), 5U);
  EXPECT_EQ(raw[2], 934);
  EXPECT_EQ(raw[-1], 150);
  EXPECT_EQ(raw[-5], 680);
  EXPECT_EQ(locked.load(-2), 821);
  EXPECT_EQ(raw.copy(2, 4), (Ints{934, 821}));
  EXPECT_EQ(locked.copy(), values);
}

TEST_F(SharedArray, S4_SlicesAreReplaced) {
  Array<int> array{1, 2, 3, 4, 5};
  array.assign(1, 4, Ints{20, 30, 40});
  array.store(-1, 50);
  EXPECT_EQ(array.copy(), (Ints{1, 20, 30, 40, 50}));
  array.assign(2, 2, Ints{});
  EXPECT_EQ(array.copy(0, 2), (Ints{1, 20}));
}

TEST_F(SharedArray, S4_AChildsPrefixSumIsSeen) {
  Array<int> array(10);
  array.update([](std::span<int> all) { std::iota(all.begin(), all.end(), 1); });
  crucible::Process child(
      [](Array<int>& shared) {
        shared.update([](std::span<int> all) { std::partial_sum(all.begin(), all.end(), all.begin()); });
      },
      std::ref(array));
  child.start();
  child.join();
  EXPECT_EQ(array.copy(), (Ints{1, 3, 6, 10, 15, 21, 28, 36, 45, 55}));
}

TEST_F(SharedArray, S4_IndicesBeyondEitherEndAreErrors) {
  RawArray<int> array{1, 2, 3};
  EXPECT_THROW((void)array[3], std::out_of_range);
  EXPECT_THROW((void)array[-4], std::out_of_range);
  EXPECT_THROW((void)array[std::numeric_limits<std::ptrdiff_t>::min()], std::out_of_range);
  EXPECT_THROW((void)array[std::numeric_limits<std::ptrdiff_t>::max()], std::out_of_range);
  EXPECT_THROW((void)array.copy(0, 4), std::out_of_range);
  EXPECT_THROW((void)array.copy(2, 1), std::out_of_range);
  Array<int> locked{1, 2, 3};
  EXPECT_THROW(locked.store(3, 0), std::out_of_range);
  EXPECT_EQ(locked.load(2), 3) << "the lock was let go";
}

TEST_F(SharedArray, S4_ASliceOfAnotherLengthChangesNothing) {
  RawArray<int> array{1, 2, 3};
  EXPECT_THROW(array.assign(0, 2, {7}), BadArgument);
  EXPECT_THROW(array.assign(0, 2, {7, 8, 9}), BadArgument);
  EXPECT_EQ(array.copy(), (Ints{1, 2, 3}));
}

TEST_F(SharedArray, S4_ANegativeSizeOrOneBeyondAllMemoryIsBadArgument) {
  for (const std::ptrdiff_t size : {std::ptrdiff_t{-1}, std::numeric_limits<std::ptrdiff_t>::max() / 2}) {
    const volatile std::ptrdiff_t unknown = size;  // the compiler warns of what it can see
    EXPECT_THROW((void)RawArray<int>(std::ptrdiff_t{unknown}), BadArgument);
  }
  EXPECT_EQ(RawArray<int>(0).size(), 0U);
}

TEST_F(SharedArray, S4_ANamedArrayIsOpenedByAnybody) {
  const std::string name = fresh_name();
  const auto array = RawArray<int>::create(name, {1, 2, 3});
  Peer peer([&] {
    const auto opened = RawArray<int>::open(name);
    EXPECT_EQ(opened.copy(), (Ints{1, 2, 3}));
    opened[0] = 9;
  });
  peer.join();
  EXPECT_EQ(array[0], 9);
  EXPECT_THROW((void)RawArray<unsigned>::open(name), BadArgument);
}

TEST_F(SharedArray, S4_ANamedLockedArrayIsOpenedByAnybody) {
  const Array<int> array = Array<int>::create(fresh_name(), Ints{1, 2, 3});
  Peer peer([&] { Array<int>::open(array.name()).store(1, 8); });
  peer.join();
  EXPECT_EQ(array.copy(), (Ints{1, 8, 3}));
}

TEST_F(SharedArray, S5_RecycledMemoryIsZero) {
  const RawArray<char> keeps_the_memory(1);
  const void* before = nullptr;
  for (int i = 0; i < 3; ++i) {
    RawArray<int> array(500);
    EXPECT_EQ(array.copy(), Ints(500, 0));
    EXPECT_TRUE(i == 0 || array.begin() == before) << "not the memory that was dirtied";
    before = array.begin();
    std::memset(array.begin(), 0xff, 500 * sizeof(int));
  }
  EXPECT_EQ(RawArray<int>(100'000).copy(), Ints(100'000, 0));
}

TEST_F(SharedArray, S6_TextEndsAtItsFirstNulAndRawAtTheArrays) {
  RawArray<char> array(8);
  array.set_value("hello");
  EXPECT_EQ(array.value(), "hello");
  EXPECT_EQ(array.raw(), std::string("hello\0\0\0", 8));
  array.set_value("ab");
  EXPECT_EQ(array.value(), "ab");
  EXPECT_EQ(array.raw(), std::string("ab\0lo\0\0\0", 8));
  array.set_value("12345678");
  EXPECT_EQ(array.value(), "12345678") << "no room for a NUL, and none needed";
}

TEST_F(SharedArray, S6_TextThatIsTooLongChangesNothing) {
  RawArray<char> array(4);
  array.set_value("abc");
  EXPECT_THROW(array.set_value("12345"), BadArgument);
  EXPECT_THROW(array.set_raw("12345"), BadArgument);
  EXPECT_EQ(array.raw(), std::string("abc\0", 4));
}

TEST_F(SharedArray, S6_AChildDoublesTheText) {
  Array<char> text(20);
  text.set_value("hello");
  Peer peer([&] { text.set_value(text.value() + text.value()); });
  peer.join();
  EXPECT_EQ(text.value(), "hellohello");
}

}  // namespace
}  // namespace crucible::testing
