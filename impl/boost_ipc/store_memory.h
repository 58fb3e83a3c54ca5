// What lies in a store's memory: Boost.Interprocess's segment, with its containers, at another address in each process.
#pragma once

#include <boost/container/string.hpp>
#include <boost/container/vector.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>
#include <boost/multi_index/hashed_index.hpp>
#include <boost/multi_index/member.hpp>
#include <boost/multi_index/ordered_index.hpp>
#include <boost/multi_index_container.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "api/bytes.h"

namespace crucible::boost_ipc {

/// As managed_shared_memory, in memory that is there already. Boost's own lock, which a killed holder would leave
/// locked for ever, is left out: all that happens here happens under the store's.
using Segment = boost::interprocess::basic_managed_external_buffer<
    char, boost::interprocess::rbtree_best_fit<boost::interprocess::null_mutex_family>,
    boost::interprocess::iset_index>;
template <class T>
using Allocator = boost::interprocess::allocator<T, Segment::segment_manager>;

/// An encoded value; short ones lie in the object itself.
using Text = boost::container::basic_string<char, std::char_traits<char>, Allocator<char>>;

inline std::string_view characters(ByteView bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline std::string_view characters(const Text& text) noexcept { return {text.data(), text.size()}; }
inline ByteView bytes_of(const Text& text) noexcept {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// Of the bytes of a key, which are the same for equal keys (see canonical()).
struct KeyHash {
  std::size_t operator()(std::string_view key) const noexcept { return std::hash<std::string_view>()(key); }
  std::size_t operator()(const Text& key) const noexcept { return (*this)(characters(key)); }
};
struct KeyEqual {
  bool operator()(std::string_view one, const Text& other) const noexcept { return one == characters(other); }
  bool operator()(const Text& one, std::string_view other) const noexcept { return characters(one) == other; }
  bool operator()(const Text& one, const Text& other) const noexcept { return characters(one) == characters(other); }
};
/// That of the Objects which the keys encode.
struct KeyOrder {
  bool operator()(const Text& one, const Text& other) const { return is_less(bytes_of(one), bytes_of(other)); }
  bool operator()(ByteView one, const Text& other) const { return is_less(one, bytes_of(other)); }
  bool operator()(const Text& one, ByteView other) const { return is_less(bytes_of(one), other); }
  static bool is_less(ByteView one, ByteView other);
};

struct Item {
  Text key;
  mutable Text value;  // which no index looks at
};
using Items = boost::multi_index_container<
    Item,
    boost::multi_index::indexed_by<
        boost::multi_index::hashed_unique<boost::multi_index::member<Item, Text, &Item::key>, KeyHash, KeyEqual>,
        boost::multi_index::ordered_unique<boost::multi_index::member<Item, Text, &Item::key>, KeyOrder>>,
    Allocator<Item>>;
using Texts = boost::container::vector<Text, Allocator<Text>>;

/// An object of a store, for as long as there is the store.
struct StoredObject {
  static constexpr std::uint64_t kDict = 0x5443'4944'5243'5543, kList = 0x5453'494c'5243'5543;
  std::uint64_t type;
};
struct StoredDict : StoredObject {
  explicit StoredDict(const Allocator<Item>& allocator) : StoredObject{kDict}, items(allocator) {}
  Items items;
  std::int64_t changes = 0;  ///< of the keys
};
struct StoredList : StoredObject {
  explicit StoredList(const Allocator<Text>& allocator) : StoredObject{kList}, items(allocator) {}
  Texts items;
};

}  // namespace crucible::boost_ipc
