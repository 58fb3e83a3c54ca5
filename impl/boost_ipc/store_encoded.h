// Encoded containers and keys, as they come in requests to a store and lie in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <msgpack.hpp>
#include <optional>

#include "api/bytes.h"
#include "api/codec.h"
#include "boost_ipc/store_memory.h"

namespace crucible::boost_ipc {

/// The values in an encoded list, or the keys and values in an encoded dict, one after the other.
class EncodedItems {
 public:
  explicit EncodedItems(ByteView container);
  /// Of a dict: pairs.
  std::size_t size() const noexcept { return size_; }
  ByteView next();

 private:
  ByteView rest_;
  std::size_t size_ = 0;
};
/// None or one.
inline std::optional<ByteView> only_item(ByteView list) {
  EncodedItems items(list);
  return items.size() == 0 ? std::nullopt : std::optional(items.next());
}

/// The same bytes for all encodings of equal keys, in `room` if they are others.
ByteView canonical(ByteView key, Bytes& room);
/// Whether they encode equal Objects.
bool is_equal(ByteView one, ByteView other);

/// An encoded container, piece by piece.
class EncodedAnswer {
 public:
  void list(std::size_t count) { packer_.pack_array(static_cast<std::uint32_t>(count)); }
  void dict(std::size_t count) { packer_.pack_map(static_cast<std::uint32_t>(count)); }
  void add(ByteView value) { buffer_.write(reinterpret_cast<const char*>(value.data()), value.size()); }
  void add(const Text& value) { add(bytes_of(value)); }
  void add(std::int64_t number) { packer_.pack(number); }
  ByteView view() const noexcept { return {reinterpret_cast<const std::byte*>(buffer_.data()), buffer_.size()}; }

 private:
  EncodingBuffer buffer_;
  msgpack::packer<EncodingBuffer> packer_{buffer_};
};

}  // namespace crucible::boost_ipc
