#include "boost_ipc/store_encoded.h"

#include "api/object.h"

namespace crucible::boost_ipc {
namespace {

unsigned first_byte(ByteView bytes) { return bytes.empty() ? 0xc1 : std::to_integer<unsigned>(bytes[0]); }

// How long a small number, text or piece of bytes is, which nearly all are that come; 0: another value.
std::size_t short_length(ByteView bytes) {
  constexpr unsigned kBin8 = 0xc4, kStr8 = 0xd9;
  const unsigned first = first_byte(bytes);
  if (first < 0x80 || first >= 0xe0) return 1;
  if (first >= 0xa0 && first < 0xc0) return 1 + (first & 0x1fU);
  if ((first == kBin8 || first == kStr8) && bytes.size() > 1) return 2 + std::to_integer<std::size_t>(bytes[1]);
  return 0;
}

// Takes the first value off `bytes`, and says where it lies.
ByteView take_value(ByteView& bytes) {
  std::size_t length = short_length(bytes);
  if (length == 0 || length > bytes.size()) {
    msgpack::null_visitor nobody;
    length = 0;
    if (!msgpack::parse(reinterpret_cast<const char*>(bytes.data()), bytes.size(), length, nobody)) {
      throw EncodingError("a request to a store is damaged");
    }
  }
  const ByteView value = bytes.first(length);
  bytes = bytes.subspan(length);
  return value;
}

// Bytes of a number, most significant first.
std::size_t number_of(ByteView bytes) {
  std::size_t number = 0;
  for (const std::byte byte : bytes) number = number << 8U | std::to_integer<std::size_t>(byte);
  return number;
}

}  // namespace

EncodedItems::EncodedItems(ByteView container) {
  const unsigned first = first_byte(container);
  const bool is_large = first >= 0xdc && first <= 0xdf;
  const bool is_dict = first >> 4U == 0x8 || first == 0xde || first == 0xdf;
  if (!is_large && !is_dict && first >> 4U != 0x9) throw std::invalid_argument("neither a list nor a dict");
  const std::size_t head = !is_large ? 1 : 1 + (std::size_t{2} << (first & 1U));
  size_ = is_large ? number_of(container.first(head).subspan(1)) : first & 0xfU;
  rest_ = container.subspan(head);
}

ByteView EncodedItems::next() { return take_value(rest_); }

ByteView canonical(ByteView key, Bytes& room) {
  constexpr unsigned kFloat32 = 0xca;
  const unsigned first = first_byte(key);
  // Dicts, lists, references: what their parts are is not looked at here.
  const bool has_parts = (first >= 0x80 && first <= 0x9f) || (first >= 0xc7 && first <= 0xc9) ||
                         (first >= 0xd4 && first <= 0xd8) || (first >= 0xdc && first <= 0xdf);
  if (!has_parts && first != kFloat32) return key;
  const Encoded encoded = encode(decode<Object>(key));
  room.assign(encoded.view().begin(), encoded.view().end());
  return room;
}

bool is_equal(ByteView one, ByteView other) {
  return characters(one) == characters(other) || decode<Object>(one) == decode<Object>(other);
}

bool KeyOrder::is_less(ByteView one, ByteView other) {
  const std::optional<std::string_view> text = text_in(one);
  const std::optional<std::string_view> other_text = text ? text_in(other) : std::nullopt;
  return other_text ? *text < *other_text : decode<Object>(one) < decode<Object>(other);
}

}  // namespace crucible::boost_ipc
