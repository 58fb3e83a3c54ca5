// The codec: any C++ value as MessagePack and back, safely whatever the bytes are.
//
// Scalars, strings, std containers, tuple, pair, optional, variant (as [index, value]), std::vector<std::byte> (as
// bytes), Object, references to managed objects (as an extension of type 67; no other extension is read), and user
// structs that name their fields with msgpack-cxx's own macro:
//   struct Point { int x, y; MSGPACK_DEFINE(x, y); };
// The format: https://github.com/msgpack/msgpack/blob/master/spec.md
#pragma once

#include <cstddef>
#include <limits>
#include <msgpack.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "api/bytes.h"
#include "api/codec_plain.h"
#include "api/object.h"
#include "api/status.h"

namespace crucible {

/// Lists and dicts may be nested this deep; deeper values are refused on both sides.
inline constexpr std::size_t kMaxDepth = 128;

/// What values are packed into; a type of its own, since a packer for it keeps floating point as it is (below).
class EncodingBuffer : public msgpack::sbuffer {
 public:
  using msgpack::sbuffer::sbuffer;
};

/// An encoded value.
class Encoded {
 public:
  explicit Encoded(EncodingBuffer&& buffer) noexcept : buffer_(std::move(buffer)) {}
  ByteView view() const noexcept { return {reinterpret_cast<const std::byte*>(buffer_.data()), buffer_.size()}; }

 private:
  EncodingBuffer buffer_;
};

/// Whether `bytes` are exactly one complete value, nested at most kMaxDepth deep. Allocates nothing.
bool is_well_formed(ByteView bytes) noexcept;

/// Whether values of T are surely not nested too deeply: they have no parts, or these have none.
template <class T>
inline constexpr bool kIsShallow = std::is_arithmetic_v<T> || std::is_null_pointer_v<T> ||
                                   std::is_convertible_v<T, std::string_view> || std::is_same_v<T, Bytes>;
template <class... T>
inline constexpr bool kIsShallow<std::tuple<T...>> =
    std::conjunction_v<std::bool_constant<kIsShallow<std::remove_cvref_t<T>>>...>;

/// Throws EncodingError for what MessagePack cannot hold: nested too deeply, a string of 4 GiB or more.
template <class T>
Encoded encode(const T& value) {
  constexpr std::size_t kFirstAllocation = 256;
  EncodingBuffer buffer(kFirstAllocation);
  try {
    msgpack::pack(buffer, value);
  } catch (const msgpack::container_size_overflow& error) {
    throw EncodingError(error.what());
  }
  Encoded encoded(std::move(buffer));
  if constexpr (!kIsShallow<T>) {
    if (!is_well_formed(encoded.view())) throw EncodingError("the value is nested too deeply");
  }
  return encoded;
}

/// Unpacks bytes that were checked first: they are exactly one complete value, nested at most kMaxDepth deep, so that
/// memory stays within a constant times their number. EncodingError otherwise. The handle refers into `bytes`.
msgpack::object_handle unpack_checked(ByteView bytes);

/// The T that `bytes` encode; EncodingError if they are damaged, incomplete, followed by more, or another type.
template <class T>
T decode(ByteView bytes) {
  if constexpr (kIsPlain<T>) {
    PlainReader reader(bytes);
    T value{};
    if (reader.read(value) && reader.is_at_end()) return value;
  }
  const msgpack::object_handle handle = unpack_checked(bytes);
  try {
    T value{};  // fields that the message lacks keep their defaults
    handle.get().convert(value);
    return value;
  } catch (const msgpack::type_error&) {
    throw EncodingError("the message holds another type than the one asked for");
  }
}

}  // namespace crucible

namespace msgpack {
// msgpack-cxx packs floating-point numbers of integral value as integers; here a double stays a double.
MSGPACK_API_VERSION_NAMESPACE(v1) {
  template <>
  packer<crucible::EncodingBuffer>& packer<crucible::EncodingBuffer>::pack_float(float value);
  template <>
  packer<crucible::EncodingBuffer>& packer<crucible::EncodingBuffer>::pack_double(double value);
}

MSGPACK_API_VERSION_NAMESPACE(MSGPACK_DEFAULT_API_NS) {
  namespace adaptor {

  template <>
  struct pack<std::nullptr_t> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, std::nullptr_t) const {
      return out.pack_nil();
    }
  };

  template <>
  struct convert<std::nullptr_t> {
    const msgpack::object& operator()(const msgpack::object& in, std::nullptr_t&) const {
      if (!in.is_nil()) throw msgpack::type_error();
      return in;
    }
  };

  template <class... T>
  struct pack<std::variant<T...>> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const std::variant<T...>& value) const {
      if (value.valueless_by_exception()) throw crucible::EncodingError("a valueless variant cannot be encoded");
      out.pack_array(2);
      out.pack_uint64(value.index());
      std::visit([&out](const auto& held) { out.pack(held); }, value);
      return out;
    }
  };

  template <class... T>
  struct convert<std::variant<T...>> {
    const msgpack::object& operator()(const msgpack::object& in, std::variant<T...>& value) const {
      if (in.type != msgpack::type::ARRAY || in.via.array.size != 2) throw msgpack::type_error();
      take(in.via.array.ptr[0].as<std::size_t>(), in.via.array.ptr[1], value, std::index_sequence_for<T...>());
      return in;
    }

   private:
    template <std::size_t... kIndex>
    static void take(std::size_t index, const msgpack::object& in, std::variant<T...>& value,
                     std::index_sequence<kIndex...> /*unused*/) {
      const bool known = ((index == kIndex && (value.template emplace<kIndex>(in.as<T>()), true)) || ...);
      if (!known) throw msgpack::type_error();
    }
  };

  template <>
  struct pack<crucible::Reference> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const crucible::Reference& reference) const {
      const crucible::Bytes bytes = crucible::write_reference(reference);
      out.pack_ext(bytes.size(), crucible::kReferenceType);
      return out.pack_ext_body(reinterpret_cast<const char*>(bytes.data()), static_cast<std::uint32_t>(bytes.size()));
    }
  };

  template <>
  struct convert<crucible::Reference> {
    const msgpack::object& operator()(const msgpack::object& in, crucible::Reference& reference) const;
  };

  template <>
  struct pack<crucible::Object> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const crucible::Object& object, std::size_t depth = 0) const {
      std::visit(
          [&]<class T>(const T& value) {
            constexpr bool kNests =
                std::is_same_v<T, crucible::Object::List> || std::is_same_v<T, crucible::Object::Dict>;
            if (kNests && depth >= crucible::kMaxDepth) throw crucible::EncodingError("an object is nested too deeply");
            if constexpr (std::is_same_v<T, crucible::Object::List>) {
              out.pack_array(checked(value.size()));
              for (const auto& item : value) (*this)(out, item, depth + 1);
            } else if constexpr (std::is_same_v<T, crucible::Object::Dict>) {
              out.pack_map(checked(value.size()));
              for (const auto& [key, item] : value) {
                (*this)(out, key, depth + 1);
                (*this)(out, item, depth + 1);
              }
            } else {
              out.pack(value);
            }
          },
          object.value());
      return out;
    }

   private:
    static std::uint32_t checked(std::size_t size) {
      if (size > std::numeric_limits<std::uint32_t>::max()) throw crucible::EncodingError("a container is too large");
      return static_cast<std::uint32_t>(size);
    }
  };

  template <>
  struct convert<crucible::Object> {
    const msgpack::object& operator()(const msgpack::object& in, crucible::Object& object) const;
  };

  }  // namespace adaptor
}
}  // namespace msgpack
