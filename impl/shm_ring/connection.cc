#include "shm_ring/connection.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "core/door.h"

namespace crucible {

using shm_ring::Call;
using shm_ring::Memory;

namespace {

std::size_t capacity(const PipeOptions& options) {
  const std::size_t asked = options.capacity_bytes == 0 ? ShmRingConnection::kDefaultCapacity : options.capacity_bytes;
  if (asked > Memory::kMostCapacity) throw BadArgument("pipe: no memory holds such a capacity");
  return std::bit_ceil(std::max(asked, Memory::kLeastCapacity));
}

}  // namespace

ShmRingConnection::Mapped::Mapped(std::shared_ptr<Memory> mapped, int socket, std::size_t side) noexcept
    : memory(std::move(mapped)),
      own(memory->header().sides[side]),
      watch(socket, memory->header().sides[1 - side]),
      out(memory->header().controls[1 - side], memory->data(1 - side), memory->capacity()),
      in(memory->header().controls[side], memory->data(side), memory->capacity()) {}

ShmRingConnection::ShmRingConnection(Fd memory, Fd socket, std::shared_ptr<Memory> mapped, std::size_t side,
                                     WaitStrategy strategy)
    : memory_(std::move(memory)), socket_(std::move(socket)), side_(side), strategy_(strategy) {
  enroll();
  if (mapped == nullptr) return;
  const bool duplex = mapped->directions() == 2;
  readable_ = duplex || side == 0;
  writable_ = duplex || side == 1;
  mapped_.emplace(std::move(mapped), socket_.get(), side);
}

std::pair<std::unique_ptr<ShmRingConnection>, std::unique_ptr<ShmRingConnection>> ShmRingConnection::pair(
    const PipeOptions& options) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("socketpair");
  Fd sockets[] = {Fd(ends[0]), Fd(ends[1])};
  Fd files[2];
  files[0] = Memory::create(capacity(options), options.duplex ? 2 : 1);
  files[1] = Fd(fcntl(files[0].get(), F_DUPFD_CLOEXEC, 0));
  if (!files[1]) throw_errno("fcntl(F_DUPFD_CLOEXEC)");
  const std::shared_ptr<Memory> memory = Memory::map(files[0].get());
  const auto end = [&](std::size_t side) {
    return std::unique_ptr<ShmRingConnection>(new ShmRingConnection(std::move(files[side]), std::move(sockets[side]),
                                                                    memory, side,
                                                                    options.wait.value_or(WaitStrategy::kAdaptive)));
  };
  auto first = end(0);
  return {std::move(first), end(1)};
}

std::unique_ptr<Connection> ShmRingConnection::admit(Fd socket, const PipeOptions& options) {
  Fd file = Memory::create(capacity(options), 2);
  pass(socket, {.descriptors = {file.get()}, .state = {}});
  std::shared_ptr<Memory> memory = Memory::map(file.get());
  return std::unique_ptr<Connection>(new ShmRingConnection(std::move(file), std::move(socket), std::move(memory), 0,
                                                           options.wait.value_or(WaitStrategy::kAdaptive)));
}

std::unique_ptr<Connection> ShmRingConnection::enter(Fd socket, const PipeOptions& options, Deadline deadline) {
  (void)capacity(options);  // the listener's counts, but what is impossible is so on both sides
  Handle handle;
  const Status status = take(socket, 1, handle, deadline);
  if (status == Status::kTimeout) return nullptr;
  if (status != Status::kOk) throw_status(status, "connect");
  Fd file(handle.descriptors[0]);
  std::shared_ptr<Memory> memory = Memory::map(file.get());
  return std::unique_ptr<Connection>(new ShmRingConnection(std::move(file), std::move(socket), std::move(memory), 1,
                                                           options.wait.value_or(WaitStrategy::kAdaptive)));
}

Handle ShmRingConnection::handle() const {
  if (closed()) throw Closed("handle");
  if (begun_ || reserved_ || peeked_) throw StateError("handle: in the middle of a message");
  return {.descriptors = {memory_.get(), socket_.get()},
          .state = {static_cast<std::byte>(side_), static_cast<std::byte>(strategy_)}};
}

std::unique_ptr<ShmRingConnection> ShmRingConnection::adopt(const Handle& handle) {
  const std::vector<int>& descriptors = handle.descriptors;
  if (descriptors.size() != 2) throw BadArgument("adopt: an end of a ring has two descriptors");
  if (descriptors[0] < 0 || descriptors[1] < 0) throw BadArgument("adopt: a negative descriptor");
  std::size_t side = 0;
  auto strategy = WaitStrategy::kAdaptive;
  if (!handle.state.empty()) {
    if (handle.state.size() != 2) throw BadArgument("adopt: not the state of an end of a ring");
    side = static_cast<std::size_t>(handle.state[0]);
    strategy = static_cast<WaitStrategy>(handle.state[1]);
    if (side > 1 || strategy > WaitStrategy::kBlock) throw BadArgument("adopt: not the state of an end of a ring");
  }
  std::shared_ptr<Memory> memory;
  try {
    memory = Memory::map(descriptors[0]);
  } catch (const std::system_error& error) {
    if (error.code().value() != EBADF) throw;
  }
  return std::unique_ptr<ShmRingConnection>(
      new ShmRingConnection(Fd(descriptors[0]), Fd(descriptors[1]), std::move(memory), side, strategy));
}

void ShmRingConnection::require_mapped() {
  if (mapped_) return;
  errno = EBADF;
  throw_errno("shm_ring");
}

// Whoever is told finds the socket closed.
void ShmRingConnection::close() noexcept {
  if (!gate_.close()) return;
  socket_.reset();
  if (mapped_) {
    mapped_->own.closes.fetch_add(1, std::memory_order_seq_cst);
    for (std::atomic<std::uint32_t>* word : {&mapped_->out.control().receiver, &mapped_->in.control().sender}) {
      if ((word->fetch_and(~Call::kSleeps, std::memory_order_seq_cst) & Call::kSleeps) != 0) shm_ring::wake(*word);
    }
  }
  mapped_.reset();
  memory_.reset();
}

shm_ring::Waiting ShmRingConnection::waiting(std::atomic<std::uint32_t>& word, shm_ring::Patience& patience) {
  return {strategy_, word, mapped_->own, mapped_->watch, gate_, patience};
}

// --- Waiting for many things -----------------------------------------------------------------------------------

bool ShmRingConnection::has_news() noexcept {
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass || !mapped_ || begun_ || mapped_->watch.heard()) return true;
  try {
    Consumer::Record record = {0, Word(0)};
    return mapped_->in.front(record);
  } catch (const std::exception&) {  // a receive shall meet it
    return true;
  }
}

bool ShmRingConnection::begin_wait(pollfd& slot) {
  if (!gate_.enter(Gate::kReceive)) throw Closed("wait");
  try {
    require_mapped();
    slot.fd = socket_.get();
    shm_ring::Waiting::tell_cpu(mapped_->own);
    slot.events = readable() ? POLLIN : 0;  // a sender's only news is that its receiver is gone
    Consumer::Record record = {0, Word(0)};
    bool ready = mapped_->watch.gone();
    if (!ready && readable()) {
      mapped_->in.control().receiver.fetch_or(Call::kBell, std::memory_order_seq_cst);
      heavy_fence();
      ready = mapped_->in.front(record);
    }
    if (!ready) return false;
  } catch (...) {
    gate_.leave(Gate::kReceive);
    throw;
  }
  gate_.leave(Gate::kReceive);
  return true;
}

bool ShmRingConnection::end_wait(short revents) {
  bool ready = !readable() && revents != 0;
  if (readable()) {
    mapped_->in.control().receiver.fetch_and(~Call::kBell, std::memory_order_relaxed);
    char bell = 0;
    if ((revents & POLLIN) != 0) {
      while (::recv(socket_.get(), &bell, 1, MSG_DONTWAIT) > 0) {
      }
    }
    Consumer::Record record = {0, Word(0)};
    ready = mapped_->in.front(record) || (revents & ~POLLIN) != 0;
  }
  gate_.leave(Gate::kReceive);
  return ready;
}

}  // namespace crucible
