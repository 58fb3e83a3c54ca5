#include "api/object.h"

#include <charconv>
#include <cstdio>
#include <iterator>

#include "api/status.h"

namespace crucible {
namespace {

template <class T, class Value>
auto& get_or_throw(Value& value, const char* type) {
  auto* held = std::get_if<T>(&value);
  if (held == nullptr) throw EncodingError(std::string("the object is no ") + type);
  return *held;
}

void append_escaped(std::string& out, std::string_view text, bool escape_high) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || (escape_high && byte >= 0x7f)) {
      char escape[8];
      std::snprintf(escape, sizeof escape, escape_high ? "\\x%02x" : "\\u%04x", byte);
      out += escape;
    } else {
      out += c;
    }
  }
  out += '"';
}

// The shortest digits that read back as the same value, and never those of an integer.
std::string shortest(double value) {
  char digits[32];
  const auto result = std::to_chars(std::begin(digits), std::end(digits), value);
  std::string text(std::begin(digits), result.ptr);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

struct Printer {
  std::string& out;

  void operator()(std::nullptr_t) const { out += "null"; }
  void operator()(bool value) const { out += value ? "true" : "false"; }
  void operator()(std::int64_t value) const { out += std::to_string(value); }
  void operator()(std::uint64_t value) const { out += std::to_string(value); }
  void operator()(double value) const { out += shortest(value); }
  void operator()(const std::string& text) const { append_escaped(out, text, false); }
  void operator()(const Bytes& bytes) const {
    out += 'b';
    append_escaped(out, as_text(bytes), true);
  }
  void operator()(const Reference& reference) const {
    out += '<' + reference.type() + ' ' + std::to_string(reference.name().number) + '>';
  }
  void operator()(const Object::List& list) const {
    out += '[';
    const char* separator = "";
    for (const Object& item : list) {
      out += separator;
      std::visit(*this, item.value());
      separator = ", ";
    }
    out += ']';
  }
  void operator()(const Object::Dict& dict) const {
    out += '{';
    const char* separator = "";
    for (const auto& [key, item] : dict) {
      out += separator;
      std::visit(*this, key.value());
      out += ": ";
      std::visit(*this, item.value());
      separator = ", ";
    }
    out += '}';
  }
};

}  // namespace

Object Object::dict(std::initializer_list<std::pair<const Object, Object>> items) { return Dict(items); }

bool Object::as_bool() const { return get_or_throw<bool>(value_, "bool"); }

std::int64_t Object::as_int() const {
  if (holds<std::uint64_t>()) throw EncodingError("the integer is out of range");
  return get_or_throw<std::int64_t>(value_, "integer");
}

std::uint64_t Object::as_uint() const {
  if (const auto* large = std::get_if<std::uint64_t>(&value_)) return *large;
  const auto value = get_or_throw<std::int64_t>(value_, "integer");
  if (value < 0) throw EncodingError("the integer is out of range");
  return static_cast<std::uint64_t>(value);
}

double Object::as_double() const { return get_or_throw<double>(value_, "double"); }
const std::string& Object::as_string() const { return get_or_throw<std::string>(value_, "string"); }
const Bytes& Object::as_bytes() const { return get_or_throw<Bytes>(value_, "byte string"); }
const Object::List& Object::as_list() const { return get_or_throw<List>(value_, "list"); }
Object::List& Object::as_list() { return get_or_throw<List>(value_, "list"); }
const Object::Dict& Object::as_dict() const { return get_or_throw<Dict>(value_, "dict"); }
const Reference& Object::as_reference() const { return get_or_throw<Reference>(value_, "reference"); }
Object::Dict& Object::as_dict() { return get_or_throw<Dict>(value_, "dict"); }

std::strong_ordering Object::operator<=>(const Object& other) const {
  if (value_.index() != other.value_.index()) return value_.index() <=> other.value_.index();
  // What keys mostly are.
  if (const auto* const text = std::get_if<std::string>(&value_))
    return *text <=> *std::get_if<std::string>(&other.value_);
  return std::visit(
      [&other]<class T>(const T& mine) -> std::strong_ordering {
        const T& theirs = *std::get_if<T>(&other.value_);
        if constexpr (std::is_same_v<T, std::nullptr_t>) {
          return std::strong_ordering::equal;
        } else if constexpr (std::is_same_v<T, double>) {
          // Zeros of either sign are one value; the total order is for the rest, NaN among it.
          return mine == theirs ? std::strong_ordering::equal : std::strong_order(mine, theirs);
        } else {
          return mine <=> theirs;
        }
      },
      value_);
}

std::string Object::to_string() const {
  std::string out;
  std::visit(Printer{out}, value_);
  return out;
}

}  // namespace crucible
