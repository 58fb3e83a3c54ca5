#include "zeromq/connection.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

namespace crucible {
namespace {

int high_water(const PipeOptions& options) {
  constexpr std::size_t kBytesPerMessage = 1024;
  constexpr std::size_t kMost = std::size_t{INT_MAX} / 4;
  if (options.capacity_bytes == 0) return ZeromqConnection::kHighWater;
  const std::size_t messages = (options.capacity_bytes - 1) / kBytesPerMessage + 1;
  if (messages > kMost) throw BadArgument("pipe: no queue of " + std::to_string(options.capacity_bytes) + " bytes");
  return static_cast<int>(messages);
}

}  // namespace

std::pair<Fd, Fd> ZeromqConnection::sockets() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("socketpair");
  return {Fd(ends[0]), Fd(ends[1])};
}

ZeromqConnection::Ends ZeromqConnection::make_ends(std::size_t count) {
  const std::size_t bytes = count * sizeof(Shared);  // zeros, as mmap gives them, are objects
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw_errno("mmap");
  return {static_cast<Shared*>(memory), [bytes](auto* mapped) { munmap(mapped, bytes); }};
}

ZeromqConnection::ZeromqConnection(ZeromqTransport transport, Fd socket, bool readable, bool writable,
                                   const PipeOptions& options, Ends ends, std::size_t index, std::size_t count)
    : transport_(transport),
      writable_(writable),
      readable_(readable),
      high_water_(high_water(options)),
      capacity_(options.capacity_bytes),
      tether_(std::move(socket)),
      ends_(std::move(ends)),
      mine_(ends_.get()[index]),
      peers_(count > 1 ? &ends_.get()[1 - index] : nullptr) {
  check(options);
  if (!readable) return;
  listener_ = open_listener(transport, tether_, capacity_, own_);
  tether_.greet(own_);
}

void ZeromqConnection::check(const PipeOptions& options) {
  if (options.wait) throw BadArgument("pipe: libzmq offers no choice of how to wait");
  (void)high_water(options);
}

void ZeromqConnection::close() noexcept {
  if (!gate_.close()) return;
  if (generation_ == zeromq_generation()) {
    delist(*this);
    try {
      finish_sending();
      if (in_) finish_receiving();     // otherwise a copy of this end may still receive
    } catch (const std::exception&) {  // no memory, no descriptors: the peer sees the end of what has left
    }
    out_.close();
    out_monitor_.close();
    in_.close();
  }
  wakers_.reset();
  listener_.reset();
  tether_.close();
  mine_.news.fetch_add(1, std::memory_order_release);
  if (departed_) settle();
}

// Sockets live in one process, so the first one to use an end keeps it.
Status ZeromqConnection::claim() {
  const unsigned generation = zeromq_generation();
  if (generation_.load(std::memory_order_relaxed) == generation) return Status::kOk;
  const std::int64_t self = getpid();
  std::int64_t owner = 0;
  if (!mine_.owner.compare_exchange_strong(owner, self) && owner != self) return Status::kUnsupported;
  if (generation_.exchange(generation) != generation) enlist(*this);
  return Status::kOk;
}

// --- wait() --------------------------------------------------------------------------------------------------

// The end's own descriptor, or one of several.
int ZeromqConnection::wakers() {
  if (!wakers_) {
    Fd all(epoll_create1(EPOLL_CLOEXEC));
    if (!all) throw_errno("epoll_create1");
    for (const int descriptor : {in_ ? in_descriptor_ : listener_.get(), tether_.descriptor()}) {
      epoll_event event = {.events = EPOLLIN, .data = {}};
      if (epoll_ctl(all.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) throw_errno("epoll_ctl");
    }
    wakers_ = std::move(all);
  }
  return wakers_.get();
}

bool ZeromqConnection::is_ready() {
  if (!readable_) {  // a sender's only news is that its receiver is gone
    const Tether::News news = tether_.look();
    return news.severed || news.deaf;
  }
  if (const Status status = claim(); status != Status::kOk) throw_status(status, "wait");
  // The tether of a peer that is gone polls readable for good, so the little that may still come is waited for here.
  while (!next_ && try_next() == Status::kTimeout && !gate_.closed()) {
    if (!severed_) return false;
    sleep(Deadline::never());
  }
  return true;
}

bool ZeromqConnection::begin_wait(pollfd& slot) {
  if (!gate_.enter(Gate::kReceive)) throw Closed("wait");
  try {
    if (!is_ready()) {
      slot.fd = readable_ ? wakers() : tether_.descriptor();
      slot.events = POLLIN;
      return false;
    }
  } catch (...) {
    gate_.leave(Gate::kReceive);
    throw;
  }
  gate_.leave(Gate::kReceive);
  return true;
}

bool ZeromqConnection::end_wait(short revents) {
  struct Leave {
    Gate& gate;
    ~Leave() { gate.leave(Gate::kReceive); }
  } const leave{gate_};
  return revents != 0 && !gate_.closed() && is_ready();
}

}  // namespace crucible
