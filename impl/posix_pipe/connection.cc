#include "posix_pipe/connection.h"

#include <fcntl.h>
#include <unistd.h>

#include <climits>
#include <string>

namespace crucible {
namespace {

constexpr std::size_t kPage = 4096;

struct PipeEnds {
  Fd reader;
  Fd writer;
};

PipeEnds make_pipe(std::size_t capacity) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe2");
  PipeEnds made{Fd(ends[0]), Fd(ends[1])};
  // Past /proc/sys/fs/pipe-user-pages-soft only a capacity that was asked for is insisted on.
  // One more page than asked for, since a pipe whose last page has room left does not poll writable.
  const auto resize = [&made](std::size_t bytes) {
    return fcntl(made.writer.get(), F_SETPIPE_SZ, static_cast<int>(bytes)) >= 0;
  };
  if (capacity == 0) {
    (void)resize(PosixPipeConnection::kDefaultCapacity);
  } else if (capacity > INT_MAX - kPage || (!resize(capacity + kPage) && !resize(capacity))) {
    throw BadArgument("pipe: the system refuses a capacity of " + std::to_string(capacity));
  }
  return made;
}

}  // namespace

std::pair<std::unique_ptr<PosixPipeConnection>, std::unique_ptr<PosixPipeConnection>> PosixPipeConnection::pair(
    const PipeOptions& options) {
  PipeEnds to_first = make_pipe(options.capacity_bytes);
  PipeEnds to_second = options.duplex ? make_pipe(options.capacity_bytes) : PipeEnds{};
  const auto states = make_states(true);
  const auto end = [&](Fd in, Fd out, bool first) {
    const bool readable = static_cast<bool>(in);
    const bool writable = static_cast<bool>(out);
    return std::unique_ptr<PosixPipeConnection>(new PosixPipeConnection({.kind = StreamKind::kPipe,
                                                                         .in = std::move(in),
                                                                         .out = std::move(out),
                                                                         .readable = readable,
                                                                         .writable = writable},
                                                                        states, first, options.read_ahead));
  };
  auto first = end(std::move(to_first.reader), std::move(to_second.writer), true);
  return {std::move(first), end(std::move(to_second.reader), std::move(to_first.writer), false)};
}

std::unique_ptr<PosixPipeConnection> PosixPipeConnection::adopt(const Handle& handle) {
  const std::vector<int>& descriptors = handle.descriptors;
  Stream stream = {.kind = StreamKind::kPipe, .in = {}};
  const auto states = adopt_states(handle, stream);
  if (descriptors.size() != (stream.readable ? 1U : 0U) + (stream.writable ? 1U : 0U)) {
    throw BadArgument("adopt: a pipe's end has a descriptor per direction");
  }
  if (stream.readable) stream.in = Fd(descriptors.front());
  if (stream.writable) stream.out = Fd(descriptors.back());
  return std::unique_ptr<PosixPipeConnection>(new PosixPipeConnection(std::move(stream), states, true, false));
}

}  // namespace crucible
