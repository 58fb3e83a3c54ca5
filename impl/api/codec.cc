#include "api/codec.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <utility>

namespace crucible {
namespace {

// Walks a message without allocating: an array's claimed length costs nothing until its items have been seen.
class DepthCheck : public msgpack::null_visitor {
 public:
  bool start_array(std::uint32_t /*length*/) { return ++depth_ <= kMaxDepth; }
  bool end_array() {
    --depth_;
    return true;
  }
  bool start_map(std::uint32_t /*length*/) { return ++depth_ <= kMaxDepth; }
  bool end_map() {
    --depth_;
    return true;
  }
  void parse_error(std::size_t /*parsed*/, std::size_t /*at*/) { damaged_ = true; }
  void insufficient_bytes(std::size_t /*parsed*/, std::size_t /*at*/) { damaged_ = true; }
  bool damaged() const noexcept { return damaged_; }

 private:
  std::size_t depth_ = 0;
  bool damaged_ = false;
};

}  // namespace

bool is_well_formed(ByteView bytes) noexcept {
  DepthCheck check;
  std::size_t end = 0;
  return msgpack::parse(reinterpret_cast<const char*>(bytes.data()), bytes.size(), end, check) && !check.damaged() &&
         end == bytes.size();
}

msgpack::object_handle unpack_checked(ByteView bytes) {
  if (!is_well_formed(bytes)) {
    throw EncodingError("the message is damaged, incomplete, followed by other bytes or nested too deeply");
  }
  bool referenced = false;
  const auto refer = [](msgpack::type::object_type /*type*/, std::size_t /*size*/, void* /*user*/) { return true; };
  // The library's own first allocation is 8 KiB, which costs more than unpacking a small message.
  auto zone = std::make_unique<msgpack::zone>(std::clamp<std::size_t>(4 * bytes.size(), 256, MSGPACK_ZONE_CHUNK_SIZE));
  std::size_t end = 0;
  const msgpack::object object =
      msgpack::unpack(*zone, reinterpret_cast<const char*>(bytes.data()), bytes.size(), end, referenced, refer);
  return {object, std::move(zone)};
}

}  // namespace crucible

namespace msgpack {
MSGPACK_API_VERSION_NAMESPACE(v1) {
  template <>
  packer<crucible::EncodingBuffer>& packer<crucible::EncodingBuffer>::pack_float(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    char bytes[5] = {static_cast<char>(0xca)};
    _msgpack_store32(&bytes[1], bits);
    append_buffer(bytes, sizeof bytes);
    return *this;
  }
  template <>
  packer<crucible::EncodingBuffer>& packer<crucible::EncodingBuffer>::pack_double(double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    char bytes[9] = {static_cast<char>(0xcb)};
    _msgpack_store64(&bytes[1], bits);
    append_buffer(bytes, sizeof bytes);
    return *this;
  }
}

MSGPACK_API_VERSION_NAMESPACE(MSGPACK_DEFAULT_API_NS) {
  namespace adaptor {

  const msgpack::object& convert<crucible::Reference>::operator()(const msgpack::object& in,
                                                                  crucible::Reference& reference) const {
    if (in.type != msgpack::type::EXT) throw msgpack::type_error();
    if (in.via.ext.type() != crucible::kReferenceType) {
      throw crucible::EncodingError("MessagePack extension types other than references are not used here");
    }
    reference = crucible::read_reference({reinterpret_cast<const std::byte*>(in.via.ext.data()), in.via.ext.size});
    return in;
  }

  const msgpack::object& convert<crucible::Object>::operator()(const msgpack::object& in,
                                                               crucible::Object& object) const {
    switch (in.type) {
      case msgpack::type::NIL: object = nullptr; break;
      case msgpack::type::BOOLEAN: object = in.via.boolean; break;
      case msgpack::type::POSITIVE_INTEGER: object = in.via.u64; break;
      case msgpack::type::NEGATIVE_INTEGER: object = in.via.i64; break;
      case msgpack::type::FLOAT32:
      case msgpack::type::FLOAT64: object = in.via.f64; break;
      case msgpack::type::STR: object = std::string(in.via.str.ptr, in.via.str.size); break;
      case msgpack::type::BIN: object = in.as<crucible::Bytes>(); break;
      case msgpack::type::ARRAY: object = in.as<crucible::Object::List>(); break;
      case msgpack::type::MAP: object = in.as<crucible::Object::Dict>(); break;
      case msgpack::type::EXT: object = in.as<crucible::Reference>(); break;
    }
    return in;
  }

  }  // namespace adaptor
}
}  // namespace msgpack
