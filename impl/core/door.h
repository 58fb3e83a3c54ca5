// The named door of every mechanism: a listening socket, the handshake, and what turns a proven socket into a
// connection. README.md in this folder documents the handshake byte by byte.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/connection.h"
#include "api/deadline.h"
#include "api/listener.h"
#include "core/fd.h"

namespace crucible {

/// What a mechanism adds to the common door. The socket that both functions get has passed the handshake: AF_UNIX
/// SOCK_SEQPACKET, or TCP with TCP_NODELAY, in blocking mode. They may keep it as the connection, as its lifeline, or
/// only to pass what the connection is made of.
struct DoorKind {
  std::string_view mechanism;
  std::string_view scheme;
  bool tcp = false;  ///< addresses are host:port; otherwise /path, @abstract or empty
  /// Throws BadArgument for options that admit() could never honour, so that a listener is told and not each peer.
  void (*check)(const PipeOptions& options) = nullptr;
  /// The listener's side. Runs on its handshake thread and so must not wait for the peer (what it sends fits an empty
  /// socket buffer). Throws: the peer is refused.
  std::unique_ptr<Connection> (*admit)(Fd socket, const PipeOptions& options);
  /// The connecting side; may wait until `deadline` for what admit() sends. Null: it passed. Throws as connect() does.
  std::unique_ptr<Connection> (*enter)(Fd socket, const PipeOptions& options, Deadline deadline);
};

/// Mechanism::listen and Mechanism::connect.
std::unique_ptr<Listener> open_door(const DoorKind& kind, const std::string& address, const DoorOptions& options);
std::unique_ptr<Connection> enter_door(const DoorKind& kind, const std::string& address, const DoorOptions& options,
                                       Deadline deadline);

/// A door whose visitors need not be accepted: `serve` gets each proven socket, on the listener's thread, and must not
/// wait. Of `kind` it uses mechanism, scheme and tcp. If `serve` throws, the visitor sees the socket closed.
std::unique_ptr<Listener> open_door(const DoorKind& kind, const std::string& address, const DoorOptions& options,
                                    std::function<void(const Fd& socket)> serve);
/// The socket of such a visitor, in blocking mode; none if the deadline passed first. Throws as connect() does.
std::optional<Fd> go_through(const DoorKind& kind, const std::string& address, const DoorOptions& options,
                             Deadline deadline);

/// Base of a mechanism's type M (mechanism.h) that has M::kDoor.
template <class M>
class HasDoor {
 public:
  static std::unique_ptr<Listener> listen(const std::string& address, const DoorOptions& options) {
    return open_door(M::kDoor, address, options);
  }
  static std::unique_ptr<Connection> connect(const std::string& address, const DoorOptions& options,
                                             Deadline deadline) {
    return enter_door(M::kDoor, address, options, deadline);
  }

 private:
  friend M;
  HasDoor() = default;
};

/// One message of at most 4 KiB with at most Connection::kMostDescriptors descriptors, between admit() and enter() over
/// an AF_UNIX socket. pass() throws std::system_error; take() returns kOk, kTimeout, kEof, or kAuth for what is none.
void pass(const Fd& socket, const Handle& handle);
Status take(const Fd& socket, std::size_t descriptors, Handle& handle, Deadline deadline);

}  // namespace crucible
