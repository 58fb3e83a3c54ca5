#include "core/door.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "core/address.h"
#include "core/descriptors.h"
#include "core/door_listener.h"
#include "core/door_socket.h"
#include "core/handshake.h"
#include "core/io.h"
#include "core/wait.h"

namespace crucible {
namespace {

void check(const DoorOptions& options) {
  if (!options.pipe.duplex) throw BadArgument("a door leads to duplex connections only");
  if (options.handshake_timeout <= options.handshake_timeout.zero()) {
    throw BadArgument("a handshake needs time");
  }
}

OpenDoor open_socket(Place place) {
  return place.kind == Place::Kind::kTcp ? open_tcp_socket(std::move(place)) : open_local_socket(std::move(place));
}

std::optional<Fd> reach_socket(const Place& place, Deadline deadline) {
  return place.kind == Place::Kind::kTcp ? reach_tcp_socket(place, deadline) : reach_local_socket(place, deadline);
}

}  // namespace

std::unique_ptr<Listener> open_door(const DoorKind& kind, const std::string& address, const DoorOptions& options) {
  return open_door(kind, address, options, nullptr);
}

std::unique_ptr<Listener> open_door(const DoorKind& kind, const std::string& address, const DoorOptions& options,
                                    std::function<void(const Fd& socket)> serve) {
  const Place place = parse_address(address, kind.scheme, kind.tcp);
  check(options);
  if (kind.check != nullptr) kind.check(options.pipe);
  ignore_sigpipe();
  return std::make_unique<DoorListener>(kind, open_socket(place), options, std::move(serve));
}

std::optional<Fd> go_through(const DoorKind& kind, const std::string& address, const DoorOptions& options,
                             Deadline deadline) {
  const Place place = parse_address(address, kind.scheme, kind.tcp);
  check(options);
  if (place.is_open()) throw BadArgument("connect: '" + address + "' leads nowhere");
  ignore_sigpipe();
  std::optional<Fd> socket = reach_socket(place, deadline);
  if (!socket) return std::nullopt;
  const std::optional<PeerCredentials> peer = kind.tcp ? std::nullopt : credentials_of(socket->get());
  if (!kind.tcp && !options.authkey && !(peer && is_trusted(*peer))) {
    throw Auth("connect: " + address + " is another user's");
  }
  const Terms terms = {.mechanism = kind.mechanism, .authkey = options.authkey};
  const Status status = shake_hands(*socket, terms, deadline);
  if (status == Status::kTimeout) return std::nullopt;
  if (status == Status::kAuth) {
    throw Auth("connect: " + address + " is no door of " + std::string(kind.mechanism) + ", or has another key");
  }
  if (status != Status::kOk) throw_status(status, ("connect: " + address).c_str());
  make_blocking(*socket);
  return socket;
}

std::unique_ptr<Connection> enter_door(const DoorKind& kind, const std::string& address, const DoorOptions& options,
                                       Deadline deadline) {
  std::optional<Fd> socket = go_through(kind, address, options, deadline);
  if (!socket) return nullptr;
  const std::optional<PeerCredentials> peer = kind.tcp ? std::nullopt : credentials_of(socket->get());
  std::unique_ptr<Connection> connection = kind.enter(std::move(*socket), options.pipe, deadline);
  if (connection != nullptr && peer) connection->set_peer(*peer);
  return connection;
}

// --- What is passed between admit() and enter() --------------------------------------------------------------

namespace {

constexpr std::array<char, 8> kMagic = {'H', 'A', 'N', 'D', 'L', 'E', '\0', '\1'};
constexpr std::size_t kLargest = 4096;

}  // namespace

void pass(const Fd& socket, const Handle& handle) {
  if (kMagic.size() + handle.state.size() > kLargest) throw BadArgument("pass: the handle's state is too long");
  auto magic = kMagic;
  iovec parts[] = {{magic.data(), magic.size()}, {const_cast<std::byte*>(handle.state.data()), handle.state.size()}};
  while (send_with_descriptors(socket.get(), parts, handle.descriptors, MSG_DONTWAIT) < 0) {
    if (errno != EINTR) throw_errno("sendmsg");
  }
}

Status take(const Fd& socket, std::size_t descriptors, Handle& handle, Deadline deadline) {
  std::array<std::byte, kLargest> bytes;
  iovec part = {bytes.data(), bytes.size()};
  std::vector<int> received;
  ssize_t count = -1;
  while ((count = receive_with_descriptors(socket.get(), {&part, 1}, received, MSG_DONTWAIT)) < 0) {
    // ECONNRESET comes once, ahead of what is still buffered.
    if (errno == EINTR || errno == ECONNRESET) continue;
    if (errno == EMSGSIZE) return Status::kAuth;
    if (errno != EAGAIN) throw_errno("recvmsg");
    pollfd slot = {.fd = socket.get(), .events = POLLIN, .revents = 0};
    if (sleep_on({&slot, 1}, deadline) != Wake::kReady && deadline.has_passed()) return Status::kTimeout;
  }
  if (count == 0) return Status::kEof;
  const auto size = static_cast<std::size_t>(count);
  const bool is_handle = size >= kMagic.size() && received.size() == descriptors &&
                         std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
  if (!is_handle) {
    for (const int descriptor : received) ::close(descriptor);
    return Status::kAuth;
  }
  handle.descriptors = std::move(received);
  handle.state.assign(bytes.begin() + kMagic.size(), bytes.begin() + count);
  return Status::kOk;
}

}  // namespace crucible
