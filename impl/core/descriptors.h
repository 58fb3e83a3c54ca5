// Packets that carry descriptors (SCM_RIGHTS) over AF_UNIX sockets.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <span>
#include <vector>

namespace crucible {

/// sendmsg(2) with MSG_NOSIGNAL, `flags`, and at most Connection::kMostDescriptors descriptors.
ssize_t send_with_descriptors(int socket, std::span<iovec> parts, std::span<const int> descriptors, int flags);

/// recvmsg(2) with MSG_CMSG_CLOEXEC and `flags`. The descriptors are the caller's. Of a packet that is longer than
/// `parts` (EMSGSIZE), or whose descriptors this process's table has no room for (EMFILE), nothing is left.
ssize_t receive_with_descriptors(int socket, std::span<iovec> parts, std::vector<int>& descriptors, int flags);

}  // namespace crucible
