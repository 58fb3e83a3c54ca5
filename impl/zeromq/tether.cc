#include "zeromq/tether.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>

#include "api/status.h"

namespace crucible {
namespace {

constexpr char kGreeting = 'G';
constexpr char kBequest = 'B';
constexpr char kLoan = 'L';
constexpr std::size_t kGreetingBytes = 1 + 1 + 2 + 32;
constexpr std::size_t kBequestBytes = 1 + 1 + 8;  // kind, whether it is in a memfd, length

void write_all(int file, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) throw_errno("write(memfd)");
    if (written > 0) bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

Bytes read_file(int file, std::uint64_t length) {
  struct stat facts = {};
  if (fstat(file, &facts) != 0 || static_cast<std::uint64_t>(facts.st_size) != length) return {};
  Bytes bytes(length);
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t got = ::pread(file, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (got == 0) return {};
    if (got < 0 && errno != EINTR) throw_errno("pread(memfd)");
    if (got > 0) at += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace

bool Tether::is_unix() const {
  int domain = 0;
  socklen_t length = sizeof domain;
  return getsockopt(socket_.get(), SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX;
}

Tether::News Tether::look() {
  const std::lock_guard lock(mutex_);
  if (!news_.severed) read_notes();
  return news_;
}

void Tether::read_notes() {
  constexpr std::size_t kDescriptorSpace = CMSG_SPACE(sizeof(int));
  std::array<std::byte, kBequestBytes + kInline> buffer;
  while (true) {
    alignas(cmsghdr) std::array<char, kDescriptorSpace> control;
    iovec part = {buffer.data(), buffer.size()};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = CMSG_LEN(sizeof(int));  // room for one
    const ssize_t got = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EAGAIN) return;
    // The kernel says once that the other side left notes unread; those that it sent come after that.
    if (got < 0 && (errno == EINTR || errno == ECONNRESET)) continue;
    if (got < 0 && errno != ETIMEDOUT && errno != EPIPE && errno != EHOSTUNREACH) throw_errno("recvmsg");
    if (got <= 0) {
      news_.severed = true;
      return;
    }
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
      passed_.emplace_back(descriptor);
    }
    unread_.insert(unread_.end(), buffer.begin(), buffer.begin() + got);
    std::size_t at = 0;
    while (at < unread_.size() && read_note(at)) {
    }
    unread_.erase(unread_.begin(), unread_.begin() + static_cast<std::ptrdiff_t>(at));
    if (news_.severed) return;
  }
}

// False: it has not come as a whole. What is no note ends the acquaintance.
bool Tether::read_note(std::size_t& at) {
  const ByteView rest = ByteView(unread_).subspan(at);
  switch (static_cast<char>(rest[0])) {
    case 'A': news_.attached = true; break;
    case 'D': news_.deaf = true; break;
    case 'C': news_.closing = true; break;
    case 'F': news_.flushed = true; break;
    case kLoan:  // without its descriptor if this process had none free
      if (!passed_.empty()) lent_ = std::move(passed_.back());
      passed_.clear();
      break;
    case kGreeting:
      if (rest.size() < kGreetingBytes) return false;
      if (rest[1] != std::byte{Greeting::kVersion}) {
        news_.severed = true;
        return false;
      }
      news_.greeting.port =
          static_cast<std::uint16_t>(static_cast<unsigned>(rest[2]) << 8U | static_cast<unsigned>(rest[3]));
      std::memcpy(news_.greeting.random.data(), rest.data() + 4, news_.greeting.random.size());
      news_.greeted = std::ranges::all_of(news_.greeting.random, [](unsigned char c) { return std::isxdigit(c) != 0; });
      if (!news_.greeted) {
        news_.severed = true;
        return false;
      }
      at += kGreetingBytes;
      return true;
    case kBequest: {
      std::uint64_t length = 0;
      if (rest.size() < kBequestBytes) return false;
      std::memcpy(&length, rest.data() + 2, sizeof length);
      const bool in_file = rest[1] != std::byte{0};
      if (in_file ? passed_.empty() : length > kInline) {
        news_.severed = true;
        return false;
      }
      if (!in_file && rest.size() < kBequestBytes + length) return false;
      if (in_file) {
        bequest_ = read_file(passed_.front().get(), length);
        passed_.clear();
      } else {
        const auto first = rest.begin() + kBequestBytes;
        bequest_.assign(first, first + static_cast<std::ptrdiff_t>(length));
        at += length;
      }
      news_.bequest = true;
      at += kBequestBytes;
      return true;
    }
    default: news_.severed = true; return false;
  }
  ++at;
  return true;
}

void Tether::greet(const Greeting& greeting) {
  std::array<std::byte, kGreetingBytes> note;
  note[0] = std::byte{kGreeting};
  note[1] = std::byte{Greeting::kVersion};
  note[2] = static_cast<std::byte>(greeting.port >> 8U);
  note[3] = static_cast<std::byte>(greeting.port & 0xffU);
  std::memcpy(note.data() + 4, greeting.random.data(), greeting.random.size());
  send_all(note, -1);
}

bool Tether::say(char note, int passed) noexcept { return send_all(as_bytes({&note, 1}), passed); }

void Tether::lend(const Fd& descriptor) noexcept { say(kLoan, descriptor.get()); }

// In a forked child the mutex may be one that a thread of the parent held.
void Tether::close() noexcept {
  socket_.reset();
  lent_.reset();
}

bool Tether::send_all(ByteView bytes, int passed) noexcept {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  while (!bytes.empty()) {
    iovec part = {const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (passed >= 0) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof passed);
      std::memcpy(CMSG_DATA(header), &passed, sizeof passed);
    }
    const ssize_t sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EAGAIN) {
      constexpr int kPatienceMs = 1000;  // only a TCP peer whose host is overwhelmed takes so long
      pollfd slot = {.fd = socket_.get(), .events = POLLOUT, .revents = 0};
      if (poll(&slot, 1, kPatienceMs) == 0) return false;
    } else if (sent < 0 && errno != EINTR) {
      return false;
    }
    if (sent > 0) bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}

bool Tether::bequeath(const std::vector<ByteView>& messages) {
  Bytes note(kBequestBytes);
  std::uint64_t length = 0;
  for (const ByteView message : messages) length += sizeof(std::uint64_t) + message.size();
  const bool in_file = length > kInline;
  if (in_file && !is_unix()) return false;
  note[0] = std::byte{kBequest};
  note[1] = std::byte{in_file};
  std::memcpy(note.data() + 2, &length, sizeof length);
  Fd file;
  if (in_file) {
    file = Fd(memfd_create("crucible_bequest", MFD_CLOEXEC));
    if (!file) throw_errno("memfd_create");
  }
  for (const ByteView message : messages) {
    const std::uint64_t size = message.size();
    const ByteView head(reinterpret_cast<const std::byte*>(&size), sizeof size);
    if (in_file) {
      write_all(file.get(), head);
      write_all(file.get(), message);
    } else {
      note.insert(note.end(), head.begin(), head.end());
      note.insert(note.end(), message.begin(), message.end());
    }
  }
  return send_all(note, file.get());
}

Bytes Tether::inherit() {
  const std::lock_guard lock(mutex_);
  return std::exchange(bequest_, {});
}

}  // namespace crucible
