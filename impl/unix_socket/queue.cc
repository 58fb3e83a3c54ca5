#include "unix_socket/queue.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <limits>

#include "core/descriptors.h"
#include "core/io.h"

namespace crucible {
namespace {

constexpr std::size_t kDefaultStorage = 1024 * 1024;
constexpr std::size_t kSmall = 1024;  // more than the kernel counts for a small packet
constexpr std::size_t kCounted = 13;  // more than it counts for a byte of payload
constexpr int kKernelReserve = 32;

// The kernel grants twice what is asked for, to all but root no more than twice net.core.wmem_max.
int buffer_of(int socket) {
  int size = 0;
  socklen_t length = sizeof size;
  if (getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, &length) != 0) throw_errno("getsockopt(SO_SNDBUF)");
  return size;
}

// Storage is asked for in payload: in messages of 64 bytes the kernel counts twelve times as much.
void set_buffer(int socket, const QueueOptions& options) {
  constexpr std::size_t kMost = INT_MAX / 2;
  const bool is_asked = options.storage_bytes != 0;
  const std::size_t wished = is_asked ? std::min(options.storage_bytes, kMost) * kCounted / 2 + kSmall
                                      : std::min(options.maxsize, kMost / kSmall) * kSmall / 2;
  const std::size_t wanted = is_asked ? wished : std::max(kDefaultStorage, wished);
  const int size = static_cast<int>(std::min(wanted, kMost));
  if (setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0 &&
      setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) != 0) {
    throw_errno("setsockopt(SO_SNDBUF)");
  }
  if (is_asked && (wanted > kMost || static_cast<std::size_t>(buffer_of(socket)) / 2 < wanted)) {
    throw BadArgument("queue: the system refuses storage for " + std::to_string(options.storage_bytes) + " bytes");
  }
}

struct Control {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> bytes;
};

Fd file_of(const msghdr& message) {
  const cmsghdr* const part = message.msg_controllen >= sizeof(cmsghdr) ? CMSG_FIRSTHDR(&message) : nullptr;
  if (part == nullptr || part->cmsg_type != SCM_RIGHTS) return {};
  int file = -1;
  std::memcpy(&file, CMSG_DATA(part), sizeof file);
  return Fd(file);
}

}  // namespace

std::unique_ptr<UnixSocketQueue> UnixSocketQueue::create(const std::string& address, const QueueOptions& options) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("socketpair");
  std::vector<Fd> descriptors;
  for (const int end : ends) descriptors.emplace_back(end);
  set_buffer(ends[1], options);
  std::unique_ptr<UnixSocketQueue> made(new UnixSocketQueue(make_page(options), std::move(descriptors), {}));
  made->open_door(kDoor, address, options.door);
  return made;
}

std::unique_ptr<UnixSocketQueue> UnixSocketQueue::open(const std::string& address, const QueueOptions& options,
                                                       Deadline deadline) {
  std::optional<Opened> opened = enter_door(kDoor, address, options.door, deadline);
  if (!opened) return nullptr;
  return std::unique_ptr<UnixSocketQueue>(
      new UnixSocketQueue(std::move(opened->page), std::move(opened->descriptors), address));
}

UnixSocketQueue::UnixSocketQueue(std::shared_ptr<SealedMemory> page, std::vector<Fd> descriptors, std::string address)
    : PacketQueue(std::move(page), std::move(descriptors), std::move(address)),
      buffer_(buffer_of(out())),
      part_(std::min(kPart, static_cast<std::size_t>(buffer_ - kKernelReserve)) - kHeader) {}

// --- Sending -----------------------------------------------------------------------------------------------------

std::size_t UnixSocketQueue::send_packets(std::span<const Header> headers, std::span<const ByteView> payloads) {
  constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
  int sent = 0;
  if (headers.size() == 1 && payloads[0].size() <= kCopied) {
    // One flat copy behind the header is cheaper than gathering so few bytes.
    std::array<std::byte, kHeader + kCopied> flat;
    std::memcpy(flat.data(), headers.data(), kHeader);
    if (!payloads[0].empty()) std::memcpy(flat.data() + kHeader, payloads[0].data(), payloads[0].size());
    sent = ::send(out(), flat.data(), kHeader + payloads[0].size(), kFlags) < 0 ? -1 : 1;
  } else {
    std::array<std::array<iovec, 2>, kBatch> parts;
    std::array<mmsghdr, kBatch> packets;
    for (std::size_t i = 0; i < headers.size(); ++i) {
      parts[i] = {iovec{const_cast<Header*>(&headers[i]), kHeader},
                  iovec{const_cast<std::byte*>(payloads[i].data()), payloads[i].size()}};
      packets[i] = {};
      packets[i].msg_hdr.msg_iov = parts[i].data();
      packets[i].msg_hdr.msg_iovlen = parts[i].size();
    }
    sent = sendmmsg(out(), packets.data(), static_cast<unsigned>(headers.size()), kFlags);
  }
  if (sent >= 0) return static_cast<std::size_t>(sent);
  if (errno != EAGAIN) throw_errno("send");  // what does not wait is not interrupted
  return 0;
}

Fd UnixSocketQueue::prepare_beside(ByteView message) {
  Fd file(::memfd_create("crucible", MFD_CLOEXEC));
  if (!file) throw_errno("memfd_create");
  while (!message.empty()) {
    const ssize_t count = ::write(file.get(), message.data(), message.size());
    if (count >= 0) {
      message = message.subspan(static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      throw_errno("write(memfd)");
    }
  }
  return file;
}

// ETOOMANYREFS: so many of this user's descriptors are under way already that it takes gets to let more go.
bool UnixSocketQueue::send_beside(const Header& header, ByteView /*message*/, const Fd& prepared) {
  iovec part = {const_cast<Header*>(&header), kHeader};
  const int file = prepared.get();
  if (send_with_descriptors(out(), {&part, 1}, {&file, 1}, MSG_DONTWAIT) >= 0) return true;
  if (errno != EAGAIN && errno != ETOOMANYREFS) throw_errno("sendmsg");
  return false;
}

bool UnixSocketQueue::is_full() {
  int held = 0;
  if (ioctl(out(), SIOCOUTQ, &held) != 0) throw_errno("ioctl(SIOCOUTQ)");
  return held >= buffer_;
}

Status UnixSocketQueue::await_storage(Deadline deadline) { return await_events(out(), POLLOUT, deadline, gate_); }

// A file that finds the descriptor table full is lost with its message.
void UnixSocketQueue::require_room_for_file() {
  const Fd probe(::fcntl(in(), F_DUPFD_CLOEXEC, 0));
  if (probe) return;
  const int error = errno;
  Header first = {};
  if (!peek_first(first) || (first.length & kBeside) == 0) return;
  errno = error;
  throw_errno("recvmsg");
}

// --- Receiving ---------------------------------------------------------------------------------------------------

UnixSocketQueue::Received UnixSocketQueue::receive_packet(Packet& packet, ByteSpan direct, bool wait) {
  const ByteSpan spill = scratch(kHeader + kPart);
  iovec parts[] = {
      {spill.data(), kHeader}, {direct.data(), direct.size()}, {spill.data() + kHeader, spill.size() - kHeader}};
  if (direct.empty()) parts[0].iov_len = spill.size();
  Control control;
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = direct.empty() ? 1 : std::size(parts);
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  const ssize_t count = ::recvmsg(in(), &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
  if (count < 0) {
    if (errno == EAGAIN) return Received::kNothing;
    if (errno != EINTR) throw_errno("recvmsg");
    return Received::kInterrupted;
  }
  return classify(count, message, packet, direct, spill);
}

UnixSocketQueue::Received UnixSocketQueue::classify(ssize_t count, const msghdr& message, Packet& packet,
                                                    ByteSpan direct, ByteSpan spill) {
  packet.file = file_of(message);
  const auto size = static_cast<std::size_t>(count);
  if (size < kHeader || (message.msg_flags & MSG_TRUNC) != 0) {
    errno = EPROTO;
    throw_errno("recvmsg");
  }
  std::memcpy(&packet.header, spill.data(), kHeader);
  packet.direct = std::min(size - kHeader, direct.size());
  packet.spilled = ByteView(spill).subspan(kHeader, size - kHeader - packet.direct);
  return Received::kPacket;
}

std::size_t UnixSocketQueue::receive_packets(std::span<Packet> packets) {
  constexpr std::size_t kRoom = kHeader + kPart;
  const ByteSpan spill = scratch(packets.size() * kRoom);
  std::array<Control, kBatch> controls;
  std::array<iovec, kBatch> parts;
  std::array<mmsghdr, kBatch> messages;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    parts[i] = {spill.data() + i * kRoom, kRoom};
    messages[i] = {};
    messages[i].msg_hdr = {.msg_name = nullptr,
                           .msg_namelen = 0,
                           .msg_iov = &parts[i],
                           .msg_iovlen = 1,
                           .msg_control = controls[i].bytes.data(),
                           .msg_controllen = controls[i].bytes.size(),
                           .msg_flags = 0};
  }
  const int count =
      recvmmsg(in(), messages.data(), static_cast<unsigned>(packets.size()), MSG_CMSG_CLOEXEC | MSG_DONTWAIT, nullptr);
  if (count < 0) {
    if (errno != EAGAIN && errno != EINTR) throw_errno("recvmmsg");
    return 0;
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    (void)classify(messages[i].msg_len, messages[i].msg_hdr, packets[i], {}, spill.subspan(i * kRoom, kRoom));
  }
  return static_cast<std::size_t>(count);
}

void UnixSocketQueue::take_beside(const Packet& packet, ByteSpan to) {
  if (!packet.file) {  // this process had no descriptor left for it
    errno = EMFILE;
    throw_errno("recvmsg");
  }
  std::size_t done = 0;
  while (done < to.size()) {
    const ssize_t count = ::pread(packet.file.get(), to.data() + done, to.size() - done, static_cast<off_t>(done));
    if (count == 0) errno = EPROTO;
    if (count > 0) {
      done += static_cast<std::size_t>(count);
    } else if (count == 0 || errno != EINTR) {
      throw_errno("pread(memfd)");
    }
  }
}

Status UnixSocketQueue::await_packet(Deadline deadline) { return await_events(in(), POLLIN, deadline, gate_); }

// --- Looking -----------------------------------------------------------------------------------------------------

bool UnixSocketQueue::peek_first(Header& header) {
  while (true) {
    const ssize_t count = ::recv(in(), &header, kHeader, MSG_PEEK | MSG_DONTWAIT);
    if (count == static_cast<ssize_t>(kHeader)) return true;
    if (count < 0 && errno == EAGAIN) return false;
    if (count >= 0) errno = EPROTO;
    if (errno != EINTR) throw_errno("recv(MSG_PEEK)");
  }
}

// Walks by SO_PEEK_OFF, which is the socket's and so everybody's: hence under the lock, and set back. What is received
// meanwhile moves the place along.
bool UnixSocketQueue::peek_last(Header& header) {
  const ByteSpan room = scratch(kHeader + kPart);
  const auto set_place = [this](int place) {
    if (setsockopt(in(), SOL_SOCKET, SO_PEEK_OFF, &place, sizeof place) != 0) throw_errno("setsockopt(SO_PEEK_OFF)");
  };
  set_place(0);
  bool any = false;
  while (true) {
    const ssize_t count = ::recv(in(), room.data(), room.size(), MSG_PEEK | MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) break;
    if (count < static_cast<ssize_t>(kHeader)) {
      if (count >= 0) errno = EPROTO;
      if (errno == EINTR) continue;
      throw_errno("recv(MSG_PEEK)");
    }
    std::memcpy(&header, room.data(), kHeader);
    any = true;
  }
  set_place(-1);
  return any;
}

}  // namespace crucible
