// HandleDoor: the named door of what all its users hold alike, such as a queue. Who comes through gets a copy.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/connection.h"
#include "api/deadline.h"
#include "api/listener.h"

namespace crucible {

/// Gives a Handle to every client that passes the handshake of core/door.h. A thread of the door's own does that, so it
/// needs no call by the process that opened it, and that process may die: clients have copies of the descriptors. The
/// name goes with the process; a forked copy of the door serves nobody and leaves the name alone.
class HandleDoor {
 public:
  /// What is behind the door, on both sides alike.
  struct Kind {
    /// Stands in the handshake where a pipe says its mechanism, so that each is refused at the other's door
    /// ("unix_socket queue"). At most 22 bytes; must outlive the door.
    std::string_view object;
    std::string_view scheme;
    std::size_t descriptors;  ///< of the handle, at most Connection::kMostDescriptors
  };

  /// Opens it at `address`, of the kind's scheme and on this host. The handle's descriptors stay the caller's and must
  /// be open until close(). Throws BadArgument, Exists, std::system_error as listen() does.
  HandleDoor(const Kind& kind, const std::string& address, const DoorOptions& options, Handle handle);
  HandleDoor(const HandleDoor&) = delete;
  HandleDoor& operator=(const HandleDoor&) = delete;
  ~HandleDoor() { close(); }

  /// What enter() takes, with what the system chose filled in. Kept after close().
  const std::string& address() const noexcept { return listener_->address(); }
  /// Removes the name; waits until nobody is served any more. Idempotent, any thread.
  void close() noexcept { listener_->close(); }

  /// A client's copy; its descriptors (CLOEXEC) are the caller's. Nothing: the deadline passed first. Throws
  /// BadArgument, NotFound, Refused, Auth (also where something else is behind the door), Eof (the door was closed
  /// meanwhile), std::system_error.
  static std::optional<Handle> enter(const Kind& kind, const std::string& address, const DoorOptions& options,
                                     Deadline deadline);

 private:
  std::unique_ptr<Listener> listener_;
};

}  // namespace crucible
