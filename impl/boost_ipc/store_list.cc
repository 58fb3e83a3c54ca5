// list.
#include <cstdint>
#include <iterator>
#include <numeric>
#include <vector>

#include "api/object.h"
#include "boost_ipc/store_call.h"
#include "compose/positions.h"

namespace crucible::boost_ipc {
namespace {

Texts::iterator place(StoredList& list, std::size_t at) { return list.items.begin() + static_cast<std::ptrdiff_t>(at); }
std::size_t position_in(const StoredList& list, const StoreTurn& turn) {
  return position(turn.call.get<std::int64_t>(0), list.items.size());
}
std::size_t require(const StoredList& list, ByteView item) {
  const auto found =
      std::ranges::find_if(list.items, [item](const Text& other) { return is_equal(bytes_of(other), item); });
  if (found == list.items.end()) throw std::invalid_argument("no item " + decode<Object>(item).to_string());
  return static_cast<std::size_t>(found - list.items.begin());
}
// Room first: what follows cannot fail.
void make_room(StoredList& list, std::size_t count) {
  Texts& items = list.items;
  if (items.capacity() - items.size() < count) items.reserve(std::max(2 * items.size(), items.size() + count));
}
std::vector<Text> texts_of(const StoreTurn& turn, ByteView encoded) {
  EncodedItems items(encoded);
  std::vector<Text> texts;
  texts.reserve(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) texts.push_back(turn.text(items.next()));
  return texts;
}
void insert_all(StoredList& list, std::size_t at, std::vector<Text>& texts) {
  list.items.insert(place(list, at), std::make_move_iterator(texts.begin()), std::make_move_iterator(texts.end()));
}

void get(StoredList& list, const StoreTurn& turn) { turn.call.answer(list.items[position_in(list, turn)]); }
void find(StoredList& list, const StoreTurn& turn) {
  const auto index = turn.call.get<std::size_t>(0);
  if (index >= list.items.size()) return turn.call.answer_none();
  turn.call.answer_one(list.items[index]);
}
void set(StoredList& list, const StoreTurn& turn) {
  turn.call.answer();
  turn.assign(list.items[position_in(list, turn)], turn.call.bytes(1));
}
void append(StoredList& list, const StoreTurn& turn) {
  turn.call.answer();
  make_room(list, 1);
  list.items.push_back(turn.text(turn.call.bytes(0)));
}
void extend(StoredList& list, const StoreTurn& turn) {
  turn.call.answer();
  fill(list, turn, turn.call.bytes(0));
}
void insert(StoredList& list, const StoreTurn& turn) {
  turn.call.answer();
  Text item = turn.text(turn.call.bytes(1));
  make_room(list, 1);
  list.items.insert(place(list, boundary(turn.call.get<std::int64_t>(0), list.items.size())), std::move(item));
}
void erase(StoredList& list, const StoreTurn& turn) {
  turn.call.answer();
  list.items.erase(place(list, position_in(list, turn)));
}
void pop(StoredList& list, const StoreTurn& turn) {
  const std::size_t at = position_in(list, turn);
  turn.call.answer(list.items[at]);
  list.items.erase(place(list, at));
}
void remove(StoredList& list, const StoreTurn& turn) {
  turn.call.answer();
  list.items.erase(place(list, require(list, turn.call.bytes(0))));
}
void index(StoredList& list, const StoreTurn& turn) { turn.call.answer_value(require(list, turn.call.bytes(0))); }
void count(StoredList& list, const StoreTurn& turn) {
  const ByteView item = turn.call.bytes(0);
  const auto is_it = [item](const Text& other) { return is_equal(bytes_of(other), item); };
  turn.call.answer_value(std::ranges::count_if(list.items, is_it));
}
void slice(StoredList& list, const StoreTurn& turn) {
  const std::vector<std::size_t> positions =
      slice_positions(list.items.size(), turn.call.get<std::int64_t>(0), turn.call.get<std::int64_t>(1),
                      turn.call.get<std::int64_t>(2));
  EncodedAnswer some;
  some.list(positions.size());
  for (const std::size_t at : positions) some.add(list.items[at]);
  turn.call.answer(some.view());
}
void set_slice(StoredList& list, const StoreTurn& turn) {
  turn.call.answer();
  const std::size_t first = boundary(turn.call.get<std::int64_t>(0), list.items.size());
  const std::size_t last = std::max(first, boundary(turn.call.get<std::int64_t>(1), list.items.size()));
  std::vector<Text> more = texts_of(turn, turn.call.bytes(2));
  make_room(list, more.size());
  list.items.erase(place(list, first), place(list, last));
  insert_all(list, first, more);
}
void reverse(StoredList& list, const StoreTurn& turn) {
  turn.call.answer();
  std::reverse(list.items.begin(), list.items.end());
}
void sort(StoredList& list, const StoreTurn& turn) {
  turn.call.answer();
  Object::List objects;
  objects.reserve(list.items.size());
  for (const Text& item : list.items) objects.push_back(decode<Object>(bytes_of(item)));
  std::vector<std::size_t> order(objects.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t one, std::size_t other) { return objects[one] < objects[other]; });
  std::vector<Text> sorted;
  sorted.reserve(order.size());
  for (const std::size_t at : order) sorted.push_back(std::move(list.items[at]));
  std::ranges::move(sorted, list.items.begin());
}
void repeat(StoredList& list, const StoreTurn& turn) {
  constexpr std::size_t kMostItems = std::size_t{1} << 27U;
  turn.call.answer();
  const auto times = static_cast<std::size_t>(std::max<std::int64_t>(turn.call.get<std::int64_t>(0), 0));
  const std::size_t size = list.items.size();
  if (times == 0 || size == 0) return list.items.clear();
  if (times > kMostItems / size) throw std::length_error("too many items");
  Texts repeated(list.items.get_stored_allocator());
  repeated.reserve(size * times);
  for (std::size_t i = 0; i < times; ++i) {
    for (const Text& item : list.items) repeated.push_back(turn.text(bytes_of(item)));
  }
  list.items.swap(repeated);
}
void size(StoredList& list, const StoreTurn& turn) { turn.call.answer_value(list.items.size()); }
void clear(StoredList& list, const StoreTurn& turn) {
  turn.call.answer();
  list.items.clear();
}
void copy(StoredList& list, const StoreTurn& turn) {
  EncodedAnswer all;
  all.list(list.items.size());
  for (const Text& item : list.items) all.add(item);
  turn.call.answer(all.view());
}
void text(StoredList& list, const StoreTurn& turn) {
  Object::List items;
  for (const Text& item : list.items) items.push_back(decode<Object>(bytes_of(item)));
  turn.call.answer_value(Object(std::move(items)).to_string());
}
void compare_and_set(StoredList& list, const StoreTurn& turn) {
  Text& item = list.items[position_in(list, turn)];
  const bool is_as_expected = is_equal(bytes_of(item), turn.call.bytes(1));
  turn.call.answer_value(is_as_expected);
  if (is_as_expected) turn.assign(item, turn.call.bytes(2));
}

}  // namespace

void fill(StoredList& list, const StoreTurn& turn, ByteView items) {
  std::vector<Text> more = texts_of(turn, items);
  make_room(list, more.size());
  insert_all(list, list.items.size(), more);
}

// As for a dict.
[[gnu::constructor]] void prepare_list_methods() { (void)list_methods(); }

const StoreMethods<StoredList>& list_methods() {
  static const StoreMethods<StoredList> methods = {{"get", {get, false}},
                                                   {"find", {find, false}},
                                                   {"set", {set, true}},
                                                   {"append", {append, true}},
                                                   {"extend", {extend, true}},
                                                   {"insert", {insert, true}},
                                                   {"erase", {erase, true}},
                                                   {"pop", {pop, true}},
                                                   {"remove", {remove, true}},
                                                   {"index", {index, false}},
                                                   {"count", {count, false}},
                                                   {"slice", {slice, false}},
                                                   {"set_slice", {set_slice, true}},
                                                   {"reverse", {reverse, true}},
                                                   {"sort", {sort, true}},
                                                   {"repeat", {repeat, true}},
                                                   {"size", {size, false}},
                                                   {"clear", {clear, true}},
                                                   {"copy", {copy, false}},
                                                   {"text", {text, false}},
                                                   {"compare_and_set", {compare_and_set, true}}};
  return methods;
}

}  // namespace crucible::boost_ipc
