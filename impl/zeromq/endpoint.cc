#include "zeromq/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstddef>
#include <cstring>

#include "api/status.h"

namespace crucible {
namespace {

constexpr std::string_view kPrefix = "crucible-zmq-";

// An IPv4 or IPv6 address without its port.
struct Address {
  sockaddr_storage storage = {};
  socklen_t length = sizeof storage;

  static Address loopback() {
    Address address;
    auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.length = sizeof in;
    return address;
  }
  static Address of(int socket) {
    Address address;
    if (getsockname(socket, address.get(), &address.length) != 0) throw_errno("getsockname");
    return address;
  }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  bool is_v6() const { return storage.ss_family == AF_INET6; }
  // The port stands at the same place in both families.
  in_port_t& port() { return reinterpret_cast<sockaddr_in&>(storage).sin_port; }

  std::string endpoint(std::uint16_t port_number) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* const at = is_v6() ? static_cast<const void*>(&reinterpret_cast<sockaddr_in6&>(storage).sin6_addr)
                                   : &reinterpret_cast<sockaddr_in&>(storage).sin_addr;
    if (inet_ntop(storage.ss_family, at, text.data(), text.size()) == nullptr) throw_errno("inet_ntop");
    const std::string host = text.data();
    return "tcp://" + (is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(port_number);
  }
};

void draw_random(Tether::Greeting& greeting) {
  std::array<unsigned char, sizeof greeting.random / 2> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) throw_errno("getrandom");
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    greeting.random[2 * i] = kDigits[bytes[i] >> 4U];
    greeting.random[2 * i + 1] = kDigits[bytes[i] & 15U];
  }
}

std::string abstract_name(const Tether::Greeting& greeting) {
  return std::string(kPrefix) + std::string(greeting.name());
}

Fd listening(int family) {
  Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) throw_errno("socket");
  return socket;
}

}  // namespace

Fd open_listener(ZeromqTransport transport, const Tether& tether, std::size_t buffer_bytes,
                 Tether::Greeting& greeting) {
  draw_random(greeting);
  if (transport == ZeromqTransport::kIpc) {
    Fd socket = listening(AF_UNIX);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const std::string name = abstract_name(greeting);
    std::ranges::copy(name, address.sun_path + 1);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) throw_errno("bind");
    if (listen(socket.get(), SOMAXCONN) != 0) throw_errno("listen");
    return socket;
  }
  Address address = tether.is_unix() ? Address::loopback() : Address::of(tether.descriptor());
  address.port() = 0;
  Fd socket = listening(address.storage.ss_family);
  // Accepted connections have the listener's buffer.
  const int buffer = static_cast<int>(std::min<std::size_t>(buffer_bytes, INT_MAX / 2));
  if (buffer != 0 && setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) != 0) {
    throw_errno("setsockopt(SO_RCVBUF)");
  }
  if (bind(socket.get(), address.get(), address.length) != 0) throw_errno("bind");
  if (listen(socket.get(), SOMAXCONN) != 0) throw_errno("listen");
  greeting.port = ntohs(Address::of(socket.get()).port());
  return socket;
}

std::string own_endpoint(ZeromqTransport transport, const Fd& listener, const Tether::Greeting& own) {
  if (transport == ZeromqTransport::kIpc) return "ipc://@" + abstract_name(own);
  return Address::of(listener.get()).endpoint(own.port);
}

std::string peer_endpoint(ZeromqTransport transport, const Tether& tether, const Tether::Greeting& peers) {
  if (transport == ZeromqTransport::kIpc) return "ipc://@" + abstract_name(peers);
  Address address = Address::loopback();
  if (!tether.is_unix()) {
    address.length = sizeof address.storage;
    if (getpeername(tether.descriptor(), address.get(), &address.length) != 0) return {};  // ENOTCONN
  }
  return address.endpoint(peers.port);
}

bool leads_to(const Fd& socket, const Tether::Greeting& peers) {
  sockaddr_un address = {};
  socklen_t length = sizeof address;
  if (getpeername(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return false;
  constexpr std::size_t kBefore = offsetof(sockaddr_un, sun_path) + 1;
  return address.sun_family == AF_UNIX && length > kBefore &&
         std::string_view(address.sun_path + 1, length - kBefore) == abstract_name(peers);
}

}  // namespace crucible
