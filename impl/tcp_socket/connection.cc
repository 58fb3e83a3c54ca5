#include "tcp_socket/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string>

namespace crucible {
namespace {

void set_option(int socket, int level, int option, int value, const char* name) {
  if (setsockopt(socket, level, option, &value, sizeof value) != 0) throw_errno(name);
}

int get_option(int socket, int option, const char* name) {
  int value = 0;
  socklen_t length = sizeof value;
  if (getsockopt(socket, SOL_SOCKET, option, &value, &length) != 0) throw_errno(name);
  return value;
}

// The kernel sizes both buffers by what the path needs, unless a capacity is asked for. It grants twice the number, for
// its own overhead, but no more than twice net.core.wmem_max.
void set_capacity(int socket, std::size_t capacity) {
  // A receiver who does not read acknowledges late. Until then the sender's buffer holds what was sent, with a KiB of
  // book-keeping for each small message; if that were most of it, a full pipe would not stay full.
  constexpr std::size_t kLeastSent = std::size_t{512} * 1024;
  constexpr std::size_t kLeastReceived = std::size_t{16} * 1024;
  if (capacity == 0) return;
  const auto wanted = static_cast<int>(std::clamp<std::size_t>(capacity, kLeastSent, INT_MAX / 2));
  set_option(socket, SOL_SOCKET, SO_SNDBUF, wanted, "setsockopt(SO_SNDBUF)");
  if (static_cast<std::size_t>(get_option(socket, SO_SNDBUF, "getsockopt(SO_SNDBUF)")) / 2 < capacity) {
    throw BadArgument("pipe: the system refuses a capacity of " + std::to_string(capacity));
  }
  const auto received = static_cast<int>(std::clamp<std::size_t>(capacity, kLeastReceived, INT_MAX / 2));
  set_option(socket, SOL_SOCKET, SO_RCVBUF, received, "setsockopt(SO_RCVBUF)");
}

Fd make_socket() {
  Fd made(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!made) throw_errno("socket");
  return made;
}

sockaddr_in name_of(int (*ask)(int, sockaddr*, socklen_t*), int socket, const char* name) {
  sockaddr_in address = {};
  socklen_t length = sizeof address;
  if (ask(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) throw_errno(name);
  return address;
}

bool operator==(const sockaddr_in& one, const sockaddr_in& other) {
  return one.sin_port == other.sin_port && one.sin_addr.s_addr == other.sin_addr.s_addr;
}

// A port of 127.0.0.1 that listens.
Fd listen_locally(std::size_t capacity) {
  constexpr int kBacklog = 16;  // strangers who knock meanwhile
  Fd listener = make_socket();
  set_option(listener.get(), SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt(SO_REUSEADDR)");
  set_capacity(listener.get(), capacity);  // the window's scale is settled by the handshake
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) throw_errno("bind");
  if (listen(listener.get(), kBacklog) != 0) throw_errno("listen");
  return listener;
}

Fd connect_to(const sockaddr_in& address, std::size_t capacity) {
  Fd connected = make_socket();
  set_capacity(connected.get(), capacity);
  if (connect(connected.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return connected;
  if (errno != EINTR) throw_errno("connect");
  pollfd slot = {.fd = connected.get(), .events = POLLOUT, .revents = 0};  // goes on without the caller
  while (poll(&slot, 1, -1) < 0) {
    if (errno != EINTR) throw_errno("poll");
  }
  errno = get_option(connected.get(), SO_ERROR, "getsockopt(SO_ERROR)");
  if (errno != 0) throw_errno("connect");
  return connected;
}

// The connection whose other end `peer` is; others, who found the port, are turned away.
Fd accept_from(const Fd& listener, const sockaddr_in& peer) {
  while (true) {
    Fd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!accepted) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      throw_errno("accept4");
    }
    try {
      if (name_of(getpeername, accepted.get(), "getpeername") == peer) return accepted;
    } catch (const std::system_error&) {  // gone already
    }
  }
}

}  // namespace

std::pair<std::unique_ptr<TcpSocketConnection>, std::unique_ptr<TcpSocketConnection>> TcpSocketConnection::pair(
    const PipeOptions& options) {
  const Fd listener = listen_locally(options.capacity_bytes);
  Fd first = connect_to(name_of(getsockname, listener.get(), "getsockname"), options.capacity_bytes);
  Fd second = accept_from(listener, name_of(getsockname, first.get(), "getsockname"));
  for (const Fd* end : {&first, &second}) {
    set_option(end->get(), IPPROTO_TCP, TCP_NODELAY, 1, "setsockopt(TCP_NODELAY)");
  }
  const auto page = make_page(true);
  const auto end = [&](Fd socket, bool is_first) {
    Stream stream = {.kind = StreamKind::kSocket,
                     .in = std::move(socket),
                     .readable = is_first || options.duplex,
                     .writable = !is_first || options.duplex,
                     .page = page,
                     .first = is_first};
    return std::unique_ptr<TcpSocketConnection>(new TcpSocketConnection(std::move(stream), options.read_ahead));
  };
  auto made = end(std::move(first), true);
  return {std::move(made), end(std::move(second), false)};
}

std::unique_ptr<TcpSocketConnection> TcpSocketConnection::adopt(const Handle& handle) {
  return std::unique_ptr<TcpSocketConnection>(
      new TcpSocketConnection(adopt_stream(StreamKind::kSocket, handle), false));
}

void TcpSocketConnection::check(const PipeOptions& options) {
  set_capacity(make_socket().get(), options.capacity_bytes);
}

std::unique_ptr<Connection> TcpSocketConnection::admit(Fd socket, const PipeOptions& options) {
  // Data that a host which has vanished does not acknowledge; the door's keep-alive is for silence. A peer that is only
  // stopped has a kernel that answers.
  constexpr int kUserTimeoutMs = 60'000;
  set_option(socket.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, kUserTimeoutMs, "setsockopt(TCP_USER_TIMEOUT)");
  set_capacity(socket.get(), options.capacity_bytes);
  Stream stream = {.kind = StreamKind::kSocket, .in = std::move(socket), .page = make_page(false)};
  return std::unique_ptr<Connection>(new TcpSocketConnection(std::move(stream), options.read_ahead));
}

std::unique_ptr<Connection> TcpSocketConnection::enter(Fd socket, const PipeOptions& options, Deadline /*deadline*/) {
  return admit(std::move(socket), options);
}

}  // namespace crucible
