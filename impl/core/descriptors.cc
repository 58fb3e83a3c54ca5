#include "core/descriptors.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "api/connection.h"

namespace crucible {
namespace {

constexpr std::size_t kMost = Connection::kMostDescriptors;

union Control {
  std::array<char, CMSG_SPACE(kMost * sizeof(int))> bytes;
  cmsghdr aligned;  // as the kernel wants it
};

}  // namespace

ssize_t send_with_descriptors(int socket, std::span<iovec> parts, std::span<const int> descriptors, int flags) {
  Control control = {};
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  if (descriptors.size() > kMost) {
    errno = EINVAL;
    return -1;
  }
  if (!descriptors.empty()) {
    message.msg_control = control.bytes.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL | flags);
}

ssize_t receive_with_descriptors(int socket, std::span<iovec> parts, std::vector<int>& descriptors, int flags) {
  descriptors.clear();
  descriptors.reserve(kMost);  // before there is anything that an exception would leak
  Control control = {};
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  const ssize_t count = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags);
  if (count < 0) return count;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    descriptors.resize((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::memcpy(descriptors.data(), CMSG_DATA(part), descriptors.size() * sizeof(int));
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) return count;
  for (const int descriptor : descriptors) ::close(descriptor);
  descriptors.clear();
  errno = (message.msg_flags & MSG_CTRUNC) != 0 ? EMFILE : EMSGSIZE;
  return -1;
}

}  // namespace crucible
