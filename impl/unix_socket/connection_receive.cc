// What a UnixSocketConnection's receiving end does.
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/io.h"
#include "unix_socket/connection.h"

namespace crucible {

Status UnixSocketConnection::recv_bytes(Bytes& message, std::size_t max_length, Deadline deadline) {
  Destination to(message, max_length);
  return receive(to, deadline);
}

Status UnixSocketConnection::recv_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline,
                                             Bytes* too_long) {
  Destination to(buffer, received, too_long);
  return receive(to, deadline);
}

Status UnixSocketConnection::wait_readable(Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass) return Status::kClosed;
  if (!readable_) return Status::kWrongDirection;
  return packed_.empty() ? await_events(socket_.get(), POLLIN, deadline, gate_) : Status::kOk;
}

Status UnixSocketConnection::receive(Destination& to, Deadline deadline) {
  Status status = Status::kOk;
  {
    const Gate::Pass pass(gate_, Gate::kReceive);
    if (!pass) return Status::kClosed;
    if (!readable_) return Status::kWrongDirection;
    status = receive_message(to, deadline);
    if (status != Status::kBadLength) return status;
    readable_ = false;
    if (writable_) shutdown(socket_.get(), SHUT_RD);  // its sender learns that nobody will receive
  }
  if (!writable_) close();
  return status;
}

Status UnixSocketConnection::receive_message(Destination& to, Deadline deadline) {
  bool with_caller = !begun_;  // and not in pending_, where an earlier call that its deadline ended left it
  std::byte* payload = pending_.data();
  while (true) {
    ByteSpan direct = ahead_ == nullptr ? to.buffer(kCopied) : ByteSpan();
    if (begun_) {
      direct = discarding_ ? ByteSpan() : ByteSpan(payload + position_, std::min(kPart, length_ - position_));
    }
    Packet packet;
    if (const Status status = receive_packet(packet, direct, deadline); status != Status::kOk) {
      if (begun_ && (status == Status::kTimeout || status == Status::kClosed)) {
        if (with_caller && !discarding_) {
          pending_.assign(payload, payload + position_);
          pending_.resize(length_);
        }
        return status;
      }
      const bool lost = std::exchange(begun_, false) && incoming_.given_up.load(std::memory_order_relaxed) == 0;
      return lost && status == Status::kEof ? Status::kTruncated : status;
    }
    const std::size_t size = packet.direct + packet.spilled.size();
    if (packet.header.offset == kWithDescriptors) packet.header.offset = 0;  // the kernel has closed them
    if (packet.header.offset != 0) {
      // The rest of a message whose beginning another process received is nobody's any more.
      if (!begun_ || packet.header.offset != position_ || packet.header.length != length_) continue;
      position_ += size;
    } else {
      // A new message; one that was under way has been given up by its sender, and its memory may have caught this
      // packet's first bytes.
      if (packet.header.length > kMaxMessage || packet.header.length < size) return Status::kBadLength;
      Bytes caught;
      if (begun_) caught.assign(direct.begin(), direct.begin() + static_cast<std::ptrdiff_t>(packet.direct));
      const std::byte* first = begun_ ? caught.data() : direct.data();
      begun_ = true;
      with_caller = true;
      length_ = static_cast<std::size_t>(packet.header.length);
      position_ = size;
      discarding_ = !to.accepts(length_);
      if (!discarding_) {
        payload = to.open(length_);
        if (packet.direct > 0 && payload != first) std::memcpy(payload, first, packet.direct);
        if (!packet.spilled.empty()) std::memcpy(payload + packet.direct, packet.spilled.data(), packet.spilled.size());
      }
    }
    if (position_ < length_) continue;
    begun_ = false;
    if (discarding_ || !to.accepts(length_)) return Status::kBadLength;
    return with_caller ? to.done(length_) : to.put(std::move(pending_));
  }
}

// One packet: its first bytes into `direct`, what goes beyond into the spill.
Status UnixSocketConnection::receive_packet(Packet& packet, ByteSpan direct, Deadline deadline) {
  if (take_packed(packet)) return Status::kOk;
  const ByteSpan spill = this->spill();
  iovec parts[] = {
      {spill.data(), kHeader}, {direct.data(), direct.size()}, {spill.data() + kHeader, spill.size() - kHeader}};
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = std::size(parts);
  const int flags = deadline.is_never() ? 0 : MSG_DONTWAIT;
  while (true) {
    const ssize_t count = direct.empty() ? ::recv(socket_.get(), spill.data(), spill.size(), flags)
                                         : ::recvmsg(socket_.get(), &message, flags);
    if (count == 0) return Status::kEof;
    if (count > 0) {
      const auto size = static_cast<std::size_t>(count);
      if (size < kHeader || (message.msg_flags & MSG_TRUNC) != 0) {
        errno = EPROTO;
        throw_errno("recv");
      }
      std::memcpy(&packet.header, spill.data(), kHeader);
      packet.direct = std::min(size - kHeader, direct.size());
      packet.spilled = ByteView(spill).subspan(kHeader, size - kHeader - packet.direct);
      if (packet.header.offset == kPacked && ahead_ != nullptr) [[unlikely]] {
        unpack(packet, direct);
        if (!take_packed(packet)) continue;
      }
      return Status::kOk;
    }
    if (errno == EAGAIN) {
      if (const Status status = await_events(socket_.get(), POLLIN, deadline, gate_); status != Status::kOk) {
        return status;
      }
    } else if (errno != EINTR && errno != ECONNRESET) {
      // ECONNRESET comes once, ahead of what is still buffered, when the peer closed without having read everything.
      throw_errno("recv");
    }
    if (gate_.closed()) return Status::kClosed;
  }
}

}  // namespace crucible
