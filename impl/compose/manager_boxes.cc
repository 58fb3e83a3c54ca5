// namespace, value, array.
#include <cstdint>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>

#include "compose/manager_objects.h"
#include "compose/positions.h"

namespace crucible {
namespace {

class NamespaceObject final : public ServedObject {
 public:
  NamespaceObject() : ServedObject("namespace") {}

  void serve(const CallPointer& call) override {
    static const Handlers<NamespaceObject> handlers = {{"set", &NamespaceObject::set},
                                                       {"get", &NamespaceObject::get},
                                                       {"contains", &NamespaceObject::contains},
                                                       {"erase", &NamespaceObject::erase}};
    dispatch(*this, handlers, call);
  }
  bool heeds_deaths() const noexcept override { return false; }
  std::string text() const override { return Object(attributes_).to_string(); }

 private:
  Object::Dict::iterator require(const CallPointer& call) {
    const Object name = call->get<std::string>(0);
    const auto found = attributes_.find(name);
    if (found == attributes_.end()) throw std::out_of_range("no attribute " + name.to_string());
    return found;
  }
  void set(const CallPointer& call) {
    auto value = call->get<Object>(1);
    attributes_[call->get<std::string>(0)] = std::move(value);
    call->answer();
  }
  void get(const CallPointer& call) { call->answer(require(call)->second); }
  void contains(const CallPointer& call) { call->answer(attributes_.contains(call->get<std::string>(0))); }
  void erase(const CallPointer& call) {
    attributes_.erase(require(call));
    call->answer();
  }

  Object::Dict attributes_;
};

class ValueObject final : public ServedObject {
 public:
  explicit ValueObject(Object value) : ServedObject("value"), value_(std::move(value)) {}

  void serve(const CallPointer& call) override {
    static const Handlers<ValueObject> handlers = {
        {"get", &ValueObject::get}, {"set", &ValueObject::set}, {"compare_and_set", &ValueObject::compare_and_set}};
    dispatch(*this, handlers, call);
  }
  bool heeds_deaths() const noexcept override { return false; }
  std::string text() const override { return value_.to_string(); }

 private:
  void get(const CallPointer& call) { call->answer(value_); }
  void set(const CallPointer& call) {
    value_ = call->get<Object>(0);
    call->answer();
  }
  void compare_and_set(const CallPointer& call) {
    const bool is_as_expected = value_ == call->get<Object>(0);
    if (is_as_expected) value_ = call->get<Object>(1);
    call->answer(is_as_expected);
  }

  Object value_;
};

class ArrayObject final : public ServedObject {
 public:
  ArrayObject(bool holds_doubles, Object::List items)
      : ServedObject("array"), holds_doubles_(holds_doubles), items_(std::move(items)) {
    for (Object& item : items_) item = fitting(std::move(item));
  }

  void serve(const CallPointer& call) override {
    static const Handlers<ArrayObject> handlers = {{"get", &ArrayObject::get},
                                                   {"set", &ArrayObject::set},
                                                   {"size", &ArrayObject::size},
                                                   {"copy", &ArrayObject::copy},
                                                   {"slice", &ArrayObject::slice}};
    dispatch(*this, handlers, call);
  }
  bool heeds_deaths() const noexcept override { return false; }
  std::string text() const override { return Object(items_).to_string(); }

 private:
  Object fitting(Object item) const {
    if (holds_doubles_ && item.is_int()) return static_cast<double>(item.as_int());
    if (holds_doubles_ ? item.is_double() : item.is_int()) return item;
    throw std::invalid_argument(item.to_string() + " in an array of " + (holds_doubles_ ? "doubles" : "integers"));
  }
  void get(const CallPointer& call) { call->answer(items_[position(call->get<std::int64_t>(0), items_.size())]); }
  void set(const CallPointer& call) {
    const std::size_t at = position(call->get<std::int64_t>(0), items_.size());
    items_[at] = fitting(call->get<Object>(1));
    call->answer();
  }
  void size(const CallPointer& call) { call->answer(items_.size()); }
  void copy(const CallPointer& call) { call->answer(items_); }
  void slice(const CallPointer& call) {
    call->answer(slice_of(items_, call->get<std::int64_t>(0), call->get<std::int64_t>(1), call->get<std::int64_t>(2)));
  }

  const bool holds_doubles_;
  Object::List items_;
};

}  // namespace

MakeObject box_maker(std::string_view type) {
  static const std::unordered_map<std::string_view, MakeObject> makers = {
      {"namespace",
       [](const ServerCall&) -> std::unique_ptr<ServedObject> { return std::make_unique<NamespaceObject>(); }},
      {"value",
       [](const ServerCall& call) -> std::unique_ptr<ServedObject> {
         return std::make_unique<ValueObject>(call.get<Object>(1));
       }},
      {"array", [](const ServerCall& call) -> std::unique_ptr<ServedObject> {
         return std::make_unique<ArrayObject>(call.get<bool>(1), call.get<Object::List>(2));
       }}};
  const auto found = makers.find(type);
  return found == makers.end() ? nullptr : found->second;
}

}  // namespace crucible
