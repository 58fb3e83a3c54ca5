// How an end comes to processes that have not inherited it: handles and the named door.
#include "core/door.h"

#include <unistd.h>

#include "posix_pipe/connection.h"

namespace crucible {
namespace {

// A handle's state.
constexpr unsigned kFirst = 1;
constexpr unsigned kReads = 2;
constexpr unsigned kWrites = 4;

}  // namespace

Handle PosixPipeConnection::handle() const {
  if (closed()) throw Closed("handle");
  if (had_ != 0) throw StateError("handle: the end is in the middle of a message");
  // The order of a pair(): of a process that is killed Linux closes the highest descriptor first, so that whoever sees
  // end of file cannot send either.
  Handle handle;
  if (writable_) handle.descriptors.push_back(out_.get());
  if (readable_) handle.descriptors.push_back(in_.get());
  handle.descriptors.push_back(page_->descriptor());
  const unsigned flags = (first_ ? kFirst : 0) | (readable_ ? kReads : 0) | (writable_ ? kWrites : 0);
  handle.state.push_back(static_cast<std::byte>(flags));
  return handle;
}

std::unique_ptr<PosixPipeConnection> PosixPipeConnection::adopt(const Handle& handle) {
  const std::vector<int>& descriptors = handle.descriptors;
  const bool is_foreign = handle.state.empty();
  const unsigned flags = is_foreign ? kFirst | kReads | kWrites : std::to_integer<unsigned>(handle.state[0]);
  const bool reads = (flags & kReads) != 0;
  const bool writes = (flags & kWrites) != 0;
  if (handle.state.size() > 1 || flags >= 2 * kWrites || (!reads && !writes)) {
    throw BadArgument("adopt: no state of this mechanism's");
  }
  const std::size_t expected = (reads ? 1U : 0U) + (writes ? 1U : 0U) + (is_foreign ? 0U : 1U);
  if (descriptors.size() != expected) throw BadArgument("adopt: a wrong number of descriptors");
  for (const int descriptor : descriptors) {
    if (descriptor < 0) throw BadArgument("adopt: a negative descriptor");
  }
  // Without the pair's page nothing is promised and nothing assumed.
  auto page = is_foreign ? SealedMemory::make(kSharedBytes) : SealedMemory::adopt(descriptors.back(), kSharedBytes);
  const std::size_t in = is_foreign || !writes ? 0 : 1;
  const std::size_t out = is_foreign ? 1 : 0;
  return std::unique_ptr<PosixPipeConnection>(new PosixPipeConnection(reads ? Fd(descriptors[in]) : Fd(),
                                                                      writes ? Fd(descriptors[out]) : Fd(),
                                                                      std::move(page), (flags & kFirst) != 0));
}

void PosixPipeConnection::check(const PipeOptions& options) { (void)pair(options); }

std::unique_ptr<Connection> PosixPipeConnection::admit(Fd socket, const PipeOptions& options) {
  auto [own, peers] = pair(options);
  pass(socket, peers->handle());
  return std::move(own);
}

std::unique_ptr<Connection> PosixPipeConnection::enter(Fd socket, const PipeOptions& /*options*/, Deadline deadline) {
  constexpr std::size_t kOfDuplex = 3;
  Handle handle;
  const Status status = take(socket, kOfDuplex, handle, deadline);
  if (status == Status::kTimeout) return nullptr;
  if (status != Status::kOk) throw_status(status, "connect");
  try {
    return adopt(handle);
  } catch (...) {
    for (const int descriptor : handle.descriptors) ::close(descriptor);
    throw;
  }
}

}  // namespace crucible
