#include "api/connection.h"

namespace crucible {
namespace {

bool lies_within(std::ptrdiff_t part, std::size_t whole) {
  return part >= 0 && static_cast<std::size_t>(part) <= whole;
}

}  // namespace

Status Connection::send_descriptor(int /*descriptor*/, Deadline /*deadline*/) { return Status::kUnsupported; }

Status Connection::recv_descriptor(int& /*descriptor*/, Deadline /*deadline*/) { return Status::kUnsupported; }

int Connection::descriptor() const { throw_status(Status::kUnsupported, "descriptor"); }

Status Connection::send_slice(ByteView message, std::ptrdiff_t offset, std::optional<std::ptrdiff_t> size,
                              Deadline deadline) {
  if (!lies_within(offset, message.size())) return Status::kBadArgument;
  const ByteView rest = message.subspan(static_cast<std::size_t>(offset));
  if (!size) return send_bytes(rest, deadline);
  if (!lies_within(*size, rest.size())) return Status::kBadArgument;
  return send_bytes(rest.first(static_cast<std::size_t>(*size)), deadline);
}

Status Connection::recv_bytes_at(ByteSpan buffer, std::ptrdiff_t offset, std::size_t& received, Deadline deadline,
                                 Bytes* too_long) {
  if (!lies_within(offset, buffer.size())) return Status::kBadArgument;
  return recv_bytes_into(buffer.subspan(static_cast<std::size_t>(offset)), received, deadline, too_long);
}

}  // namespace crucible
