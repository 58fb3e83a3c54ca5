// Messages that carry descriptors, beside those of connection.cc.
#include "core/descriptors.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "core/io.h"
#include "unix_socket/connection.h"

namespace crucible {

Status UnixSocketConnection::send_descriptors(std::span<const int> descriptors, ByteView message, Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (!writable_) return Status::kWrongDirection;
  const bool all_open = std::ranges::all_of(descriptors, [](int one) { return ::fcntl(one, F_GETFD) >= 0; });
  if (descriptors.empty() || descriptors.size() > kMostDescriptors || message.size() > kDescriptorMessage ||
      !all_open) {
    return Status::kBadArgument;
  }
  Header header = {.length = message.size(), .offset = kWithDescriptors};
  iovec parts[] = {{&header, kHeader}, {const_cast<std::byte*>(message.data()), message.size()}};
  const int flags = deadline.is_never() ? 0 : MSG_DONTWAIT;
  bool last_attempt = false;
  while (send_with_descriptors(socket_.get(), parts, descriptors, flags) < 0) {
    if (const Status status = after_failed_send(deadline, last_attempt); status != Status::kOk) return status;
  }
  outgoing_.given_up.store(0, std::memory_order_relaxed);
  return Status::kOk;
}

Status UnixSocketConnection::recv_descriptors(std::vector<int>& descriptors, Bytes& message, Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass) return Status::kClosed;
  if (!readable_) return Status::kWrongDirection;
  if (!packed_.empty()) return Status::kBadArgument;
  Header header;
  const Status status = peek_header(header, deadline);
  if (status != Status::kOk) return status;
  if (header.offset != kWithDescriptors) return Status::kBadArgument;
  begun_ = false;  // its sender has given up whatever was under way
  message.resize(kDescriptorMessage);
  iovec parts[] = {{&header, kHeader}, {message.data(), message.size()}};
  ssize_t count = 0;
  do {  // only this user receives: the packet is there
    count = receive_with_descriptors(socket_.get(), parts, descriptors, MSG_DONTWAIT);
  } while (count < 0 && (errno == EINTR || errno == ECONNRESET));
  if (count < 0) throw_errno("recvmsg");
  message.resize(static_cast<std::size_t>(count) - kHeader);
  // Nobody but send_descriptors() sets the mark, so that this is a peer that follows other rules.
  return descriptors.empty() ? Status::kBadArgument : Status::kOk;
}

// The header of the packet that the next receive begins with.
Status UnixSocketConnection::peek_header(Header& header, Deadline deadline) {
  const int flags = deadline.is_never() ? 0 : MSG_DONTWAIT;
  while (true) {
    const ssize_t count = ::recv(socket_.get(), &header, kHeader, MSG_PEEK | flags);
    if (count == 0) return Status::kEof;
    if (count == static_cast<ssize_t>(kHeader)) {
      const bool is_orphan = header.offset != 0 && header.offset != kWithDescriptors && !begun_;
      if (!is_orphan) return Status::kOk;
      // The rest of a message whose beginning another process received is nobody's any more.
      (void)::recv(socket_.get(), &header, kHeader, MSG_DONTWAIT);
    } else if (count > 0) {
      errno = EPROTO;
      throw_errno("recv");
    } else if (errno == EAGAIN) {
      if (const Status status = await_events(socket_.get(), POLLIN, deadline, gate_); status != Status::kOk) {
        return status;
      }
    } else if (errno != EINTR && errno != ECONNRESET) {
      throw_errno("recv");
    }
    if (gate_.closed()) return Status::kClosed;
  }
}

}  // namespace crucible
