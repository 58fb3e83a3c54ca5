// dict, list.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "compose/manager_objects.h"
#include "compose/positions.h"

namespace crucible {
namespace {

constexpr std::size_t kMostItems = std::size_t{1} << 27U;  // that repeat() makes

[[noreturn]] void throw_no_key(const Object& key) { throw std::out_of_range("no key " + key.to_string()); }

class DictObject final : public ServedObject {
 public:
  explicit DictObject(Object::Dict items) : ServedObject("dict"), items_(std::move(items)) {}

  void serve(const CallPointer& call) override {
    static const Handlers<DictObject> handlers = {
        {"set", &DictObject::set},           {"get", &DictObject::get},
        {"find", &DictObject::find},         {"contains", &DictObject::contains},
        {"erase", &DictObject::erase},       {"pop", &DictObject::pop},
        {"pop_item", &DictObject::pop_item}, {"set_default", &DictObject::set_default},
        {"update", &DictObject::update},     {"compare_and_set", &DictObject::compare_and_set},
        {"size", &DictObject::size},         {"clear", &DictObject::clear},
        {"keys", &DictObject::keys},         {"values", &DictObject::values},
        {"items", &DictObject::list_items},  {"copy", &DictObject::copy},
        {"next", &DictObject::next}};
    dispatch(*this, handlers, call);
  }
  bool heeds_deaths() const noexcept override { return false; }
  std::string text() const override { return Object(items_).to_string(); }

 private:
  Object::Dict::iterator require(const Object& key) {
    const auto found = items_.find(key);
    if (found == items_.end()) throw_no_key(key);
    return found;
  }
  void put(Object key, Object value) {
    const auto [place, is_new] = items_.try_emplace(std::move(key), Object());
    place->second = std::move(value);
    if (is_new) ++changes_;
  }
  Object take(Object::Dict::iterator at) {
    Object value = std::move(at->second);
    items_.erase(at);
    ++changes_;
    return value;
  }

  void set(const CallPointer& call) {
    put(call->get<Object>(0), call->get<Object>(1));
    call->answer();
  }
  void get(const CallPointer& call) { call->answer(require(call->get<Object>(0))->second); }
  void find(const CallPointer& call) {
    const auto found = items_.find(call->get<Object>(0));
    call->answer(found == items_.end() ? Object::List() : Object::List{found->second});
  }
  void contains(const CallPointer& call) { call->answer(items_.contains(call->get<Object>(0))); }
  void erase(const CallPointer& call) {
    const bool was_there = items_.erase(call->get<Object>(0)) != 0;
    if (was_there) ++changes_;
    call->answer(was_there);
  }
  void pop(const CallPointer& call) { call->answer(take(require(call->get<Object>(0)))); }
  void pop_item(const CallPointer& call) {
    if (items_.empty()) throw std::out_of_range("an empty dict");
    Object key = items_.begin()->first;
    Object value = take(items_.begin());
    call->answer(std::pair(std::move(key), std::move(value)));
  }
  void set_default(const CallPointer& call) {
    const auto [place, is_new] = items_.try_emplace(call->get<Object>(0), call->get<Object>(1));
    if (is_new) ++changes_;
    call->answer(place->second);
  }
  void update(const CallPointer& call) {
    auto more = call->get<Object::Dict>(0);
    for (auto& [key, value] : more) {  // of those that are there already; the others change place and cannot fail
      if (const auto found = items_.find(key); found != items_.end()) found->second = std::move(value);
    }
    const std::size_t before = items_.size();
    items_.merge(more);
    if (items_.size() != before) ++changes_;
    call->answer();
  }
  void compare_and_set(const CallPointer& call) {
    const auto key = call->get<Object>(0);
    const auto expected = call->get<Object::List>(1);
    auto desired = call->get<Object::List>(2);
    const auto found = items_.find(key);
    const bool is_as_expected =
        found == items_.end() ? expected.empty() : !expected.empty() && found->second == expected.front();
    if (is_as_expected && !desired.empty()) {
      put(key, std::move(desired.front()));
    } else if (is_as_expected && found != items_.end()) {
      (void)take(found);
    }
    call->answer(is_as_expected);
  }
  void size(const CallPointer& call) { call->answer(items_.size()); }
  void clear(const CallPointer& call) {
    if (!items_.empty()) ++changes_;
    items_.clear();
    call->answer();
  }
  void keys(const CallPointer& call) {
    Object::List keys;
    for (const auto& [key, value] : items_) keys.push_back(key);
    call->answer(keys);
  }
  void values(const CallPointer& call) {
    Object::List values;
    for (const auto& [key, value] : items_) values.push_back(value);
    call->answer(values);
  }
  void list_items(const CallPointer& call) {
    std::vector<std::pair<Object, Object>> items(items_.begin(), items_.end());
    call->answer(items);
  }
  void copy(const CallPointer& call) { call->answer(items_); }
  void next(const CallPointer& call) {
    const auto last = call->get<Object::List>(0);
    const auto changes = call->get<std::int64_t>(1);
    if (changes >= 0 && changes != changes_) throw StateError("keys came or went in the middle of an iteration");
    const auto at = last.empty() ? items_.begin() : items_.upper_bound(last.front());
    std::vector<std::tuple<std::int64_t, Object, Object>> step;
    if (at != items_.end()) step.emplace_back(changes_, at->first, at->second);
    call->answer(step);
  }

  Object::Dict items_;
  std::int64_t changes_ = 0;  // of the keys
};

class ListObject final : public ServedObject {
 public:
  explicit ListObject(Object::List items) : ServedObject("list"), items_(std::move(items)) {}

  void serve(const CallPointer& call) override {
    static const Handlers<ListObject> handlers = {{"get", &ListObject::get},
                                                  {"find", &ListObject::find},
                                                  {"set", &ListObject::set},
                                                  {"append", &ListObject::append},
                                                  {"extend", &ListObject::extend},
                                                  {"insert", &ListObject::insert},
                                                  {"erase", &ListObject::erase},
                                                  {"pop", &ListObject::pop},
                                                  {"remove", &ListObject::remove},
                                                  {"index", &ListObject::index},
                                                  {"count", &ListObject::count},
                                                  {"slice", &ListObject::slice},
                                                  {"set_slice", &ListObject::set_slice},
                                                  {"reverse", &ListObject::reverse},
                                                  {"sort", &ListObject::sort},
                                                  {"repeat", &ListObject::repeat},
                                                  {"size", &ListObject::size},
                                                  {"clear", &ListObject::clear},
                                                  {"copy", &ListObject::copy},
                                                  {"compare_and_set", &ListObject::compare_and_set}};
    dispatch(*this, handlers, call);
  }
  bool heeds_deaths() const noexcept override { return false; }
  std::string text() const override { return Object(items_).to_string(); }

 private:
  using Place = Object::List::iterator;
  Object& at(std::int64_t at) { return items_[position(at, items_.size())]; }
  Place place(std::size_t at) { return items_.begin() + static_cast<std::ptrdiff_t>(at); }
  Place require(const Object& item) {
    const auto found = std::ranges::find(items_, item);
    if (found == items_.end()) throw std::invalid_argument("no item " + item.to_string());
    return found;
  }
  // Room first: what follows cannot fail.
  void make_room(std::size_t count) {
    if (items_.capacity() - items_.size() < count) items_.reserve(std::max(2 * items_.size(), items_.size() + count));
  }

  void get(const CallPointer& call) { call->answer(at(call->get<std::int64_t>(0))); }
  void find(const CallPointer& call) {
    const auto index = call->get<std::size_t>(0);
    call->answer(index < items_.size() ? Object::List{items_[index]} : Object::List());
  }
  void set(const CallPointer& call) {
    auto item = call->get<Object>(1);
    at(call->get<std::int64_t>(0)) = std::move(item);
    call->answer();
  }
  void append(const CallPointer& call) {
    items_.push_back(call->get<Object>(0));
    call->answer();
  }
  void extend(const CallPointer& call) {
    auto more = call->get<Object::List>(0);
    make_room(more.size());
    std::ranges::move(more, std::back_inserter(items_));
    call->answer();
  }
  void insert(const CallPointer& call) {
    auto item = call->get<Object>(1);
    make_room(1);
    items_.insert(place(boundary(call->get<std::int64_t>(0), items_.size())), std::move(item));
    call->answer();
  }
  void erase(const CallPointer& call) {
    items_.erase(place(position(call->get<std::int64_t>(0), items_.size())));
    call->answer();
  }
  void pop(const CallPointer& call) {
    const std::size_t index = position(call->get<std::int64_t>(0), items_.size());
    const Object item = std::move(items_[index]);
    items_.erase(place(index));
    call->answer(item);
  }
  void remove(const CallPointer& call) {
    items_.erase(require(call->get<Object>(0)));
    call->answer();
  }
  void index(const CallPointer& call) { call->answer(require(call->get<Object>(0)) - items_.begin()); }
  void count(const CallPointer& call) { call->answer(std::ranges::count(items_, call->get<Object>(0))); }
  void slice(const CallPointer& call) {
    call->answer(slice_of(items_, call->get<std::int64_t>(0), call->get<std::int64_t>(1), call->get<std::int64_t>(2)));
  }
  void set_slice(const CallPointer& call) {
    const std::size_t first = boundary(call->get<std::int64_t>(0), items_.size());
    const std::size_t last = std::max(first, boundary(call->get<std::int64_t>(1), items_.size()));
    auto more = call->get<Object::List>(2);
    make_room(more.size());
    items_.erase(place(first), place(last));
    items_.insert(place(first), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
    call->answer();
  }
  void reverse(const CallPointer& call) {
    std::ranges::reverse(items_);
    call->answer();
  }
  void sort(const CallPointer& call) {
    std::ranges::stable_sort(items_);
    call->answer();
  }
  void repeat(const CallPointer& call) {
    const auto times = std::max<std::int64_t>(call->get<std::int64_t>(0), 0);
    const std::size_t size = items_.size();
    if (size > 0 && static_cast<std::size_t>(times) > kMostItems / size) throw std::length_error("too many items");
    Object::List repeated;
    repeated.reserve(size * static_cast<std::size_t>(times));
    for (std::int64_t i = 0; i < times; ++i) repeated.insert(repeated.end(), items_.begin(), items_.end());
    items_ = std::move(repeated);
    call->answer();
  }
  void size(const CallPointer& call) { call->answer(items_.size()); }
  void clear(const CallPointer& call) {
    items_.clear();
    call->answer();
  }
  void copy(const CallPointer& call) { call->answer(items_); }
  void compare_and_set(const CallPointer& call) {
    Object& item = at(call->get<std::int64_t>(0));
    const bool is_as_expected = item == call->get<Object>(1);
    if (is_as_expected) item = call->get<Object>(2);
    call->answer(is_as_expected);
  }

  Object::List items_;
};

}  // namespace

MakeObject container_maker(std::string_view type) {
  static const std::unordered_map<std::string_view, MakeObject> makers = {
      {"dict",
       [](const ServerCall& call) -> std::unique_ptr<ServedObject> {
         return std::make_unique<DictObject>(call.get<Object::Dict>(1));
       }},
      {"list", [](const ServerCall& call) -> std::unique_ptr<ServedObject> {
         return std::make_unique<ListObject>(call.get<Object::List>(1));
       }}};
  const auto found = makers.find(type);
  return found == makers.end() ? nullptr : found->second;
}

}  // namespace crucible
