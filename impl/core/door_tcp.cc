// Doors by TCP.
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <memory>
#include <thread>

#include "api/status.h"
#include "core/door_socket.h"
#include "core/wait.h"

namespace crucible {
namespace {

constexpr int kBacklog = 1024;  // a full one costs its clients seconds of retransmission

using Resolved = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Resolved resolve(const Place& place, int flags) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICSERV | flags;
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(place.host.c_str(), place.port.c_str(), &hints, &found) != 0) found = nullptr;
  return {found, &freeaddrinfo};
}

// A name server may take longer than there is time, and the system's resolver cannot be interrupted: then it is left to
// a thread that nobody waits for. Nothing: the deadline passed.
std::optional<Resolved> resolve_by(const Place& place, Deadline deadline) {
  Resolved numeric = resolve(place, AI_NUMERICHOST);
  if (numeric != nullptr) return numeric;
  if (deadline.is_never()) return resolve(place, 0);
  std::packaged_task<Resolved()> task([place] { return resolve(place, 0); });
  std::future<Resolved> answer = task.get_future();
  std::thread resolver(std::move(task));
  if (answer.wait_for(deadline.left()) != std::future_status::ready) {
    resolver.detach();
    return std::nullopt;
  }
  resolver.join();
  return answer.get();
}

Fd make_socket(const addrinfo& to) {
  Fd socket(::socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) throw_errno("socket");
  return socket;
}

void set_option(const Fd& socket, int level, int option, int value) {
  if (::setsockopt(socket.get(), level, option, &value, sizeof value) != 0) throw_errno("setsockopt");
}

std::string port_of(const Fd& socket) {
  sockaddr_storage address = {};
  socklen_t length = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) throw_errno("getsockname");
  const in_port_t port = address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                                       : reinterpret_cast<const sockaddr_in&>(address).sin_port;
  return std::to_string(ntohs(port));
}

// Connecting to a free port of this host may pick the same port for this side, and so meet itself.
bool leads_to_itself(const Fd& socket) {
  sockaddr_storage own = {};
  sockaddr_storage peers = {};
  socklen_t own_length = sizeof own;
  socklen_t peers_length = sizeof peers;
  return ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &own_length) == 0 &&
         ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peers), &peers_length) == 0 &&
         own_length == peers_length && std::memcmp(&own, &peers, own_length) == 0;
}

// 0 or the error of connect(); nothing: the deadline passed.
std::optional<int> connect_by(const Fd& socket, const addrinfo& to, Deadline deadline) {
  // Interrupted, it goes on by itself like any that is in progress.
  if (::connect(socket.get(), to.ai_addr, to.ai_addrlen) != 0 && errno != EINPROGRESS && errno != EINTR) return errno;
  while (true) {
    pollfd slot = {.fd = socket.get(), .events = POLLOUT, .revents = 0};
    if (sleep_on({&slot, 1}, deadline) == Wake::kReady) break;
    if (deadline.has_passed()) return std::nullopt;
  }
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) throw_errno("getsockopt(SO_ERROR)");
  return error == 0 && leads_to_itself(socket) ? ECONNREFUSED : error;
}

}  // namespace

void prepare_tcp(const Fd& socket) {
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

OpenDoor open_tcp_socket(Place place) {
  const Resolved addresses = resolve(place, AI_PASSIVE);
  if (addresses == nullptr) throw BadArgument("listen: unknown host " + place.host);
  int last_error = 0;
  for (const addrinfo* at = addresses.get(); at != nullptr; at = at->ai_next) {
    Fd socket = make_socket(*at);
    // Connections of an earlier listener that linger do not block the port; one that listens does.
    set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
    if (::bind(socket.get(), at->ai_addr, at->ai_addrlen) != 0 || ::listen(socket.get(), kBacklog) != 0) {
      last_error = errno;
      continue;
    }
    place.port = port_of(socket);
    return {.socket = std::move(socket), .place = std::move(place), .file = std::nullopt};
  }
  if (last_error == EADDRINUSE) throw Exists("listen: somebody has " + place.host + " port " + place.port);
  errno = last_error;
  throw_errno("bind");
}

std::optional<Fd> reach_tcp_socket(const Place& place, Deadline deadline) {
  const std::optional<Resolved> addresses = resolve_by(place, deadline);
  if (!addresses) return std::nullopt;
  const std::string what = "connect: " + place.host + " port " + place.port;
  if (*addresses == nullptr) throw NotFound(what);
  int last_error = 0;
  for (const addrinfo* at = addresses->get(); at != nullptr; at = at->ai_next) {
    Fd socket = make_socket(*at);
    const std::optional<int> error = connect_by(socket, *at, deadline);
    if (!error) return std::nullopt;
    last_error = *error;
    if (last_error != 0) continue;
    prepare_tcp(socket);
    return socket;
  }
  switch (last_error) {
    case ECONNREFUSED:
    case ECONNRESET: throw Refused(what);
    case EHOSTUNREACH:
    case ENETUNREACH: throw NotFound(what);
    default: errno = last_error; throw_errno("connect");
  }
}

}  // namespace crucible
