// dict.
#include <vector>

#include "api/object.h"
#include "boost_ipc/store_call.h"

namespace crucible::boost_ipc {
namespace {

constexpr std::size_t kByOrder = 1;  // the index

/// The key that a call is about.
class Key {
 public:
  explicit Key(const StoreTurn& turn) : bytes_(canonical(turn.call.bytes(0), room_)) {}
  explicit Key(ByteView bytes) : bytes_(canonical(bytes, room_)) {}
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  ByteView bytes() const noexcept { return bytes_; }

 private:
  Bytes room_;
  const ByteView bytes_;
};

Items::iterator find(StoredDict& dict, const Key& key) {
  return dict.items.find(characters(key.bytes()), KeyHash(), KeyEqual());
}
Items::iterator require(StoredDict& dict, const Key& key) {
  const auto found = find(dict, key);
  if (found == dict.items.end()) throw std::out_of_range("no key " + decode<Object>(key.bytes()).to_string());
  return found;
}
void insert(StoredDict& dict, const StoreTurn& turn, const Key& key, ByteView value) {
  dict.items.insert(Item{turn.text(key.bytes()), turn.text(value)});
  ++dict.changes;
}
void put(StoredDict& dict, const StoreTurn& turn, const Key& key, ByteView value) {
  if (const auto found = find(dict, key); found != dict.items.end()) return turn.assign(found->value, value);
  insert(dict, turn, key, value);
}
void take(StoredDict& dict, Items::iterator at) {
  dict.items.erase(at);
  ++dict.changes;
}

void set(StoredDict& dict, const StoreTurn& turn) {
  put(dict, turn, Key(turn), turn.call.bytes(1));
  turn.call.answer();
}
void get(StoredDict& dict, const StoreTurn& turn) { turn.call.answer(require(dict, Key(turn))->value); }
void find_one(StoredDict& dict, const StoreTurn& turn) {
  const auto found = find(dict, Key(turn));
  if (found == dict.items.end()) return turn.call.answer_none();
  turn.call.answer_one(found->value);
}
void contains(StoredDict& dict, const StoreTurn& turn) {
  turn.call.answer_value(find(dict, Key(turn)) != dict.items.end());
}
void erase(StoredDict& dict, const StoreTurn& turn) {
  const auto found = find(dict, Key(turn));
  const bool was_there = found != dict.items.end();
  turn.call.answer_value(was_there);
  if (was_there) take(dict, found);
}
void pop(StoredDict& dict, const StoreTurn& turn) {
  const auto found = require(dict, Key(turn));
  turn.call.answer(found->value);
  take(dict, found);
}
void pop_item(StoredDict& dict, const StoreTurn& turn) {
  const auto& ordered = dict.items.get<kByOrder>();
  if (ordered.empty()) throw std::out_of_range("an empty dict");
  const auto first = ordered.begin();
  EncodedAnswer pair;
  pair.list(2);
  pair.add(first->key);
  pair.add(first->value);
  turn.call.answer(pair.view());
  take(dict, dict.items.project<0>(first));
}
void set_default(StoredDict& dict, const StoreTurn& turn) {
  const Key key(turn);
  const auto found = find(dict, key);
  if (found != dict.items.end()) return turn.call.answer(found->value);
  turn.call.answer(turn.call.bytes(1));
  insert(dict, turn, key, turn.call.bytes(1));
}

// Room for everything first; what follows cannot fail.
void merge(StoredDict& dict, const StoreTurn& turn, ByteView more) {
  std::vector<std::pair<Items::iterator, Text>> others;
  std::vector<Items::iterator> inserted;
  EncodedItems pairs(more);
  others.reserve(pairs.size());
  inserted.reserve(pairs.size());
  try {
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const Key key(pairs.next());
      const ByteView value = pairs.next();
      if (const auto found = find(dict, key); found != dict.items.end()) {
        others.emplace_back(found, turn.text(value));
      } else {
        inserted.push_back(dict.items.insert(Item{turn.text(key.bytes()), turn.text(value)}).first);
      }
    }
  } catch (...) {
    for (const auto& at : inserted) dict.items.erase(at);
    throw;
  }
  for (auto& [at, value] : others) at->value.swap(value);
  if (!inserted.empty()) ++dict.changes;
}
void update(StoredDict& dict, const StoreTurn& turn) {
  turn.call.answer();
  merge(dict, turn, turn.call.bytes(0));
}
void compare_and_set(StoredDict& dict, const StoreTurn& turn) {
  const Key key(turn);
  const std::optional<ByteView> expected = only_item(turn.call.bytes(1));
  const std::optional<ByteView> desired = only_item(turn.call.bytes(2));
  const auto found = find(dict, key);
  const bool is_there = found != dict.items.end();
  const bool is_as_expected = is_there ? expected && is_equal(bytes_of(found->value), *expected) : !expected;
  turn.call.answer_value(is_as_expected);
  if (is_as_expected && desired) {
    put(dict, turn, key, *desired);
  } else if (is_as_expected && is_there) {
    take(dict, found);
  }
}
void size(StoredDict& dict, const StoreTurn& turn) { turn.call.answer_value(dict.items.size()); }
void clear(StoredDict& dict, const StoreTurn& turn) {
  turn.call.answer();
  if (!dict.items.empty()) ++dict.changes;
  dict.items.clear();
}

template <class Write>
void answer_all(StoredDict& dict, const StoreTurn& turn, bool as_dict, const Write& write) {
  EncodedAnswer all;
  if (as_dict) {
    all.dict(dict.items.size());
  } else {
    all.list(dict.items.size());
  }
  for (const Item& item : dict.items.get<kByOrder>()) write(all, item);
  turn.call.answer(all.view());
}
void keys(StoredDict& dict, const StoreTurn& turn) {
  answer_all(dict, turn, false, [](EncodedAnswer& all, const Item& item) { all.add(item.key); });
}
void values(StoredDict& dict, const StoreTurn& turn) {
  answer_all(dict, turn, false, [](EncodedAnswer& all, const Item& item) { all.add(item.value); });
}
void list_items(StoredDict& dict, const StoreTurn& turn) {
  answer_all(dict, turn, false, [](EncodedAnswer& all, const Item& item) {
    all.list(2);
    all.add(item.key);
    all.add(item.value);
  });
}
void copy(StoredDict& dict, const StoreTurn& turn) {
  answer_all(dict, turn, true, [](EncodedAnswer& all, const Item& item) {
    all.add(item.key);
    all.add(item.value);
  });
}
void text(StoredDict& dict, const StoreTurn& turn) {
  Object::Dict items;
  for (const Item& item : dict.items) {
    items.emplace(decode<Object>(bytes_of(item.key)), decode<Object>(bytes_of(item.value)));
  }
  turn.call.answer_value(Object(std::move(items)).to_string());
}
void next(StoredDict& dict, const StoreTurn& turn) {
  const std::optional<ByteView> last = only_item(turn.call.bytes(0));
  const auto changes = turn.call.get<std::int64_t>(1);
  if (changes >= 0 && changes != dict.changes) throw StateError("keys came or went in the middle of an iteration");
  const auto& ordered = dict.items.get<kByOrder>();
  const auto at = last ? ordered.upper_bound(*last, KeyOrder()) : ordered.begin();
  if (at == ordered.end()) return turn.call.answer_none();
  EncodedAnswer step;
  step.list(1);
  step.list(3);
  step.add(dict.changes);
  step.add(at->key);
  step.add(at->value);
  turn.call.answer(step.view());
}

}  // namespace

void fill(StoredDict& dict, const StoreTurn& turn, ByteView items) { merge(dict, turn, items); }

// Before main: a fork beside a thread that is the first to ask would leave a child that waits for ever.
[[gnu::constructor]] void prepare_dict_methods() { (void)dict_methods(); }

const StoreMethods<StoredDict>& dict_methods() {
  static const StoreMethods<StoredDict> methods = {
      {"set", {set, true}},           {"get", {get, false}},
      {"find", {find_one, false}},    {"contains", {contains, false}},
      {"erase", {erase, true}},       {"pop", {pop, true}},
      {"pop_item", {pop_item, true}}, {"set_default", {set_default, true}},
      {"update", {update, true}},     {"compare_and_set", {compare_and_set, true}},
      {"size", {size, false}},        {"clear", {clear, true}},
      {"keys", {keys, false}},        {"values", {values, false}},
      {"items", {list_items, false}}, {"copy", {copy, false}},
      {"text", {text, false}},        {"next", {next, false}}};
  return methods;
}

}  // namespace crucible::boost_ipc
