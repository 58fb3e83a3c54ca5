// Object: a value of any of the types that every language's MessagePack knows.
#pragma once

#include <compare>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "api/bytes.h"
#include "api/reference.h"

namespace crucible {

/// Null, bool, 64-bit integer, double, string, bytes, list or dict, nested at will, or a reference to a managed object.
/// A value: copies are deep, but for those of a reference, which are the same object. Integers compare by value
/// whatever their signedness; an integer never equals a double.
class Object {
 public:
  using List = std::vector<Object>;
  using Dict = std::map<Object, Object>;

  Object() noexcept = default;
  Object(std::nullptr_t) noexcept {}                        // NOLINT(google-explicit-constructor): values convert,
  Object(std::same_as<bool> auto value) : value_(value) {}  // NOLINT(google-explicit-constructor): as in a literal
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Object(T value) {  // NOLINT(google-explicit-constructor)
    if (std::in_range<std::int64_t>(value)) {
      value_ = static_cast<std::int64_t>(value);
    } else {
      value_ = static_cast<std::uint64_t>(value);
    }
  }
  Object(double value) : value_(value) {}                        // NOLINT(google-explicit-constructor)
  Object(const char* text) : value_(std::string(text)) {}        // NOLINT(google-explicit-constructor)
  Object(std::string_view text) : value_(std::string(text)) {}   // NOLINT(google-explicit-constructor)
  Object(std::string text) : value_(std::move(text)) {}          // NOLINT(google-explicit-constructor)
  Object(Bytes bytes) : value_(std::move(bytes)) {}              // NOLINT(google-explicit-constructor)
  Object(List list) : value_(std::move(list)) {}                 // NOLINT(google-explicit-constructor)
  Object(Dict dict) : value_(std::move(dict)) {}                 // NOLINT(google-explicit-constructor)
  Object(Reference reference) : value_(std::move(reference)) {}  // NOLINT(google-explicit-constructor)

  template <class... T>
  static Object list(T&&... items) {
    List list;
    list.reserve(sizeof...(items));
    (list.emplace_back(std::forward<T>(items)), ...);
    return list;
  }
  static Object dict(std::initializer_list<std::pair<const Object, Object>> items = {});

  bool is_null() const noexcept { return holds<std::nullptr_t>(); }
  bool is_bool() const noexcept { return holds<bool>(); }
  bool is_int() const noexcept { return holds<std::int64_t>() || holds<std::uint64_t>(); }
  bool is_double() const noexcept { return holds<double>(); }
  bool is_string() const noexcept { return holds<std::string>(); }
  bool is_bytes() const noexcept { return holds<Bytes>(); }
  bool is_list() const noexcept { return holds<List>(); }
  bool is_dict() const noexcept { return holds<Dict>(); }
  bool is_reference() const noexcept { return holds<Reference>(); }

  // The value as the type named; EncodingError if it is of another type or, for integers, out of range.
  bool as_bool() const;
  std::int64_t as_int() const;
  std::uint64_t as_uint() const;
  double as_double() const;
  const std::string& as_string() const;
  const Bytes& as_bytes() const;
  const List& as_list() const;
  List& as_list();
  const Dict& as_dict() const;
  Dict& as_dict();
  const Reference& as_reference() const;

  /// The item of a list, or the value of a dict's key; std::out_of_range if there is none.
  const Object& at(std::size_t index) const { return as_list().at(index); }
  const Object& at(const Object& key) const { return as_dict().at(key); }

  bool operator==(const Object& other) const { return (*this <=> other) == 0; }
  /// A total order: by type, then by value.
  std::strong_ordering operator<=>(const Object& other) const;

  /// As JSON writes it, bytes as b"..." with hexadecimal escapes, references as their type and number:
  /// `[42, null, "hello", <dict 7>]`.
  std::string to_string() const;

  using Value = std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, Bytes, List, Dict,
                             Reference>;
  const Value& value() const noexcept { return value_; }

 private:
  template <class T>
  bool holds() const noexcept {
    return std::holds_alternative<T>(value_);
  }

  Value value_ = nullptr;
};

}  // namespace crucible
