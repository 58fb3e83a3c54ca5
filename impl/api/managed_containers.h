// Proxies of managed containers: Dict, List, Namespace, Value, Array.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "api/proxy.h"

namespace crucible::managed {

/// Steps through a container by asking for one item after the other; see the containers' begin().
template <class Item, class Cursor>
class Steps {
 public:
  using value_type = Item;
  using difference_type = std::ptrdiff_t;
  using iterator_category = std::input_iterator_tag;
  using pointer = const Item*;
  using reference = const Item&;

  Steps() = default;
  explicit Steps(Cursor cursor) : cursor_(std::move(cursor)) { ++*this; }
  const Item& operator*() const { return *item_; }
  const Item* operator->() const { return &*item_; }
  Steps& operator++() {
    item_ = cursor_->next();
    return *this;
  }
  void operator++(int) { ++*this; }
  bool operator==(const Steps& other) const { return item_.has_value() == other.item_.has_value(); }

 private:
  std::optional<Cursor> cursor_;
  std::optional<Item> item_;
};

/// A dictionary, ordered by key. What is fetched is a copy; a proxy that is stored stays the same object. Each call is
/// atomic, a sequence of them is not: update() and compare_and_set() are.
template <class K = Object, class V = Object>
class Dict : public Proxy {
 public:
  using Proxy::Proxy;
  explicit Dict(const Proxy& proxy) : Proxy(proxy) {}

  void set(const K& key, const V& value) const { call<void>("set", key, value); }
  /// Throws std::out_of_range: there is none.
  V get(const K& key) const { return call<V>("get", key); }
  std::optional<V> find(const K& key) const { return first(call<std::vector<V>>("find", key)); }
  V get_or(const K& key, V otherwise) const { return find(key).value_or(std::move(otherwise)); }
  bool contains(const K& key) const { return call<bool>("contains", key); }
  /// Whether there was one.
  bool erase(const K& key) const { return call<bool>("erase", key); }
  /// Takes it out. Throws std::out_of_range.
  V pop(const K& key) const { return call<V>("pop", key); }
  /// Takes the first one out. Throws std::out_of_range: it is empty.
  std::pair<K, V> pop_item() const { return call<std::pair<K, V>>("pop_item"); }
  /// What is there, or `value`, which is there then.
  V set_default(const K& key, const V& value) const { return call<V>("set_default", key, value); }
  void update(const std::map<K, V>& items) const { call<void>("update", items); }
  /// Changes the value of `key` from `expected` (nothing: there is none) to `desired` (nothing: it is removed). False:
  /// it was another, and stays.
  bool compare_and_set(const K& key, const std::optional<V>& expected, const std::optional<V>& desired) const {
    return call<bool>("compare_and_set", key, several(expected), several(desired));
  }
  /// Makes the value `change(value)`, atomically; `change` takes std::optional<V>, nothing for no such key, and is
  /// called again if somebody else was faster. The new value.
  template <class F>
  V update(const K& key, F&& change) const {
    for (;;) {
      const std::optional<V> old = find(key);
      V changed = change(old);
      if (compare_and_set(key, old, changed)) return changed;
    }
  }
  std::size_t size() const { return call<std::size_t>("size"); }
  bool empty() const { return size() == 0; }
  void clear() const { call<void>("clear"); }
  std::vector<K> keys() const { return call<std::vector<K>>("keys"); }
  std::vector<V> values() const { return call<std::vector<V>>("values"); }
  std::vector<std::pair<K, V>> items() const { return call<std::vector<std::pair<K, V>>>("items"); }
  std::map<K, V> copy() const { return call<std::map<K, V>>("copy"); }

  /// One call per item; items() costs one for all. The step after keys have come or gone throws StateError.
  auto begin() const { return Steps<std::pair<K, V>, Cursor>(Cursor{.dict = *this}); }
  auto end() const { return Steps<std::pair<K, V>, Cursor>(); }

 private:
  struct Cursor {
    Dict dict;
    std::vector<K> last = {};
    std::int64_t changes = -1;
    std::optional<std::pair<K, V>> next() {
      using Step = std::tuple<std::int64_t, K, V>;
      std::optional<Step> step = first(dict.template call<std::vector<Step>>("next", last, changes));
      if (!step) return std::nullopt;
      changes = std::get<0>(*step);
      last = {std::get<1>(*step)};
      return std::pair<K, V>(std::get<1>(*step), std::get<2>(std::move(*step)));
    }
  };
  template <class T>
  static std::optional<T> first(std::vector<T> none_or_one) {
    return none_or_one.empty() ? std::nullopt : std::optional<T>(std::move(none_or_one.front()));
  }
  static std::vector<V> several(const std::optional<V>& value) {
    return value ? std::vector<V>{*value} : std::vector<V>();
  }
};

/// A list. Negative positions count from its end. Throws std::out_of_range for a position that it does not have.
template <class T = Object>
class List : public Proxy {
 public:
  using Proxy::Proxy;
  explicit List(const Proxy& proxy) : Proxy(proxy) {}

  T get(std::int64_t at) const { return call<T>("get", at); }
  void set(std::int64_t at, const T& item) const { call<void>("set", at, item); }
  void append(const T& item) const { call<void>("append", item); }
  void extend(const std::vector<T>& items) const { call<void>("extend", items); }
  /// Before the item at `at`; a position beyond either end is that end.
  void insert(std::int64_t at, const T& item) const { call<void>("insert", at, item); }
  void erase(std::int64_t at) const { call<void>("erase", at); }
  /// Takes one out, the last by default.
  T pop(std::int64_t at = -1) const { return call<T>("pop", at); }
  /// The first that equals `item`. Throw std::invalid_argument: there is none.
  void remove(const T& item) const { call<void>("remove", item); }
  std::size_t index(const T& item) const { return call<std::size_t>("index", item); }
  std::size_t count(const T& item) const { return call<std::size_t>("count", item); }
  bool contains(const T& item) const { return count(item) > 0; }
  /// Those at first, first + step, ... before `last`; what lies outside the list is left out.
  std::vector<T> slice(std::int64_t first, std::int64_t last, std::int64_t step = 1) const {
    return call<std::vector<T>>("slice", first, last, step);
  }
  /// Replaces those from `first` to before `last`.
  void set_slice(std::int64_t first, std::int64_t last, const std::vector<T>& items) const {
    call<void>("set_slice", first, last, items);
  }
  void reverse() const { call<void>("reverse"); }
  /// By Object's order.
  void sort() const { call<void>("sort"); }
  /// Makes it `times` times itself; 0 empties it.
  void repeat(std::int64_t times) const { call<void>("repeat", times); }
  std::size_t size() const { return call<std::size_t>("size"); }
  bool empty() const { return size() == 0; }
  void clear() const { call<void>("clear"); }
  std::vector<T> copy() const { return call<std::vector<T>>("copy"); }
  friend std::vector<T> operator+(const List& list, const std::vector<T>& more) {
    std::vector<T> sum = list.copy();
    sum.insert(sum.end(), more.begin(), more.end());
    return sum;
  }
  bool compare_and_set(std::int64_t at, const T& expected, const T& desired) const {
    return call<bool>("compare_and_set", at, expected, desired);
  }

  /// One call per item, by its position at that time; copy() costs one for all.
  auto begin() const { return Steps<T, Cursor>(Cursor{.list = *this}); }
  auto end() const { return Steps<T, Cursor>(); }

 private:
  struct Cursor {
    List list;
    std::int64_t at = 0;
    std::optional<T> next() {
      auto item = list.template call<std::vector<T>>("find", at++);
      return item.empty() ? std::nullopt : std::optional<T>(std::move(item.front()));
    }
  };
};

/// What a method that returns a Generator gives: stepped through once, one call per item.
template <class T = Object>
class Generated : public Proxy {
 public:
  using Proxy::Proxy;
  explicit Generated(const Proxy& proxy) : Proxy(proxy) {}
  /// Nothing: there are no more.
  std::optional<T> next() const {
    auto item = call<std::vector<T>>("next");
    return item.empty() ? std::nullopt : std::optional<T>(std::move(item.front()));
  }
  auto begin() const { return Steps<T, Generated>(*this); }
  auto end() const { return Steps<T, Generated>(); }
};

/// Attributes by name. Those whose name begins with _ are this proxy's and its copies' own, in this process.
class Namespace : public Proxy {
 public:
  using Proxy::Proxy;
  explicit Namespace(const Proxy& proxy) : Proxy(proxy) {}

  template <class T>
  void set(const std::string& name, const T& value) const {
    if (!is_private(name)) return call<void>("set", name, value);
    (*own_)[name] = decode<Object>(encode(value).view());
  }
  /// Throws std::out_of_range: there is none.
  template <class T = Object>
  T get(const std::string& name) const {
    if (!is_private(name)) return call<T>("get", name);
    return decode<T>(encode(own_->at(name)).view());
  }
  bool contains(const std::string& name) const {
    return is_private(name) ? own_->contains(name) : call<bool>("contains", name);
  }
  /// Throws std::out_of_range: there is none.
  void erase(const std::string& name) const {
    if (!is_private(name)) return call<void>("erase", name);
    if (own_->erase(name) == 0) throw std::out_of_range(name);
  }

 private:
  static bool is_private(const std::string& name) { return name.starts_with('_'); }

  std::shared_ptr<std::map<std::string, Object>> own_ = std::make_shared<std::map<std::string, Object>>();
};

/// One value of any type.
template <class T = Object>
class Value : public Proxy {
 public:
  using Proxy::Proxy;
  explicit Value(const Proxy& proxy) : Proxy(proxy) {}

  T get() const { return call<T>("get"); }
  void set(const T& value) const { call<void>("set", value); }
  bool compare_and_set(const T& expected, const T& desired) const {
    return call<bool>("compare_and_set", expected, desired);
  }
  /// Makes it `change(value)`, atomically; the new value.
  template <class F>
  T update(F&& change) const {
    for (;;) {
      const T old = get();
      T changed = change(old);
      if (compare_and_set(old, changed)) return changed;
    }
  }
};

/// A fixed number of numbers of one type. Throws std::out_of_range; std::invalid_argument for what is no such number.
template <class T>
  requires std::is_arithmetic_v<T>
class Array : public Proxy {
 public:
  using Proxy::Proxy;
  explicit Array(const Proxy& proxy) : Proxy(proxy) {}

  T get(std::int64_t at) const { return call<T>("get", at); }
  void set(std::int64_t at, T value) const { call<void>("set", at, value); }
  std::size_t size() const { return call<std::size_t>("size"); }
  std::vector<T> copy() const { return call<std::vector<T>>("copy"); }
  std::vector<T> slice(std::int64_t first, std::int64_t last, std::int64_t step = 1) const {
    return call<std::vector<T>>("slice", first, last, step);
  }
};

}  // namespace crucible::managed
