// Clauses S20, S21 and H41: a list of values under a name.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "api/object.h"
#include "api/status.h"
#include "conformance/random.h"
#include "conformance/shared_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/shareable_list.h"

namespace crucible::testing {
namespace {

class SharedList : public CleanFixture {
 protected:
  using List = crucible::ShareableList;
  using Objects = std::vector<Object>;
  static Objects mixed() {
    return {"howdy", Bytes(5, std::byte{0xfe}), -273.154, 100, nullptr, true, 42, std::uint64_t{1} << 63U, ""};
  }
};

TEST_F(SharedList, S20_MixedValuesComeBackAsTheyWere) {
  const List list = List::create(mixed());
  EXPECT_EQ(list.size(), mixed().size());
  EXPECT_EQ(list.items(), mixed());
  EXPECT_EQ(list[0], Object("howdy"));
  EXPECT_EQ(list[-1], Object(""));
  EXPECT_EQ(list[-9], Object("howdy"));
  EXPECT_TRUE(list[5].is_bool());
  EXPECT_TRUE(list[2].is_double());
}

TEST_F(SharedList, S20_IndicesBeyondEitherEndAreErrors) {
  List list = List::create({1, 2, 3});
  EXPECT_THROW((void)list[3], std::out_of_range);
  EXPECT_THROW(list.set(3, 0), std::out_of_range);
  EXPECT_THROW((void)list.capacity(3), std::out_of_range);
  EXPECT_EQ(list.items(), (Objects{1, 2, 3}));
}

TEST_F(SharedList, S20_ValuesAreFoundAndCounted) {
  const List list = List::create({"a", 2, "a", nullptr, 2.0});
  EXPECT_EQ(list.find("a"), 0U);
  EXPECT_EQ(list.find(2.0), 4U);
  EXPECT_EQ(list.find("b"), std::nullopt);
  EXPECT_EQ(list.count("a"), 2U);
  EXPECT_EQ(list.count(2), 1U);
  EXPECT_EQ(list.count(false), 0U);
}

TEST_F(SharedList, S20_AnEmptyListIsOne) {
  const List list = List::create({});
  EXPECT_EQ(list.size(), 0U);
  EXPECT_TRUE(list.items().empty());
  EXPECT_THROW((void)list[0], std::out_of_range);
  EXPECT_THROW((void)list[-1], std::out_of_range);
  EXPECT_EQ(List::attach(list.name()).size(), 0U);
}

TEST_F(SharedList, S20_ACopyIsIndependent) {
  List list = List::create(mixed());
  List copy = List::create(list.items());
  EXPECT_NE(copy.name(), list.name());
  copy.set(0, 7);
  EXPECT_EQ(list[0], Object("howdy"));
  list.set(1, 8);
  EXPECT_EQ(copy[1], Object(Bytes(5, std::byte{0xfe})));
}

TEST_F(SharedList, S20_WhoAttachesSeesWritesBothWays) {
  List list = List::create(fresh_name(), {1, "two", nullptr});
  Peer peer([&] {
    List other = List::attach(list.handle());
    EXPECT_EQ(other.items(), (Objects{1, "two", nullptr}));
    other.set(1, "drei");
  });
  peer.join();
  EXPECT_EQ(list[1], Object("drei"));
  const List reader = List::attach(list.name(), List::Access::kReadOnly);
  list.set(0, 5);
  EXPECT_EQ(reader[0], Object(5));
}

TEST_F(SharedList, S20_ReadersWriteNothingAndTheClosedReadNothing) {
  List list = List::create({1});
  List reader = List::attach(list.name(), List::Access::kReadOnly);
  EXPECT_THROW(reader.set(0, 2), BadArgument);
  EXPECT_EQ(list[0], Object(1));
  reader.close();
  EXPECT_THROW((void)reader[0], Closed);
  EXPECT_EQ(reader.size(), 1U);
}

TEST_F(SharedList, S20_WhatNestsAndWhatIsNoListIsBadArgument) {
  EXPECT_THROW((void)List::create({1, Object::list(2)}), BadArgument);
  List list = List::create({1});
  EXPECT_THROW(list.set(0, Object::dict()), BadArgument);
  EXPECT_EQ(list[0], Object(1));
  const Block block = Block::create(fresh_name(), {"list", 1}, 1'000, [](Block& b) { b.as<std::uint64_t>() = 1'000; });
  EXPECT_THROW((void)List::attach(block.name()), BadArgument);
}

TEST_F(SharedList, S21_AnotherTypeFitsWhereItLies) {
  List list = List::create({"0123456789", 1});
  EXPECT_EQ(list.capacity(0), 16U);
  EXPECT_EQ(list.capacity(1), 8U);
  const Objects in_turn = {nullptr, std::int64_t{-5}, 2.5, Bytes(16, std::byte{0}), "0123456789abcdef", false};
  for (const Object& value : in_turn) {
    list.set(0, value);
    EXPECT_EQ(list[0], value);
    EXPECT_EQ(list[1], Object(1));
  }
  list.set(1, "12345678");
  EXPECT_EQ(list[1], Object("12345678"));
}

TEST_F(SharedList, S21_OneByteTooManyChangesNothing) {
  const Objects before = {"left", "0123456789abcdef", "right"};
  List list = List::create(before);
  EXPECT_THROW(list.set(1, std::string(17, 'x')), BadArgument);
  EXPECT_THROW(list.set(1, Bytes(17)), BadArgument);
  const std::string umlauts = "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6x";  // 9 characters
  EXPECT_THROW(list.set(1, umlauts), BadArgument);
  EXPECT_EQ(list.items(), before);
}

TEST_F(SharedList, S21_AReaderSeesTheOldValueOrTheNewOne) {
  List list = List::create({std::string(200, 'a')});
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 0; i < 20'000; ++i) list.set(0, std::string(static_cast<std::size_t>(i % 200), i % 2 ? 'b' : 'c'));
    done = true;
  });
  while (!done) {
    const std::string text = list[0].as_string();
    ASSERT_EQ(text.find_first_not_of(text.empty() ? 'a' : text[0]), std::string::npos) << "torn: " << text;
    ASSERT_TRUE(text.empty() || text[0] == 'a' || (text[0] == 'b') == (text.size() % 2 == 1)) << "of two: " << text;
  }
  writer.join();
}

TEST_F(SharedList, H41_ByteStringsOfEveryLengthComeBackExactly) {
  Random random;
  for (std::size_t length = 0; length <= 64; ++length) {
    Objects values = {Bytes(length, std::byte{0}), random.bytes(length), std::string(length, '\0')};
    Bytes ends_in_nul = random.bytes(length);
    if (length > 0) ends_in_nul.back() = std::byte{0};
    values.emplace_back(ends_in_nul);
    List list = List::create(values);
    EXPECT_EQ(list.items(), values) << length;
    for (std::size_t shorter = 0; shorter <= length; ++shorter) {
      list.set(0, Bytes(shorter, std::byte{0}));
      EXPECT_EQ(list[0], Object(Bytes(shorter, std::byte{0})));
    }
  }
}

TEST_F(SharedList, H41_TextOfSeveralBytesPerCharacterComesBackWhole) {
  const Objects values = {"\xc3\xa4\xc3\xb6\xc3\xbc", "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", "\xf0\x9f\x94\xa5",
                          std::string("a\0\xc3\xa9\0", 5)};
  const List list = List::create(values);
  EXPECT_EQ(list.items(), values);
  EXPECT_EQ(List::attach(list.name()).items(), values);
}

TEST_F(SharedList, H41_AnIndexBeforeTheStartIsAnError) {
  List list = List::create({1, 2, 3});
  EXPECT_EQ(list[-3], Object(1));
  EXPECT_THROW((void)list[-4], std::out_of_range);
  EXPECT_THROW(list.set(-4, 0), std::out_of_range);
  EXPECT_THROW((void)list[std::numeric_limits<std::ptrdiff_t>::min()], std::out_of_range);
}

TEST_F(SharedList, H41_AWriterKilledHalfWayLeavesTheOldValue) {
  List list = List::create({std::string(4'000, 'a')});
  Random random;
  for (int round = 0; round < 60; ++round) {
    SharedBox<std::atomic<int>> writes(0);
    Peer writer([&] {
      for (int i = 0;; ++i) {
        list.set(0, std::string(4'000, static_cast<char>('b' + i % 20)));
        ++*writes;
      }
    });
    const int when = static_cast<int>(random.between(1, 400));
    while (*writes < when) std::this_thread::yield();
    writer.kill();
    writer.join();
    const std::string text = list[0].as_string();
    ASSERT_EQ(text, std::string(4'000, text[0]));
  }
}

}  // namespace
}  // namespace crucible::testing
