// Reads the most frequent values out of MessagePack without a tree of objects: numbers, texts, bytes, and tuples and
// lists of such. The format: https://github.com/msgpack/msgpack/blob/master/spec.md
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "api/bytes.h"

namespace crucible {

template <class T>
inline constexpr bool kIsPlain = std::is_arithmetic_v<T> || std::is_same_v<T, std::nullptr_t> ||
                                 std::is_same_v<T, std::string> || std::is_same_v<T, Bytes>;
template <class... T>
inline constexpr bool kIsPlain<std::tuple<T...>> = std::conjunction_v<std::bool_constant<kIsPlain<T>>...>;
template <class T>
  requires(sizeof(T) > 1)  // lists of bytes and characters are bytes
inline constexpr bool kIsPlain<std::vector<T>> = kIsPlain<T>;

/// Reads one value behind the other. It is strict where the codec is not: false says only that the codec should look.
class PlainReader {
 public:
  explicit PlainReader(ByteView bytes) noexcept : rest_(bytes) {}
  bool is_at_end() const noexcept { return rest_.empty(); }

  /// False: something else is there, or less; `value` and the place are undefined then.
  template <class T>
    requires kIsPlain<T>
  bool read(T& value) {
    if constexpr (std::is_same_v<T, std::nullptr_t>) {
      return take_first() == kNil;
    } else if constexpr (std::is_same_v<T, bool>) {
      const unsigned first = take_first();
      value = first == kTrue;
      return value || first == kFalse;
    } else if constexpr (std::integral<T>) {
      return read_integer(value);
    } else if constexpr (std::floating_point<T>) {
      return read_floating(value);
    } else if constexpr (std::is_same_v<T, std::string>) {
      const std::optional<std::string_view> text = take_text();
      if (text) value = *text;
      return text.has_value();
    } else if constexpr (std::is_same_v<T, Bytes>) {
      const std::optional<ByteView> bytes = take(take_length(kNone, 0, kBin8, 1));
      if (bytes) value.assign(bytes->begin(), bytes->end());
      return bytes.has_value();
    } else {
      return read_parts(value);
    }
  }
  /// A text, where it lies.
  std::optional<std::string_view> take_text() noexcept {
    const std::optional<ByteView> bytes = take(take_length(kFixStr, kMostFixedStr, kStr8, 1));
    if (!bytes) return std::nullopt;
    return std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  }

 private:
  // First bytes.
  static constexpr unsigned kFixArray = 0x90, kMostFixedArray = 15, kFixStr = 0xa0, kMostFixedStr = 31, kNil = 0xc0,
                            kFalse = 0xc2, kTrue = 0xc3, kBin8 = 0xc4, kFloat32 = 0xca, kFloat64 = 0xcb, kUint8 = 0xcc,
                            kInt8 = 0xd0, kStr8 = 0xd9, kArray16 = 0xdc, kFirstNegative = 0xe0, kNone = 0x100;

  unsigned take_first() noexcept {
    if (rest_.empty()) return kNone;
    const auto first = std::to_integer<unsigned>(rest_.front());
    rest_ = rest_.subspan(1);
    return first;
  }
  /// So many bytes, most significant first.
  std::optional<std::uint64_t> take_digits(std::size_t count) noexcept {
    if (rest_.size() < count) return std::nullopt;
    std::uint64_t number = 0;
    for (const std::byte digit : rest_.first(count)) number = number << 8U | std::to_integer<std::uint64_t>(digit);
    rest_ = rest_.subspan(count);
    return number;
  }
  /// Of what begins with `fixed` and up to `most_fixed` more, or with `wide` and then 1, 2 or 4 digits; `digits` are
  /// the fewest.
  std::optional<std::size_t> take_length(unsigned fixed, unsigned most_fixed, unsigned wide,
                                         std::size_t digits) noexcept {
    const unsigned first = take_first();
    if (first - fixed <= most_fixed && first != kNone) return first - fixed;
    if (first < wide) return std::nullopt;
    const std::size_t count = digits << (first - wide);
    return count <= 4 ? take_digits(count) : std::nullopt;
  }

  std::optional<ByteView> take(std::optional<std::size_t> length) noexcept {
    if (!length || *length > rest_.size()) return std::nullopt;
    const ByteView taken = rest_.first(*length);
    rest_ = rest_.subspan(*length);
    return taken;
  }

  template <class T>
  bool read_integer(T& value) noexcept {
    const unsigned first = take_first();
    if (first < 0x80) return narrow(std::uint64_t{first}, value);
    if (first == kNone) return false;
    if (first >= kFirstNegative) return narrow(static_cast<std::int64_t>(first) - 0x100, value);
    if (first - kUint8 <= 3) {
      const std::optional<std::uint64_t> number = take_digits(std::size_t{1} << (first - kUint8));
      return number && narrow(*number, value);
    }
    if (first - kInt8 > 3) return false;
    const std::size_t count = std::size_t{1} << (first - kInt8);
    const std::optional<std::uint64_t> number = take_digits(count);
    if (!number) return false;
    const auto unused = static_cast<unsigned>(64 - 8 * count);
    return narrow(static_cast<std::int64_t>(*number << unused) >> unused, value);  // with its sign
  }
  template <class T>
  static bool is_negative([[maybe_unused]] T number) noexcept {
    if constexpr (std::is_signed_v<T>) {
      return number < T{};
    } else {
      return false;
    }
  }
  template <class From, class T>
  static bool narrow(From number, T& value) noexcept {
    value = static_cast<T>(number);
    return static_cast<From>(value) == number && is_negative(value) == is_negative(number);
  }

  template <class T>
  bool read_floating(T& value) noexcept {
    const unsigned first = take_first();
    if (first == kFloat32) {
      const std::optional<std::uint64_t> bits = take_digits(4);
      if (bits) value = static_cast<T>(std::bit_cast<float>(static_cast<std::uint32_t>(*bits)));
      return bits.has_value();
    }
    if (first != kFloat64 || sizeof(T) < sizeof(double)) return false;
    const std::optional<std::uint64_t> bits = take_digits(8);
    if (bits) value = static_cast<T>(std::bit_cast<double>(*bits));
    return bits.has_value();
  }

  template <class... T>
  bool read_parts(std::tuple<T...>& parts) {
    const std::optional<std::size_t> count = take_length(kFixArray, kMostFixedArray, kArray16, 2);
    return count == sizeof...(T) && std::apply([this](T&... part) { return (read(part) && ...); }, parts);
  }
  template <class T>
  bool read_parts(std::vector<T>& parts) {
    const std::optional<std::size_t> count = take_length(kFixArray, kMostFixedArray, kArray16, 2);
    if (!count || *count > rest_.size()) return false;  // each has a byte at least: no claim allocates more
    parts.resize(*count);
    for (T& part : parts) {
      if (!read(part)) return false;
    }
    return true;
  }

  ByteView rest_;
};

/// What an encoded text holds, where it lies; nothing for any other value, or a damaged one.
inline std::optional<std::string_view> text_in(ByteView bytes) noexcept {
  PlainReader reader(bytes);
  const std::optional<std::string_view> text = reader.take_text();
  return reader.is_at_end() ? text : std::nullopt;
}

}  // namespace crucible
