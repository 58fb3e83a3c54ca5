#include "api/connection.h"

#include <unistd.h>

namespace crucible {
namespace {

bool lies_within(std::ptrdiff_t part, std::size_t whole) {
  return part >= 0 && static_cast<std::size_t>(part) <= whole;
}

}  // namespace

Status Connection::reserve(std::size_t /*size*/, ByteSpan& /*room*/, Deadline /*deadline*/) {
  return Status::kUnsupported;
}

Status Connection::commit(std::size_t /*size*/) { return Status::kUnsupported; }

Status Connection::peek(ByteView& /*message*/, Deadline /*deadline*/) { return Status::kUnsupported; }

Status Connection::release() { return Status::kUnsupported; }

Status Connection::send_descriptors(std::span<const int> /*descriptors*/, ByteView /*message*/, Deadline /*deadline*/) {
  return Status::kUnsupported;
}

Status Connection::recv_descriptors(std::vector<int>& /*descriptors*/, Bytes& /*message*/, Deadline /*deadline*/) {
  return Status::kUnsupported;
}

Status Connection::recv_descriptor(int& descriptor, Deadline deadline) {
  std::vector<int> received;
  Bytes message;
  const Status status = recv_descriptors(received, message, deadline);
  if (status != Status::kOk) return status;
  if (received.size() == 1) {
    descriptor = received.front();
    return Status::kOk;
  }
  for (const int other : received) ::close(other);
  return Status::kBadArgument;
}

Handle Connection::handle() const { throw_status(Status::kUnsupported, "handle"); }

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
