#include "posix_pipe/connection.h"

#include <fcntl.h>
#include <unistd.h>

#include <climits>
#include <string>

#include "core/door.h"

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

PosixPipeConnection::Pair PosixPipeConnection::make(const PipeOptions& options, bool second_reads_ahead) {
  PipeEnds to_first = make_pipe(options.capacity_bytes);
  PipeEnds to_second = options.duplex ? make_pipe(options.capacity_bytes) : PipeEnds{};
  const auto page = make_page(true);
  const auto end = [&](Fd in, Fd out, bool first) {
    Stream stream = {
        .kind = StreamKind::kPipe, .in = std::move(in), .out = std::move(out), .page = page, .first = first};
    stream.readable = static_cast<bool>(stream.in);
    stream.writable = static_cast<bool>(stream.out);
    return std::unique_ptr<PosixPipeConnection>(
        new PosixPipeConnection(std::move(stream), first ? options.read_ahead : second_reads_ahead));
  };
  auto first = end(std::move(to_first.reader), std::move(to_second.writer), true);
  return {std::move(first), end(std::move(to_second.reader), std::move(to_first.writer), false)};
}

PosixPipeConnection::Pair PosixPipeConnection::pair(const PipeOptions& options) {
  return make(options, options.read_ahead);
}

std::unique_ptr<PosixPipeConnection> PosixPipeConnection::adopt(const Handle& handle) {
  return std::unique_ptr<PosixPipeConnection>(new PosixPipeConnection(adopt_stream(StreamKind::kPipe, handle), false));
}

void PosixPipeConnection::check(const PipeOptions& options) { (void)pair(options); }

std::unique_ptr<Connection> PosixPipeConnection::admit(Fd socket, const PipeOptions& options) {
  auto [own, peers] = make(options, false);
  pass(socket, peers->handle());
  return std::move(own);
}

std::unique_ptr<Connection> PosixPipeConnection::enter(Fd socket, const PipeOptions& options, Deadline deadline) {
  constexpr std::size_t kOfDuplex = 3;
  Handle handle;
  const Status status = take(socket, kOfDuplex, handle, deadline);
  if (status == Status::kTimeout) return nullptr;
  if (status != Status::kOk) throw_status(status, "connect");
  try {
    return std::unique_ptr<Connection>(
        new PosixPipeConnection(adopt_stream(StreamKind::kPipe, handle), options.read_ahead));
  } catch (...) {
    for (const int descriptor : handle.descriptors) ::close(descriptor);
    throw;
  }
}

}  // namespace crucible
