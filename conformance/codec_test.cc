// The codec's clauses C1 to C10: values come back as they went. SPEC.md has their words.
#include "api/codec.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <deque>
#include <limits>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "api/object.h"
#include "conformance/support/fixture.h"

namespace crucible::testing {

struct Point {
  int x = 0;
  int y = 0;
  MSGPACK_DEFINE(x, y)
  bool operator==(const Point&) const = default;
};

struct Route {
  std::string name;
  std::vector<Point> points;
  std::optional<double> length;
  std::map<std::string, Point> marks;
  MSGPACK_DEFINE(name, points, length, marks)
  bool operator==(const Route&) const = default;
};

// A variant that fails to become one holds nothing.
struct Unmakable {
  explicit Unmakable(int thrown) { throw thrown; }
  std::string text;
  MSGPACK_DEFINE(text)
};

namespace {

class Codec : public CleanFixture {};

template <class T>
T round_trip(const T& value) {
  return decode<T>(encode(value).view());
}

template <class T>
void expect_round_trip(const T& value) {
  EXPECT_EQ(round_trip(value), value);
  if constexpr (kIsPlain<T>) {  // or it would be read by the slower way without anybody noticing
    const Encoded encoded = encode(value);
    PlainReader reader(encoded.view());
    T read = {};
    EXPECT_TRUE(reader.read(read) && reader.is_at_end());
    EXPECT_EQ(read, value);
  }
}

template <class T>
void expect_limits_round_trip() {
  expect_round_trip(std::numeric_limits<T>::lowest());
  expect_round_trip(std::numeric_limits<T>::min());
  expect_round_trip(std::numeric_limits<T>::max());
  expect_round_trip(T{});
}

std::string hex(ByteView bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(byte));
    text += digits;
  }
  return text;
}

TEST_F(Codec, C1_ScalarsRoundTripAtTheirLimits) {
  expect_round_trip(true);
  expect_round_trip(false);
  expect_round_trip(nullptr);
  expect_limits_round_trip<std::int8_t>();
  expect_limits_round_trip<std::uint8_t>();
  expect_limits_round_trip<std::int16_t>();
  expect_limits_round_trip<std::uint16_t>();
  expect_limits_round_trip<std::int32_t>();
  expect_limits_round_trip<std::uint32_t>();
  expect_limits_round_trip<std::int64_t>();
  expect_limits_round_trip<std::uint64_t>();
  expect_limits_round_trip<float>();
  expect_limits_round_trip<double>();
}

TEST_F(Codec, C1_EveryIntegerAtAnEdgeOfTheFormatRoundTrips) {
  for (int shift = 0; shift < 64; ++shift) {
    const std::uint64_t power = std::uint64_t{1} << shift;
    for (const std::uint64_t value : {power - 1, power, power + 1}) {
      expect_round_trip(value);
      expect_round_trip(static_cast<std::int64_t>(value));
      expect_round_trip(static_cast<std::int64_t>(~value));
    }
  }
}

TEST_F(Codec, C1_FloatingPointKeepsEveryBit) {
  using Limits = std::numeric_limits<double>;
  for (const double value : {0.0, -0.0, 1.0, -1.0, 0.1, 1.5, 1e300, 0x1p63, 0x1p64, -0x1p63, -0x1p64,
                             Limits::denorm_min(), Limits::epsilon(), Limits::infinity(), -Limits::infinity()}) {
    EXPECT_EQ(round_trip(value), value);
    EXPECT_EQ(std::signbit(round_trip(value)), std::signbit(value)) << value;
  }
  EXPECT_TRUE(std::isnan(round_trip(Limits::quiet_NaN())));
  EXPECT_TRUE(std::isnan(round_trip(std::numeric_limits<float>::quiet_NaN())));
}

TEST_F(Codec, C2_StringsAndBytesOfEveryLengthClassRoundTrip) {
  for (const std::size_t size : {0UL, 1UL, 31UL, 32UL, 255UL, 256UL, 65'535UL, 65'536UL, 1'000'000UL}) {
    expect_round_trip(std::string(size, 'x'));
    expect_round_trip(Bytes(size, std::byte{0xa5}));
  }
  expect_round_trip(std::string("nul\0inside", 10));
  expect_round_trip(std::string("\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\x89"));
  Bytes every(256);
  for (std::size_t i = 0; i < every.size(); ++i) every[i] = static_cast<std::byte>(i);
  expect_round_trip(every);
}

TEST_F(Codec, C3_ContainersRoundTripNestedAndEmpty) {
  expect_round_trip(std::vector<int>{});
  expect_round_trip(std::vector<int>{1, -2, 3});
  expect_round_trip(std::vector<bool>{true, false, true});
  expect_round_trip(std::deque<std::string>{"a", "", "c"});
  expect_round_trip(std::list<double>{0.5, -0.25});
  expect_round_trip(std::set<std::string>{"x", "y"});
  expect_round_trip(std::array<int, 3>{7, 8, 9});
  expect_round_trip(std::map<std::string, int>{{"one", 1}, {"two", 2}});
  expect_round_trip(std::unordered_map<int, std::string>{{1, "one"}, {2, "two"}});
  expect_round_trip(std::pair<int, std::string>{5, "five"});
  expect_round_trip(std::tuple<>{});
  expect_round_trip(std::tuple<int, std::string, std::vector<double>>{1, "two", {3.0}});
  expect_round_trip(std::vector<std::vector<std::vector<int>>>{{}, {{}}, {{1}, {2, 3}}});
  expect_round_trip(
      std::map<int, std::map<std::string, std::vector<Bytes>>>{{1, {{"k", {Bytes(3), Bytes{}}}}}, {2, {}}});
  for (const std::size_t size : {15UL, 16UL, 65'535UL, 65'536UL}) expect_round_trip(std::vector<int>(size, 1));
}

TEST_F(Codec, C4_OptionalAndVariantRoundTrip) {
  expect_round_trip(std::optional<int>{});
  expect_round_trip(std::optional<int>{0});
  expect_round_trip(std::vector<std::optional<std::string>>{"a", std::nullopt, ""});
  using Choice = std::variant<int, std::string, std::vector<int>, int>;
  expect_round_trip(Choice(std::in_place_index<0>, 1));
  expect_round_trip(Choice(std::in_place_index<1>, "one"));
  expect_round_trip(Choice(std::in_place_index<2>, {1, 2}));
  expect_round_trip(Choice(std::in_place_index<3>, 1));
  expect_round_trip(std::vector<Choice>{Choice(std::in_place_index<3>, 4), Choice(std::in_place_index<1>, "")});
}

TEST_F(Codec, C4_VariantOfUnknownIndexOrShapeIsRefused) {
  using Choice = std::variant<int, std::string>;
  EXPECT_THROW((void)decode<Choice>(encode(std::tuple(2, 1)).view()), EncodingError);
  EXPECT_THROW((void)decode<Choice>(encode(std::tuple(-1, 1)).view()), EncodingError);
  EXPECT_THROW((void)decode<Choice>(encode(std::tuple(0, "text")).view()), EncodingError);
  EXPECT_THROW((void)decode<Choice>(encode(std::tuple(0, 1, 2)).view()), EncodingError);
  EXPECT_THROW((void)decode<Choice>(encode(std::tuple(0)).view()), EncodingError);
  EXPECT_THROW((void)decode<Choice>(encode(7).view()), EncodingError);
}

TEST_F(Codec, C4_ValuelessVariantCannotBeEncoded) {
  std::variant<std::string, Unmakable> valueless = "held";
  EXPECT_THROW(valueless.emplace<1>(0), int);
  ASSERT_TRUE(valueless.valueless_by_exception());
  EXPECT_THROW((void)encode(valueless), EncodingError);
}

TEST_F(Codec, C5_UserStructsRoundTripNestedInEachOther) {
  expect_round_trip(Point{1, -2});
  expect_round_trip(Route{});
  expect_round_trip(Route{"home", {{1, 2}, {3, 4}}, 2.5, {{"start", {0, 0}}, {"end", {9, 9}}}});
  expect_round_trip(std::map<std::string, std::vector<Route>>{{"all", {Route{"a", {{1, 2}}, {}, {}}, Route{}}}});
}

TEST_F(Codec, C6_ObjectOfEveryKindComesBackAsTheSameKind) {
  const Object all = Object::dict({{"null", nullptr},
                                   {"bool", true},
                                   {"int", std::numeric_limits<std::int64_t>::min()},
                                   {"large", std::numeric_limits<std::uint64_t>::max()},
                                   {"double", 0.1},
                                   {"string", "h\u00e9llo"},
                                   {"bytes", Bytes{std::byte{0}, std::byte{0xff}}},
                                   {"list", Object::list(1, Object::list(), "x")},
                                   {"dict", Object::dict({{1, "one"}, {"user_0", Object::dict({{"user_0", 1}})}})}});
  EXPECT_EQ(round_trip(all), all);
  EXPECT_TRUE(round_trip(Object()).is_null());
  EXPECT_TRUE(round_trip(Object(false)).is_bool());
  EXPECT_TRUE(round_trip(Object(0)).is_int());
  EXPECT_TRUE(round_trip(Object("")).is_string());
  EXPECT_TRUE(round_trip(Object(Bytes{})).is_bytes());
  EXPECT_TRUE(round_trip(Object::list()).is_list());
  EXPECT_TRUE(round_trip(Object::dict()).is_dict());
}

TEST_F(Codec, C6_DoubleStaysADoubleWhateverItsValue) {
  for (const double value : {1.0, 0.0, -0.0, -3.0, 1e18, 0x1p64, 0.5}) {
    const Object back = round_trip(Object(value));
    EXPECT_TRUE(back.is_double()) << value << " came back as " << back.to_string();
    EXPECT_EQ(back, Object(value));
  }
}

TEST_F(Codec, C7_ObjectGivesItsValueOnlyAsItsOwnType) {
  EXPECT_EQ(Object(-5).as_int(), -5);
  EXPECT_EQ(Object(5).as_uint(), 5U);
  EXPECT_EQ(Object(0.5).as_double(), 0.5);
  EXPECT_EQ(Object("text").as_string(), "text");
  EXPECT_EQ(Object(true).as_bool(), true);
  EXPECT_EQ(Object(Bytes(2)).as_bytes(), Bytes(2));
  EXPECT_THROW((void)Object(-5).as_uint(), EncodingError);
  EXPECT_THROW((void)Object(std::numeric_limits<std::uint64_t>::max()).as_int(), EncodingError);
  EXPECT_THROW((void)Object(1).as_double(), EncodingError);
  EXPECT_THROW((void)Object(1).as_bool(), EncodingError);
  EXPECT_THROW((void)Object("1").as_int(), EncodingError);
  EXPECT_THROW((void)Object("1").as_bytes(), EncodingError);
  EXPECT_THROW((void)Object().as_list(), EncodingError);
  EXPECT_THROW((void)Object::list().as_dict(), EncodingError);
}

TEST_F(Codec, C7_ObjectItemsAreReachedByIndexAndByKey) {
  Object list = Object::list(42, nullptr, "hello");
  EXPECT_EQ(list.at(2), "hello");
  EXPECT_THROW((void)list.at(3), std::out_of_range);
  list.as_list().emplace_back(1.5);
  EXPECT_EQ(list.at(3), 1.5);
  const Object dict = Object::dict({{"k", 1}, {Object(7), "seven"}});
  EXPECT_EQ(dict.at(Object("k")), 1);
  EXPECT_EQ(dict.at(Object(7)), "seven");
  EXPECT_THROW((void)dict.at(Object("missing")), std::out_of_range);
}

TEST_F(Codec, C8_ObjectsAreTotallyOrdered) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<Object> ascending = {Object(),
                                         false,
                                         true,
                                         std::numeric_limits<std::int64_t>::min(),
                                         -1,
                                         0,
                                         1,
                                         std::numeric_limits<std::uint64_t>::max(),
                                         -std::numeric_limits<double>::infinity(),
                                         -0.5,
                                         0.0,
                                         std::numeric_limits<double>::infinity(),
                                         nan,
                                         "",
                                         "a",
                                         "ab",
                                         "b",
                                         Bytes{},
                                         Bytes(1),
                                         Object::list(),
                                         Object::list(1),
                                         Object::list(1, 2),
                                         Object::list(2),
                                         Object::dict(),
                                         Object::dict({{1, 2}})};
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    for (std::size_t j = 0; j < ascending.size(); ++j) {
      EXPECT_EQ(ascending[i] <=> ascending[j], i <=> j) << ascending[i].to_string() << " " << ascending[j].to_string();
      EXPECT_EQ(ascending[i] == ascending[j], i == j);
    }
  }
}

TEST_F(Codec, C8_IntegersCompareByValueAndNeverEqualADouble) {
  EXPECT_EQ(Object(5U), Object(5));
  EXPECT_EQ(Object(std::uint64_t{5}), Object(std::int8_t{5}));
  EXPECT_NE(Object(1), Object(1.0));
  EXPECT_NE(Object(1), Object(true));
  EXPECT_NE(Object("1"), Object(1));
  EXPECT_NE(Object("b"), Object(Bytes{std::byte{'b'}}));
  EXPECT_EQ(Object(0.0), Object(-0.0));
}

TEST_F(Codec, C9_ObjectsPrintAsJson) {
  EXPECT_EQ(Object::list(42, nullptr, "hello").to_string(), R"([42, null, "hello"])");
  EXPECT_EQ(Object::dict({{"user_0", Object::dict({{"user_0", "user_0"}})}}).to_string(),
            R"({"user_0": {"user_0": "user_0"}})");
  EXPECT_EQ(Object::list(true, false, -7, 0.5, Object::list(), Object::dict()).to_string(),
            "[true, false, -7, 0.5, [], {}]");
  EXPECT_EQ(Object("q\"b\\n\n").to_string(), R"("q\"b\\n\u000a")");
  EXPECT_EQ(Object("h\u00e9").to_string(), "\"h\u00e9\"");
  EXPECT_EQ(Object(Bytes{std::byte{'a'}, std::byte{0}, std::byte{0xff}}).to_string(), R"(b"a\x00\xff")");
  EXPECT_EQ(Object(std::numeric_limits<std::uint64_t>::max()).to_string(), "18446744073709551615");
}

TEST_F(Codec, C9_DoublesPrintSoThatTheyReadBackTheSame) {
  for (const double value : {0.1, 1.0 / 3, 1e-300, -1.7976931348623157e308, 4.9e-324, 123456789.125}) {
    EXPECT_EQ(std::strtod(Object(value).to_string().c_str(), nullptr), value);
  }
}

TEST_F(Codec, C10_TheBytesAreMessagePackInItsShortestForm) {
  EXPECT_EQ(hex(encode(nullptr).view()), "c0");
  EXPECT_EQ(hex(encode(false).view()), "c2");
  EXPECT_EQ(hex(encode(42).view()), "2a");
  EXPECT_EQ(hex(encode(std::int64_t{42}).view()), "2a");
  EXPECT_EQ(hex(encode(-1).view()), "ff");
  EXPECT_EQ(hex(encode(200).view()), "ccc8");
  EXPECT_EQ(hex(encode(-200).view()), "d1ff38");
  EXPECT_EQ(hex(encode(65'536).view()), "ce00010000");
  EXPECT_EQ(hex(encode(1.5).view()), "cb3ff8000000000000");
  EXPECT_EQ(hex(encode(1.5F).view()), "ca3fc00000");
  EXPECT_EQ(hex(encode(std::string("hello")).view()), "a568656c6c6f");
  EXPECT_EQ(hex(encode(Bytes{std::byte{1}, std::byte{2}}).view()), "c4020102");
  EXPECT_EQ(hex(encode(Object::list(42, nullptr, "hello")).view()), "932ac0a568656c6c6f");
  EXPECT_EQ(hex(encode(std::map<std::string, int>{{"a", 1}}).view()), "81a16101");
  EXPECT_EQ(hex(encode(Point{1, 2}).view()), "920102");
  EXPECT_EQ(hex(encode(std::variant<int, bool>(true)).view()), "9201c3");
}

}  // namespace
}  // namespace crucible::testing
