// Listener: the named door, by which programs that are no forks of each other meet.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "api/bytes.h"
#include "api/connection.h"
#include "api/deadline.h"
#include "api/waitable.h"

namespace crucible {

/// How one side comes to the door.
struct DoorOptions {
  /// With a key, both sides prove that they know the same one (also an empty one) before anything else happens, by a
  /// mutual HMAC-SHA-256 challenge; a peer without one is kAuth. Nothing: the kernel's word decides. A door in the file
  /// system is open to its owner (mode 0600); at an abstract name the peer must be of the same user, or root; a TCP
  /// door without a key is open to whoever can reach it.
  std::optional<Bytes> authkey = {};
  /// A peer that has not finished its handshake by then is refused. Listening side.
  std::chrono::milliseconds handshake_timeout{5000};
  /// How the connections are made; `duplex` must be true. Each side gives its own `wait` and `read_ahead`;
  /// capacity_bytes counts for what that side allocates.
  PipeOptions pipe = {};
};

/// Accepts connections at an address written as text: the mechanism's scheme, a colon, and where (core/address.h says
/// what). Handshakes happen on a thread of the listener's own, so a silent or hostile peer delays neither accept() nor
/// other peers, and a connect() succeeds while nobody is in accept(). Belongs to the process that made it: in a forked
/// copy accept() is kState and close() leaves the name alone. One thread accepts at a time; close() may come from any.
/// Ready in wait() when accept() would not wait.
class Listener : public Waitable {
 public:
  /// The next connection, in `connection` on kOk. kAuth: a peer was refused; accept again (connections that are ready
  /// come first). kTimeout, kState, kClosed (also when close() comes meanwhile).
  virtual Status accept(std::unique_ptr<Connection>& connection, Deadline deadline = Deadline::never()) = 0;
  /// The address that connect() takes, with what the system chose (a port, a name) filled in. Kept after close().
  virtual const std::string& address() const noexcept = 0;
  /// Removes the name, if it is still this listener's. Accepted connections live on. Idempotent.
  virtual void close() noexcept = 0;
};

}  // namespace crucible
