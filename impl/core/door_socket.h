// The sockets of named doors: one that listens at a place, one that leads to it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "api/connection.h"
#include "api/deadline.h"
#include "core/address.h"
#include "core/fd.h"

namespace crucible {

/// A socket's name in the file system, removed with the object.
class SocketFile {
 public:
  /// The one that stands at `path` now.
  explicit SocketFile(std::string path);
  SocketFile(SocketFile&& other) noexcept = default;
  SocketFile& operator=(SocketFile&&) = delete;
  /// Unless another file stands there by now. While the socket still listens nobody takes its name over, so that this
  /// needs no lock.
  ~SocketFile();
  /// It stays.
  void disown() noexcept { path_.reset(); }

 private:
  std::unique_ptr<const std::string> path_;
  dev_t device_;
  ino_t inode_;
};

/// A socket that listens, in non-blocking mode.
struct OpenDoor {
  Fd socket;
  Place place;  ///< with what the system chose
  std::optional<SocketFile> file;
};

/// Throw Exists if somebody lives at `place`, BadArgument for a host that is unknown, std::system_error. The name of an
/// owner that died is taken over.
OpenDoor open_local_socket(Place place);
OpenDoor open_tcp_socket(Place place);

/// A connected socket in either mode; none if the deadline passed first. Throw NotFound, Refused, Auth (a door that
/// this user may not open), std::system_error.
std::optional<Fd> reach_local_socket(const Place& place, Deadline deadline);
std::optional<Fd> reach_tcp_socket(const Place& place, Deadline deadline);

/// Connections start in blocking mode.
void make_blocking(const Fd& socket);

/// What every connected TCP socket gets: no delay, and a peer's silent death noticed in about a minute.
void prepare_tcp(const Fd& socket);

/// The process at the other end of an AF_UNIX socket; its number is 0 if this process cannot see it.
std::optional<PeerCredentials> credentials_of(int socket);

/// Whether a process that proves nothing may be talked to: it is this user's or root's.
bool is_trusted(const PeerCredentials& peer);

}  // namespace crucible
