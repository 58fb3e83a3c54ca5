#include "unix_socket/connection.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "core/io.h"

namespace crucible {
namespace {

constexpr std::size_t kDefaultCapacity = 1024 * 1024;

// The kernel refuses a packet that is longer than the buffer less its own 32 bytes.
std::size_t largest_packet(int socket) {
  constexpr int kKernelReserve = 32;
  int size = 0;
  socklen_t length = sizeof size;
  // What is no socket fails on use, as other descriptors do.
  if (getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, &length) != 0) return INT_MAX;
  return static_cast<std::size_t>(size - kKernelReserve);
}

}  // namespace

// The kernel grants twice what is asked for, for its own overhead, but no more than twice net.core.wmem_max.
void UnixSocketConnection::set_capacity(int socket, const PipeOptions& options) {
  const std::size_t wanted = options.capacity_bytes != 0 ? options.capacity_bytes : kDefaultCapacity;
  const int size = static_cast<int>(std::min<std::size_t>(wanted, INT_MAX / 2));
  if (setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) != 0) throw_errno("setsockopt(SO_SNDBUF)");
  int granted = 0;
  socklen_t length = sizeof granted;
  if (getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &granted, &length) != 0) throw_errno("getsockopt(SO_SNDBUF)");
  if (options.capacity_bytes != 0 && static_cast<std::size_t>(granted) / 2 < wanted) {
    throw BadArgument("pipe: the system refuses a capacity of " + std::to_string(wanted));
  }
}

UnixSocketConnection::UnixSocketConnection(Fd socket, bool readable, bool writable, std::shared_ptr<SealedMemory> page,
                                           bool first, bool read_ahead)
    : socket_(std::move(socket)),
      part_(std::min(kPart, largest_packet(socket_.get()) - kHeader)),
      readable_(readable),
      writable_(writable),
      page_(std::move(page)),
      first_(first),
      outgoing_(page_->objects<Shared>()[first ? 0 : 1]),
      incoming_(page_->objects<Shared>()[first ? 1 : 0]),
      ahead_(read_ahead ? new std::array<std::byte, kHeader + kPart> : nullptr) {
  if (read_ahead) incoming_.takes_packs.store(1, std::memory_order_relaxed);
}

std::pair<std::unique_ptr<UnixSocketConnection>, std::unique_ptr<UnixSocketConnection>> UnixSocketConnection::pair(
    const PipeOptions& options) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("socketpair");
  Fd first(ends[0]);
  Fd second(ends[1]);
  for (const int end : ends) set_capacity(end, options);
  const auto page = SealedMemory::make(kSharedBytes);
  return {std::unique_ptr<UnixSocketConnection>(
              new UnixSocketConnection(std::move(first), true, options.duplex, page, true, options.read_ahead)),
          std::unique_ptr<UnixSocketConnection>(
              new UnixSocketConnection(std::move(second), options.duplex, true, page, false, options.read_ahead))};
}

void UnixSocketConnection::close() noexcept {
  if (gate_.close()) socket_.reset();
}

int UnixSocketConnection::descriptor() const {
  if (closed()) throw Closed("descriptor");
  if (ahead_ != nullptr) throw Unsupported("descriptor: the end reads ahead");
  return socket_.get();
}

bool UnixSocketConnection::begin_wait(pollfd& slot) {
  if (!gate_.enter(Gate::kReceive)) throw Closed("wait");
  if (readable_ && !packed_.empty()) {
    gate_.leave(Gate::kReceive);
    return true;
  }
  slot.fd = socket_.get();
  slot.events = readable_ ? POLLIN : 0;  // a sender's only news is that its receiver is gone
  return false;
}

bool UnixSocketConnection::end_wait(short revents) {
  gate_.leave(Gate::kReceive);
  return revents != 0;
}

// --- Sending -------------------------------------------------------------------------------------------------

Status UnixSocketConnection::send_bytes(ByteView message, Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (!writable_) return Status::kWrongDirection;
  return message.size() <= kCopied ? send_small(message, deadline) : send_large(message, deadline);
}

Status UnixSocketConnection::send_many(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline) {
  sent = 0;
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (!writable_) return Status::kWrongDirection;
  while (sent < messages.size()) {
    std::size_t packed = 0;
    if (const Status status = send_pack(messages.subspan(sent), packed, deadline); status != Status::kOk) return status;
    sent += packed;
    if (packed > 0) continue;
    Batch batch;
    for (const ByteView message : messages.subspan(sent, std::min(kBatch, messages.size() - sent))) {
      if (message.size() > kCopied) break;
      batch.add({.length = message.size(), .offset = 0}, message);
    }
    std::size_t done = 1;
    const Status status = batch.count > 0 ? send_batch(batch, done, deadline) : send_large(messages[sent], deadline);
    if (status != Status::kOk) return status;
    sent += done;
  }
  return Status::kOk;
}

// One flat copy behind the header is cheaper than gathering so few bytes.
Status UnixSocketConnection::send_small(ByteView message, Deadline deadline) {
  std::array<std::byte, kHeader + kCopied> flat;
  const Header header = {.length = message.size(), .offset = 0};
  std::memcpy(flat.data(), &header, kHeader);
  if (!message.empty()) std::memcpy(flat.data() + kHeader, message.data(), message.size());
  return send_packet(ByteView(flat).first(kHeader + message.size()), deadline);
}

Status UnixSocketConnection::send_packet(ByteView packet, Deadline deadline) {
  const int flags = MSG_NOSIGNAL | (deadline.is_never() ? 0 : MSG_DONTWAIT);
  bool last_attempt = false;
  while (::send(socket_.get(), packet.data(), packet.size(), flags) < 0) {
    if (const Status status = after_failed_send(deadline, last_attempt); status != Status::kOk) return status;
  }
  outgoing_.given_up.store(0, std::memory_order_relaxed);
  return Status::kOk;
}

// A message given up half-way needs no clean-up: the next one's first packet says offset 0 where another was due.
Status UnixSocketConnection::send_large(ByteView message, Deadline deadline) {
  if (message.size() > kMaxMessage) return Status::kBadLength;
  std::size_t offset = 0;
  while (offset < message.size()) {
    Batch batch;
    const std::size_t batched = std::min(message.size(), offset + GiveWay::kBytes);
    for (std::size_t next = offset; next < batched && batch.count < kBatch; next += part_) {
      batch.add({.length = message.size(), .offset = next},
                message.subspan(next, std::min(part_, message.size() - next)));
    }
    std::size_t sent = 0;
    if (const Status status = send_batch(batch, sent, deadline); status != Status::kOk) {
      if (offset > 0) outgoing_.given_up.store(1, std::memory_order_relaxed);
      return status;
    }
    const std::size_t begin = std::exchange(offset, std::min(message.size(), offset + sent * part_));
    if (message.size() > part_) give_way_.wrote(offset - begin);
  }
  return Status::kOk;
}

void UnixSocketConnection::Batch::add(const Header& header, ByteView part) noexcept {
  headers[count] = header;
  parts[count] = {iovec{&headers[count], kHeader}, iovec{const_cast<std::byte*>(part.data()), part.size()}};
  packets[count] = {};
  packets[count].msg_hdr.msg_iov = parts[count].data();
  packets[count].msg_hdr.msg_iovlen = parts[count].size();
  ++count;
}

// At least one packet on kOk.
Status UnixSocketConnection::send_batch(Batch& batch, std::size_t& sent, Deadline deadline) {
  const int flags = MSG_NOSIGNAL | (deadline.is_never() ? 0 : MSG_DONTWAIT);
  bool last_attempt = false;
  while (true) {
    const int done = sendmmsg(socket_.get(), batch.packets.data(), static_cast<unsigned>(batch.count), flags);
    if (done > 0) {
      sent = static_cast<std::size_t>(done);
      outgoing_.given_up.store(0, std::memory_order_relaxed);
      return Status::kOk;
    }
    sent = 0;
    if (const Status status = after_failed_send(deadline, last_attempt); status != Status::kOk) return status;
  }
}

// kOk: try again. A socket polls writable only when three quarters of its buffer are free, so a deadline that passes in
// poll does not yet mean that nothing fits: `last_attempt` tells whether that has been tried since.
Status UnixSocketConnection::after_failed_send(Deadline deadline, bool& last_attempt) {
  if (errno == EPIPE || errno == ECONNRESET) return Status::kBrokenPipe;
  if (errno == EINTR) return gate_.closed() ? Status::kClosed : Status::kOk;
  if (errno != EAGAIN) throw_errno("send");
  if (last_attempt) return Status::kTimeout;
  const Status status = await_events(socket_.get(), POLLOUT, deadline, gate_);
  if (status != Status::kTimeout) return status;
  last_attempt = true;
  return Status::kOk;
}

}  // namespace crucible
