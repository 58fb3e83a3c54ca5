#include "support/subject.h"

#include <fcntl.h>
#include <sys/socket.h>

namespace crucible::bench {

std::size_t kernel_buffer(const Connection& connection, const Capabilities& capabilities, const PipeOptions& options) {
  if (!capabilities.pollable || options.read_ahead) return 0;
  const int descriptor = connection.descriptor();
  if (const int capacity = fcntl(descriptor, F_GETPIPE_SZ); capacity > 0) return static_cast<std::size_t>(capacity);
  int buffer = 0;
  socklen_t length = sizeof buffer;
  return getsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &buffer, &length) == 0 ? static_cast<std::size_t>(buffer) : 0;
}

}  // namespace crucible::bench
