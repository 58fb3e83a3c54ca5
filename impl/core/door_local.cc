// Doors on one host: AF_UNIX sockets.
#include <fcntl.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <system_error>
#include <thread>

#include "api/status.h"
#include "core/door_socket.h"
#include "core/random.h"

namespace crucible {
namespace {

constexpr int kBacklog = 128;
constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;

struct LocalName {
  sockaddr_un address = {};
  socklen_t length = 0;

  explicit LocalName(const Place& place) {
    address.sun_family = AF_UNIX;
    const bool is_abstract = place.kind == Place::Kind::kAbstract;
    place.name.copy(address.sun_path + (is_abstract ? 1 : 0), place.name.size());
    // An abstract name is as long as is said; a path has its NUL.
    length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + place.name.size() + 1);
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

Fd make_socket(int type) {
  Fd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("socket");
  return socket;
}

void start_listening(const Fd& socket) {
  if (::listen(socket.get(), kBacklog) != 0) throw_errno("listen");
}

std::string random_name() {
  std::array<unsigned char, 16> random;
  fill_randomly(random);
  std::array<char, 2 * random.size() + 1> text;
  sodium_bin2hex(text.data(), text.size(), random.data(), random.size());
  return std::string("crucible-") + text.data();
}

// Makes starters at names of one directory take turns: the name of a dead owner must not be removed twice, the second
// time under a new owner. Time-limited, since whoever can read the directory can hold this lock.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::string& path) {
    const std::string directory = path.substr(0, path.rfind('/') + 1);
    directory_ = Fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory_) throw std::system_error(errno, std::generic_category(), "open " + directory);
    const Deadline limit = Deadline::after(std::chrono::seconds(10));
    while (::flock(directory_.get(), LOCK_EX | LOCK_NB) != 0) {
      if ((errno != EWOULDBLOCK && errno != EINTR) || limit.has_passed()) throw_errno("flock");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

 private:
  Fd directory_;
};

// Whether an owner lives, be it stopped or busy. A socket of another type is turned away by the kernel with EPROTOTYPE,
// so that the owner hears nothing of the question.
bool is_inhabited(const LocalName& name) {
  const Fd probe = make_socket(SOCK_DGRAM | SOCK_NONBLOCK);
  return ::connect(probe.get(), name.get(), name.length) == 0 || (errno != ECONNREFUSED && errno != ENOENT);
}

SocketFile bind_file(const Fd& socket, const Place& place) {
  const LocalName name(place);
  const std::string& path = place.name;
  const DirectoryLock lock(path);
  // The kernel makes the file with the socket's own mode, less the umask: never wider than this, whatever that is.
  if (::fchmod(socket.get(), kOwnerOnly) != 0) throw_errno("fchmod");
  while (::bind(socket.get(), name.get(), name.length) != 0) {
    if (errno != EADDRINUSE) throw_errno("bind");
    struct stat facts = {};
    if (::lstat(path.c_str(), &facts) != 0) {
      if (errno != ENOENT) throw_errno("lstat");
      continue;
    }
    if (!S_ISSOCK(facts.st_mode)) throw Exists("listen: " + path + " is no socket");
    if (is_inhabited(name)) throw Exists("listen: somebody listens at " + path);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno("unlink");
  }
  SocketFile file(path);
  // A umask that takes even its owner's rights away.
  if (::chmod(path.c_str(), kOwnerOnly) != 0) throw_errno("chmod");
  start_listening(socket);
  return file;
}

void limit_sending(const Fd& socket, std::chrono::microseconds limit) {
  const timeval value = {.tv_sec = limit.count() / 1'000'000, .tv_usec = limit.count() % 1'000'000};
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &value, sizeof value) != 0) {
    throw_errno("setsockopt(SO_SNDTIMEO)");
  }
}

[[noreturn]] void throw_unreachable(const Place& place) {
  const std::string what = "connect: " + place.name;
  switch (errno) {
    case ENOENT:
    case ENOTDIR: throw NotFound(what);
    // Nobody has the abstract name; a path may be that of a dead owner, or no socket.
    case ECONNREFUSED:
      if (place.kind == Place::Kind::kAbstract) throw NotFound(what);
      throw Refused(what);
    case EPROTOTYPE: throw Refused(what + " is a socket of another type");
    case EACCES:
    case EPERM: throw Auth(what + " may not be opened by this user");
    default: throw_errno("connect");
  }
}

}  // namespace

SocketFile::SocketFile(std::string path) : path_(std::make_unique<const std::string>(std::move(path))) {
  struct stat facts = {};
  if (::lstat(path_->c_str(), &facts) != 0) throw_errno("lstat");
  device_ = facts.st_dev;
  inode_ = facts.st_ino;
}

SocketFile::~SocketFile() {
  struct stat facts = {};
  if (path_ == nullptr || ::lstat(path_->c_str(), &facts) != 0) return;
  if (facts.st_dev == device_ && facts.st_ino == inode_) ::unlink(path_->c_str());
}

OpenDoor open_local_socket(Place place) {
  Fd socket = make_socket(SOCK_SEQPACKET | SOCK_NONBLOCK);
  std::optional<SocketFile> file;
  if (place.kind == Place::Kind::kPath) {
    file.emplace(bind_file(socket, place));
  } else {
    if (place.name.empty()) place.name = random_name();
    const LocalName name(place);
    if (::bind(socket.get(), name.get(), name.length) != 0) {
      if (errno == EADDRINUSE) throw Exists("listen: somebody has the name @" + place.name);
      throw_errno("bind");
    }
    start_listening(socket);
  }
  return {.socket = std::move(socket), .place = std::move(place), .file = std::move(file)};
}

// Where the backlog is full only a blocking connect() waits for its turn.
std::optional<Fd> reach_local_socket(const Place& place, Deadline deadline) {
  constexpr auto kLeast = std::chrono::microseconds(1);  // 0 would be no limit at all
  const LocalName name(place);
  const bool has_limit = !deadline.is_never() && !deadline.is_immediate();
  Fd socket = make_socket(SOCK_SEQPACKET | (deadline.is_immediate() ? SOCK_NONBLOCK : 0));
  while (true) {
    if (has_limit) limit_sending(socket, std::max(kLeast, ceil<std::chrono::microseconds>(deadline.left())));
    if (::connect(socket.get(), name.get(), name.length) == 0) break;
    if (errno != EAGAIN && errno != EINTR) throw_unreachable(place);
    if (deadline.has_passed()) return std::nullopt;
  }
  if (has_limit) limit_sending(socket, {});
  return socket;
}

void make_blocking(const Fd& socket) {
  const int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags & ~O_NONBLOCK) < 0) throw_errno("fcntl");
}

std::optional<PeerCredentials> credentials_of(int socket) {
  ucred peer = {};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return std::nullopt;
  return PeerCredentials{.pid = peer.pid, .uid = peer.uid, .gid = peer.gid};
}

bool is_trusted(const PeerCredentials& peer) { return peer.uid == ::geteuid() || peer.uid == 0; }

}  // namespace crucible
