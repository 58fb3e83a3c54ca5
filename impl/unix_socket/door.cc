// How an end comes to processes that have not inherited it: handles and the named door.
#include "core/door.h"

#include "unix_socket/connection.h"

namespace crucible {
namespace {

// A handle's state.
constexpr unsigned kFirst = 1;
constexpr unsigned kReads = 2;
constexpr unsigned kWrites = 4;

}  // namespace

Handle UnixSocketConnection::handle() const {
  if (closed()) throw Closed("handle");
  if (ahead_ != nullptr) throw Unsupported("handle: the end reads ahead");
  if (begun_) throw StateError("handle: the end is in the middle of a message");
  const unsigned flags = (first_ ? kFirst : 0) | (readable_ ? kReads : 0) | (writable_ ? kWrites : 0);
  return {.descriptors = {socket_.get(), page_->descriptor()}, .state = {static_cast<std::byte>(flags)}};
}

std::unique_ptr<UnixSocketConnection> UnixSocketConnection::adopt(const Handle& handle) {
  const std::vector<int>& descriptors = handle.descriptors;
  const bool is_foreign = handle.state.empty();
  if (descriptors.size() != (is_foreign ? 1 : 2)) throw BadArgument("adopt: a wrong number of descriptors");
  for (const int descriptor : descriptors) {
    if (descriptor < 0) throw BadArgument("adopt: a negative descriptor");
  }
  const unsigned flags = is_foreign ? kFirst | kReads | kWrites : std::to_integer<unsigned>(handle.state[0]);
  if (handle.state.size() > 1 || flags >= 2 * kWrites || (flags & (kReads | kWrites)) == 0) {
    throw BadArgument("adopt: no state of this mechanism's");
  }
  auto page = is_foreign ? SealedMemory::make(kSharedBytes) : SealedMemory::adopt(descriptors[1], kSharedBytes);
  return std::unique_ptr<UnixSocketConnection>(new UnixSocketConnection(
      Fd(descriptors[0]), (flags & kReads) != 0, (flags & kWrites) != 0, std::move(page), (flags & kFirst) != 0));
}

void UnixSocketConnection::check(const PipeOptions& options) { (void)pair(options); }

std::unique_ptr<Connection> UnixSocketConnection::admit(Fd socket, const PipeOptions& options) {
  set_capacity(socket.get(), options);
  auto page = SealedMemory::make(kSharedBytes);
  pass(socket, {.descriptors = {page->descriptor()}, .state = {}});
  return std::unique_ptr<Connection>(
      new UnixSocketConnection(std::move(socket), true, true, std::move(page), true, options.read_ahead));
}

std::unique_ptr<Connection> UnixSocketConnection::enter(Fd socket, const PipeOptions& options, Deadline deadline) {
  set_capacity(socket.get(), options);
  Handle handle;
  const Status status = take(socket, 1, handle, deadline);
  if (status == Status::kTimeout) return nullptr;
  if (status != Status::kOk) throw_status(status, "connect");
  Fd file(handle.descriptors[0]);
  auto page = SealedMemory::adopt(file.get(), kSharedBytes);
  (void)file.release();
  return std::unique_ptr<Connection>(
      new UnixSocketConnection(std::move(socket), true, true, std::move(page), false, options.read_ahead));
}

}  // namespace crucible
