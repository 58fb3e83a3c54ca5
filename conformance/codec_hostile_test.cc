// The codec's clauses C11 to C20: whatever the bytes are, a value or EncodingError, within bounded memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "api/codec.h"
#include "api/object.h"
#include "conformance/random.h"
#include "conformance/support/fixture.h"
#include "conformance/support/peer.h"

namespace crucible::testing {

struct Sample {
  int number;
  std::string text;
  std::vector<double> values;
  MSGPACK_DEFINE(number, text, values)
};

struct Pair {
  int first;
  int second;
  MSGPACK_DEFINE(first, second)
};

struct Tree {
  std::vector<Tree> children;
  MSGPACK_DEFINE(children)
};

namespace {

class CodecHostile : public CleanFixture {};

Bytes raw(std::initializer_list<int> values) {
  Bytes bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

Bytes copy_of(const Encoded& encoded) { return {encoded.view().begin(), encoded.view().end()}; }

Bytes a_valid_message() {
  return copy_of(encode(Object::dict({{"numbers", Object::list(1, -200, 70'000, 1e10, nullptr, true)},
                                      {"text", std::string(40, 't')},
                                      {"bytes", Bytes(300)},
                                      {7, Object::dict({{"nested", Object::list(Object::list(0.25))}})}})));
}

// Every decoder that a caller may point at a message; what they return is of no interest, only that they return.
template <class... T>
struct Decoders {
  static std::size_t refusals(ByteView bytes) { return (std::size_t{0} + ... + (refuses<T>(bytes) ? 1U : 0U)); }

 private:
  template <class U>
  static bool refuses(ByteView bytes) {
    try {
      (void)decode<U>(bytes);
      return false;
    } catch (const EncodingError&) {
      return true;
    }
  }
};
using AnyDecoder =
    Decoders<Object, bool, int, std::uint64_t, double, std::string, Bytes, std::vector<int>, std::vector<Object>,
             std::map<std::string, Object>, std::tuple<int, std::string, double>, std::array<int, 2>,
             std::optional<std::string>, std::variant<int, std::string, std::vector<Object>>, Sample, Tree>;
constexpr std::size_t kDecoders = 16;

// Address space, because a hostile length reserves memory that it never touches. A child, because a peak never falls.
std::size_t peak_address_space() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmPeak:")) return std::stoul(line.substr(7)) * 1024;
  }
  throw std::runtime_error("/proc/self/status has no VmPeak");
}

template <class F>
std::size_t growth_of(F body) {
  const std::size_t before = peak_address_space();
  body();
  return peak_address_space() - before;
}

template <class T>
Object nested(std::size_t depth, T innermost) {
  Object object = std::move(innermost);
  for (std::size_t i = 0; i < depth; ++i) object = Object::list(std::move(object));
  return object;
}

Tree tree_of_depth(std::size_t levels) {
  Tree tree;
  for (std::size_t i = 1; i < levels; ++i) {
    Tree parent;
    parent.children.push_back(std::move(tree));
    tree = std::move(parent);
  }
  return tree;
}

TEST_F(CodecHostile, C11_AnotherTypeThanAskedForIsRefused) {
  EXPECT_THROW((void)decode<int>(encode("text").view()), EncodingError);
  EXPECT_THROW((void)decode<int>(encode(nullptr).view()), EncodingError);
  EXPECT_THROW((void)decode<int>(encode(1.5).view()), EncodingError);
  EXPECT_THROW((void)decode<bool>(encode(1).view()), EncodingError);
  EXPECT_THROW((void)decode<std::nullptr_t>(encode(0).view()), EncodingError);
  EXPECT_THROW((void)decode<double>(encode(true).view()), EncodingError);
  EXPECT_THROW((void)decode<std::string>(encode(5).view()), EncodingError);
  EXPECT_THROW((void)decode<Bytes>(encode(5).view()), EncodingError);
  EXPECT_THROW((void)decode<std::vector<int>>(encode(5).view()), EncodingError);
  EXPECT_THROW((void)decode<std::vector<int>>(encode(std::vector<std::string>{"x"}).view()), EncodingError);
  EXPECT_THROW((void)(decode<std::map<int, int>>(encode(std::vector<int>{1}).view())), EncodingError);
  EXPECT_THROW((void)decode<Sample>(encode(std::map<int, int>{{1, 1}}).view()), EncodingError);
  EXPECT_THROW((void)decode<Sample>(encode(std::tuple("number", "text", 1)).view()), EncodingError);
}

TEST_F(CodecHostile, C12_IntegersOutOfTheTargetsRangeAreRefused) {
  EXPECT_THROW((void)decode<std::int8_t>(encode(128).view()), EncodingError);
  EXPECT_THROW((void)decode<std::int8_t>(encode(-129).view()), EncodingError);
  EXPECT_THROW((void)decode<std::uint8_t>(encode(256).view()), EncodingError);
  EXPECT_THROW((void)decode<std::uint8_t>(encode(-1).view()), EncodingError);
  EXPECT_THROW((void)decode<std::int32_t>(encode(std::int64_t{1} << 31).view()), EncodingError);
  EXPECT_THROW((void)decode<std::uint32_t>(encode(std::uint64_t{1} << 32).view()), EncodingError);
  EXPECT_THROW((void)decode<std::int64_t>(encode(std::uint64_t{1} << 63).view()), EncodingError);
  EXPECT_THROW((void)decode<std::uint64_t>(encode(-1).view()), EncodingError);
  EXPECT_THROW((void)(decode<std::array<int, 2>>(encode(std::array{1, 2, 3}).view())), EncodingError);
}

TEST_F(CodecHostile, C13_TruncationAtEveryByteIsRefused) {
  const Bytes whole = a_valid_message();
  ASSERT_NO_THROW((void)decode<Object>(whole));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW((void)decode<Object>(ByteView(whole).first(size)), EncodingError) << "cut at " << size;
  }
}

TEST_F(CodecHostile, C14_BytesBehindTheValueAreRefused) {
  for (const int extra : {0x00, 0xc0, 0xc1, 0x90, 0xff}) {
    Bytes longer = a_valid_message();
    longer.push_back(static_cast<std::byte>(extra));
    EXPECT_THROW((void)decode<Object>(longer), EncodingError) << extra;
    EXPECT_THROW((void)decode<int>(raw({0x01, extra})), EncodingError) << extra;
  }
}

TEST_F(CodecHostile, C15_ClaimedLengthsReserveNothing) {
  Peer peer([] {
    constexpr std::size_t kInput = 100;
    constexpr std::size_t kBound = 4U << 20U;  // one claim believed would take gigabytes
    const std::vector<Bytes> claims = {raw({0xdd, 0xff, 0xff, 0xff, 0xff}),
                                       raw({0xdf, 0xff, 0xff, 0xff, 0xff}),
                                       raw({0xdb, 0xff, 0xff, 0xff, 0xff}),
                                       raw({0xc6, 0xff, 0xff, 0xff, 0xff}),
                                       raw({0xc9, 0xff, 0xff, 0xff, 0xff}),
                                       raw({0xdc, 0xff, 0xff}),
                                       raw({0xde, 0xff, 0xff}),
                                       raw({0xdd, 0x02, 0x00, 0x00, 0x00}),
                                       raw({0xdf, 0x02, 0x00, 0x00, 0x00})};
    const std::size_t growth = growth_of([&] {
      for (const Bytes& claim : claims) {
        Bytes nested_claims;
        while (nested_claims.size() + claim.size() <= kInput) {
          nested_claims.insert(nested_claims.end(), claim.begin(), claim.end());
          EXPECT_EQ(AnyDecoder::refusals(nested_claims), kDecoders);
          Bytes followed = nested_claims;
          followed.resize(kInput, std::byte{0x01});
          EXPECT_EQ(AnyDecoder::refusals(followed), kDecoders);
        }
      }
    });
    EXPECT_LT(growth, kBound);
  });
  peer.join();
}

TEST_F(CodecHostile, C16_MemoryIsBoundedByTheMessagesSize) {
  Peer peer([] {
    constexpr std::size_t kItems = 1U << 18U;
    constexpr std::size_t kPerByte = 256;
    Bytes nulls = raw({0xdd, 0x00, 0x04, 0x00, 0x00});
    nulls.resize(nulls.size() + kItems, std::byte{0xc0});
    Bytes empty_lists = raw({0xdd, 0x00, 0x04, 0x00, 0x00});
    empty_lists.resize(empty_lists.size() + kItems, std::byte{0x90});
    Bytes pairs = raw({0xdf, 0x00, 0x02, 0x00, 0x00});
    pairs.resize(pairs.size() + kItems, std::byte{0xc0});
    for (const Bytes& dense : {nulls, empty_lists, pairs}) {
      const std::size_t growth = growth_of([&] { EXPECT_NO_THROW((void)decode<Object>(dense)); });
      EXPECT_LT(growth, kPerByte * dense.size());
    }
  });
  peer.join();
}

TEST_F(CodecHostile, C17_NestingIsBoundedOnBothSides) {
  EXPECT_EQ(decode<Object>(encode(nested(kMaxDepth, 1)).view()), nested(kMaxDepth, 1));
  EXPECT_EQ(decode<Object>(encode(nested(kMaxDepth - 1, Object::list())).view()),
            nested(kMaxDepth - 1, Object::list()));
  EXPECT_THROW((void)encode(nested(kMaxDepth + 1, 1)), EncodingError);
  EXPECT_THROW((void)encode(nested(kMaxDepth, Object::list())), EncodingError);
  EXPECT_THROW((void)encode(nested(kMaxDepth, Object::dict())), EncodingError);
  EXPECT_THROW((void)encode(nested(10 * kMaxDepth, 1)), EncodingError);
  for (const std::size_t depth : {kMaxDepth + 1, std::size_t{100'000}}) {
    Bytes lists(depth, std::byte{0x91});
    lists.push_back(std::byte{0xc0});
    EXPECT_EQ(AnyDecoder::refusals(lists), kDecoders) << depth;
    Bytes dicts(2 * depth);
    for (std::size_t i = 0; i < dicts.size(); i += 2) dicts[i] = std::byte{0x81};
    dicts.push_back(std::byte{0xc0});
    EXPECT_EQ(AnyDecoder::refusals(dicts), kDecoders) << depth;
    Bytes in_keys(depth, std::byte{0x81});
    in_keys.resize(3 * depth, std::byte{0xc0});
    EXPECT_EQ(AnyDecoder::refusals(in_keys), kDecoders) << depth;
  }
}

TEST_F(CodecHostile, C17_WhatAnEncoderAcceptsADecoderDoes) {
  for (std::size_t depth = kMaxDepth - 2; depth <= kMaxDepth + 2; ++depth) {
    const std::vector<Object> wrapped = {nested(depth, 1)};
    const Tree tree = tree_of_depth((depth + 1) / 2);
    const auto agreed = [&](const auto& value, bool fits) {
      if (fits) {
        EXPECT_NO_THROW((void)decode<std::decay_t<decltype(value)>>(encode(value).view())) << depth;
      } else {
        EXPECT_THROW((void)encode(value), EncodingError) << depth;
      }
    };
    agreed(nested(depth, 1), depth <= kMaxDepth);
    agreed(wrapped, depth + 1 <= kMaxDepth);
    agreed(tree, 2 * ((depth + 1) / 2) <= kMaxDepth);
  }
}

TEST_F(CodecHostile, C17_WhatStandsBesideEachOtherIsNotNested) {
  constexpr std::size_t kBeside = 8 * kMaxDepth;
  for (const Object& item : {Object::list(), Object::list(1), Object::dict(), Object::dict({{"key", 1}})}) {
    const Object items = Object::List(kBeside, item);
    EXPECT_EQ(decode<Object>(encode(items).view()), items) << item.to_string();
    Object::Dict values;
    for (std::size_t i = 0; i < kBeside; ++i) values.emplace(i, item);
    EXPECT_EQ(decode<Object>(encode(Object(values)).view()), Object(values)) << item.to_string();
    Object pairs = nested(kMaxDepth - 2, Object::list(item, item));
    EXPECT_EQ(decode<Object>(encode(pairs).view()), pairs) << item.to_string();
  }
  const std::vector<std::map<int, std::vector<int>>> typed(kBeside, {{1, {}}, {2, {3}}});
  EXPECT_EQ(decode<std::decay_t<decltype(typed)>>(encode(typed).view()), typed);
}

TEST_F(CodecHostile, C18_RandomBytesGiveAValueOrAnEncodingError) {
  Random random;
  std::size_t refused = 0;
  for (int round = 0; round < 10'000; ++round) {
    const Bytes noise = random.bytes(random.between(0, 64));
    refused += AnyDecoder::refusals(noise) == kDecoders ? 1U : 0U;
  }
  EXPECT_GT(refused, 0U);
  EXPECT_LT(refused, 10'000U) << "not one was a value: the noise never got past the first byte";
}

TEST_F(CodecHostile, C18_FlippedBitsGiveAValueOrAnEncodingError) {
  Random random;
  const std::vector<Bytes> valid = {a_valid_message(), copy_of(encode(Sample{1, "text", {0.5, 1.5}})),
                                    copy_of(encode(std::variant<int, std::string>("held"))),
                                    copy_of(encode(tree_of_depth(40)))};
  std::size_t accepted = 0;
  for (int round = 0; round < 10'000; ++round) {
    Bytes damaged = valid[random.between(0, valid.size() - 1)];
    for (std::size_t flips = random.between(1, 4); flips > 0; --flips) {
      damaged[random.between(0, damaged.size() - 1)] ^= static_cast<std::byte>(1U << random.between(0, 7));
    }
    accepted += AnyDecoder::refusals(damaged) < kDecoders ? 1U : 0U;
  }
  EXPECT_GT(accepted, 0U);
}

// What is read without a tree is what the tree would have given. False: that way is not taken.
template <class T>
bool agrees_with_the_tree(const Bytes& bytes) {
  PlainReader reader(bytes);
  T read = {};
  if (!reader.read(read) || !reader.is_at_end()) return false;
  if constexpr (std::is_same_v<T, float>) {
    if (std::isnan(read)) return true;  // the tree makes a signalling one a quiet one
  }
  try {
    const msgpack::object_handle tree = unpack_checked(bytes);
    const T by_tree = tree.get().as<T>();
    const Encoded one = encode(read);
    const Encoded other = encode(by_tree);
    EXPECT_TRUE(std::ranges::equal(one.view(), other.view()));
  } catch (const std::exception& error) {
    ADD_FAILURE() << "the tree refuses it: " << error.what();
  }
  return true;
}

TEST_F(CodecHostile, C18_BothWaysOfDecodingAgree) {
  Random random;
  const auto count = [](const Bytes& bytes) {
    return std::size_t{agrees_with_the_tree<bool>(bytes)} + agrees_with_the_tree<std::int8_t>(bytes) +
           agrees_with_the_tree<std::uint16_t>(bytes) + agrees_with_the_tree<std::int64_t>(bytes) +
           agrees_with_the_tree<std::uint64_t>(bytes) + agrees_with_the_tree<float>(bytes) +
           agrees_with_the_tree<double>(bytes) + agrees_with_the_tree<std::string>(bytes) +
           agrees_with_the_tree<Bytes>(bytes) + agrees_with_the_tree<std::tuple<int, std::string>>(bytes) +
           agrees_with_the_tree<std::vector<std::tuple<std::int32_t, double>>>(bytes) +
           agrees_with_the_tree<std::vector<std::vector<std::uint16_t>>>(bytes);
  };
  using Nested = std::vector<std::tuple<std::int32_t, double>>;
  const std::vector<Bytes> valid = {copy_of(encode(Nested{{-70'000, 0.5}, {1, -2.0}})),
                                    copy_of(encode(std::tuple(200, std::string("text")))),
                                    copy_of(encode(std::vector<std::vector<std::uint16_t>>{{1, 200}, {}})),
                                    copy_of(encode(std::int64_t{-1} << 40U)), copy_of(encode(std::string(40, 'x')))};
  std::size_t agreed = 0;
  for (const Bytes& message : valid) EXPECT_GT(count(message), 0U);
  for (int round = 0; round < 20'000; ++round) {
    agreed += count(random.bytes(random.between(0, 12)));
    Bytes damaged = valid[random.between(0, valid.size() - 1)];
    damaged[random.between(0, damaged.size() - 1)] ^= static_cast<std::byte>(1U << random.between(0, 7));
    agreed += count(damaged);
  }
  EXPECT_GT(agreed, 1'000U);
}

TEST_F(CodecHostile, C19_ReservedAndExtensionBytesAreRefused) {
  EXPECT_EQ(AnyDecoder::refusals(raw({0xc1})), kDecoders);
  EXPECT_EQ(AnyDecoder::refusals(raw({0xd4, 0x05, 0x01})), kDecoders);
  EXPECT_EQ(AnyDecoder::refusals(raw({0xc7, 0x03, 0x05, 1, 2, 3})), kDecoders);
  EXPECT_THROW((void)decode<Object>(raw({0x91, 0xc1})), EncodingError);
  EXPECT_THROW((void)decode<Object>(raw({0x92, 0x01, 0xd6, 0xff, 0, 0, 0, 0})), EncodingError);
}

// What a former call left behind must not become the value of a missing field.
[[gnu::noinline]] unsigned dirty_stack() {
  volatile unsigned char bytes[8192];
  for (volatile unsigned char& byte : bytes) byte = 0xab;
  return bytes[4095];
}

TEST_F(CodecHostile, C20_MissingFieldsAreValueInitialisedAndFurtherOnesIgnored) {
  ASSERT_EQ(dirty_stack(), 0xabU);
  const Pair from_one = decode<Pair>(encode(std::tuple(7)).view());
  EXPECT_EQ(from_one.first, 7);
  EXPECT_EQ(from_one.second, 0);
  ASSERT_EQ(dirty_stack(), 0xabU);
  const Pair from_none = decode<Pair>(encode(std::tuple()).view());
  EXPECT_EQ(from_none.first, 0);
  EXPECT_EQ(from_none.second, 0);
  ASSERT_EQ(dirty_stack(), 0xabU);
  EXPECT_EQ((decode<std::array<int, 3>>(encode(std::array{1, 2}).view())), (std::array{1, 2, 0}));
  const Pair from_three = decode<Pair>(encode(std::tuple(1, 2, "a field of a later version")).view());
  EXPECT_EQ(from_three.first, 1);
  EXPECT_EQ(from_three.second, 2);
}

}  // namespace
}  // namespace crucible::testing
