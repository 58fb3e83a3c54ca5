#include "limits/socket_door.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <stdexcept>

#include "api/deadline.h"
#include "api/status.h"

namespace crucible::bench {
namespace {

constexpr int kBacklog = 1024;

union SocketName {
  sockaddr any;
  sockaddr_in tcp;
  sockaddr_un local;
};

Fd make_socket(bool tcp) {
  Fd socket(tcp ? ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)
                : ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("socket");
  return socket;
}

void send_at_once(const Fd& socket) {
  const int on = 1;
  if (setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) throw_errno("setsockopt");
}

}  // namespace

std::string SocketDoor::open() {
  door_ = std::make_shared<Fd>(make_socket(tcp_));
  SocketName name = {};
  socklen_t length = sizeof name.tcp;
  name.any.sa_family = tcp_ ? AF_INET : AF_UNIX;
  if (tcp_) {
    name.tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else {
    length = sizeof(sa_family_t);  // the kernel chooses
  }
  if (::bind(door_->get(), &name.any, length) != 0) throw_errno("bind");
  if (::listen(door_->get(), kBacklog) != 0) throw_errno("listen");
  length = sizeof name;
  if (::getsockname(door_->get(), &name.any, &length) != 0) throw_errno("getsockname");
  if (tcp_) return std::to_string(ntohs(name.tcp.sin_port));
  return {name.local.sun_path + 1, length - offsetof(sockaddr_un, sun_path) - 1};
}

nlohmann::json SocketDoor::fairness() const {
  return {{"socket", tcp_ ? "TCP, TCP_NODELAY" : "AF_UNIX SOCK_SEQPACKET"}, {"handshake", "none"}, {"checks", "none"}};
}

Fd SocketDoor::accept() const {
  Fd socket(::accept4(door_->get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) throw_errno("accept4");
  if (tcp_) send_at_once(socket);
  return socket;
}

Fd SocketDoor::connect() const {
  Fd socket = make_socket(tcp_);
  SocketName name = {};
  socklen_t length = sizeof name.tcp;
  if (tcp_) {
    name.tcp = {.sin_family = AF_INET,
                .sin_port = htons(static_cast<std::uint16_t>(std::stoi(address_))),
                .sin_addr = {htonl(INADDR_LOOPBACK)},
                .sin_zero = {}};
    send_at_once(socket);
  } else {
    name.local.sun_family = AF_UNIX;
    address_.copy(name.local.sun_path + 1, address_.size());
    length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + address_.size());
  }
  if (::connect(socket.get(), &name.any, length) != 0) throw_errno("connect");
  return socket;
}

void SocketDoor::Message::send(int socket) {
  if (::send(socket, bytes_.data(), bytes_.size(), MSG_NOSIGNAL) != std::ssize(bytes_)) throw_errno("send");
}
void SocketDoor::Message::receive(int socket) {
  if (::recv(socket, bytes_.data(), bytes_.size(), MSG_WAITALL) != std::ssize(bytes_)) throw_errno("recv");
}
void SocketDoor::Message::answer(int socket) {
  receive(socket);
  payload_.verify(bytes_, bytes_.size(), Payload::sequence_of(bytes_));
  send(socket);
}
void SocketDoor::Message::ask(int socket) {
  payload_.stamp(bytes_, ++sequence_);
  send(socket);
  receive(socket);
  payload_.verify(bytes_, bytes_.size(), sequence_);
}

void SocketVisits::serve(std::uint64_t operations) {
  for (std::uint64_t i = 0; i < operations; ++i) answer(accept().get());
}
std::int64_t SocketVisits::act() {
  const std::int64_t start = Deadline::now_ns();
  const Fd socket = connect();
  ask(socket.get());
  return Deadline::now_ns() - start;
}

void SocketGuests::enter(const std::string& address) {
  SocketDoor::enter(address);
  own_ = std::make_shared<Fd>(connect());
}
void SocketGuests::admit(std::size_t clients) {
  all_ = std::make_shared<Fd>(epoll_create1(EPOLL_CLOEXEC));
  if (!*all_) throw_errno("epoll_create1");
  for (std::size_t i = 0; i < clients; ++i) {
    const auto& guest = guests_.emplace_back(std::make_shared<Fd>(accept()));
    epoll_event interest = {.events = EPOLLIN, .data = {.fd = guest->get()}};
    if (epoll_ctl(all_->get(), EPOLL_CTL_ADD, guest->get(), &interest) != 0) throw_errno("epoll_ctl");
  }
}
void SocketGuests::serve(std::uint64_t operations) {
  std::array<epoll_event, 128> ready;
  while (operations > 0) {
    const int count = epoll_wait(all_->get(), ready.data(), ready.size(), -1);
    if (count < 0) throw_errno("epoll_wait");
    for (int i = 0; i < count; ++i, --operations) answer(ready[static_cast<std::size_t>(i)].data.fd);
  }
}
std::int64_t SocketGuests::act() {
  const std::int64_t start = Deadline::now_ns();
  ask(own_->get());
  return Deadline::now_ns() - start;
}

}  // namespace crucible::bench
