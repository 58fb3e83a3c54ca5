#include "limits/zmq_raw.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "api/status.h"

namespace crucible::bench {

namespace {

[[noreturn]] void fail(const char* call) {
  errno = zmq_errno();
  throw_errno(call);
}

// Made before the fork, so that whoever connects finds it: a kernel-chosen port, or a kernel-chosen abstract name.
std::pair<Fd, std::string> listen(int family) {
  Fd socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("socket");
  sockaddr_storage storage = {};
  auto* const address = reinterpret_cast<sockaddr*>(&storage);
  address->sa_family = static_cast<sa_family_t>(family);
  auto& in = reinterpret_cast<sockaddr_in&>(storage);
  if (family == AF_INET) in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = family == AF_INET ? sizeof in : sizeof(sa_family_t);
  if (bind(socket.get(), address, length) != 0) throw_errno("bind");
  if (::listen(socket.get(), 1) != 0) throw_errno("listen");
  length = sizeof storage;
  if (getsockname(socket.get(), address, &length) != 0) throw_errno("getsockname");
  if (family == AF_INET) return {std::move(socket), "tcp://127.0.0.1:" + std::to_string(ntohs(in.sin_port))};
  const auto& local = reinterpret_cast<const sockaddr_un&>(storage);
  return {std::move(socket), "ipc://@" + std::string(local.sun_path + 1, length - sizeof(sa_family_t) - 1)};
}

}  // namespace

struct ZmqRaw::Open {
  pid_t owner = getpid();
  zmq::context_t context{1};
  zmq::socket_t socket{context, zmq::socket_type::pair};
};

void* ZmqRaw::socket() {
  if (open_) [[likely]]
    return open_->socket.handle();
  // A fork's copy is not destroyed: the other process's context must not be touched.
  open_ = std::shared_ptr<Open>(new Open, [](Open* open) {
    if (open->owner == getpid()) delete open;
  });
  open_->socket.set(zmq::sockopt::linger, 0);
  if (listener) {
    const int descriptor = fcntl(listener.get(), F_DUPFD_CLOEXEC, 0);
    if (descriptor < 0) throw_errno("fcntl(F_DUPFD_CLOEXEC)");
    open_->socket.set(zmq::sockopt::use_fd, descriptor);
    open_->socket.bind(endpoint);
  } else {
    open_->socket.connect(endpoint);
  }
  return open_->socket.handle();
}

void ZmqRaw::send(ByteView message) {
  void* const out = socket();
  while (zmq_send(out, message.data(), message.size(), 0) < 0) {
    if (zmq_errno() != EINTR) fail("zmq_send");
  }
}

std::size_t ZmqRaw::receive(ByteSpan buffer) {
  void* const in = socket();
  while (true) {
    const int got = zmq_recv(in, buffer.data(), buffer.size(), 0);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (zmq_errno() != EINTR) fail("zmq_recv");
  }
}

template <class Raw>
static Link<Raw> make_link(int family) {
  auto [listener, endpoint] = listen(family);
  Link<Raw> link{Raw(), Raw(), {{"kernel_buffer_bytes", 0}, {"high_water_messages", 1000}, {"socket", "PAIR"}}};
  link.here.endpoint = link.there.endpoint = endpoint;
  link.here.listener = std::move(listener);
  return link;
}

Link<ZmqRawIpc> ZmqRawIpc::make(const RawSetting& /*setting*/) { return make_link<ZmqRawIpc>(AF_UNIX); }
Link<ZmqRawTcp> ZmqRawTcp::make(const RawSetting& /*setting*/) { return make_link<ZmqRawTcp>(AF_INET); }

std::vector<RawSetting> ZmqRaw::settings(std::size_t message_bytes, std::size_t /*subject_buffer*/) {
  return {{.buffer_bytes = 0, .chunk_bytes = message_bytes}};
}

}  // namespace crucible::bench
