#include "zeromq/connection.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <system_error>

#include "core/io.h"
#include "core/wait.h"

namespace crucible {
namespace {

using namespace std::chrono_literals;

constexpr auto kFlushPatience = 8s;               // a receiver on a busy machine may need seconds for what is queued
constexpr auto kFlushPatienceUnattached = 500ms;  // it may be this very thread that would have to attach the peer
// What a killed sender's kernel still holds is read at once; only a starved I/O thread needs longer.
constexpr std::int64_t kQuietAfterDeathNs = 20'000'000;
// The last word of one that closed is on its way; libzmq goes on trying for four times kFlushPatience.
constexpr std::int64_t kQuietAfterFlushNs = 9'000'000'000;
// libzmq writes batches of 8 KiB, and gives the last one up with its socket if the kernel does not take it at once.
constexpr std::size_t kPadding = 16 * 1024;
// Connecting to an AF_UNIX listener takes no longer than libzmq's thread takes to get at it; later sends look again.
constexpr auto kConnectPatience = 20ms;
constexpr std::string_view kEnd = "end";
// Milliseconds. libzmq's own -1 for "never" makes zmq_ctx_term wait for ever if the connection broke as it was closed.
constexpr int kNoReconnect = INT_MAX / 4;
constexpr std::size_t kBatch = 64;

int high_water(const PipeOptions& options) {
  constexpr std::size_t kBytesPerMessage = 1024;
  constexpr std::size_t kMost = std::size_t{INT_MAX} / 4;
  if (options.capacity_bytes == 0) return ZeromqConnection::kHighWater;
  const std::size_t messages = (options.capacity_bytes - 1) / kBytesPerMessage + 1;
  if (messages > kMost) throw BadArgument("pipe: no queue of " + std::to_string(options.capacity_bytes) + " bytes");
  return static_cast<int>(messages);
}

pollfd slot_for(int descriptor) { return {.fd = descriptor, .events = POLLIN, .revents = 0}; }

}  // namespace

std::pair<Fd, Fd> ZeromqConnection::sockets() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("socketpair");
  return {Fd(ends[0]), Fd(ends[1])};
}

ZeromqConnection::Owners ZeromqConnection::make_owners(std::size_t count) {
  const std::size_t bytes = count * sizeof(std::atomic<std::int64_t>);  // zeros, as mmap gives them, are objects
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw_errno("mmap");
  return {static_cast<std::atomic<std::int64_t>*>(memory), [bytes](auto* mapped) { munmap(mapped, bytes); }};
}

ZeromqConnection::ZeromqConnection(ZeromqTransport transport, Fd socket, bool readable, bool writable,
                                   const PipeOptions& options, Owners owners, std::size_t index)
    : transport_(transport),
      writable_(writable),
      readable_(readable),
      high_water_(high_water(options)),
      capacity_(options.capacity_bytes),
      tether_(std::move(socket)),
      owners_(std::move(owners)),
      owner_(owners_[static_cast<std::ptrdiff_t>(index)]) {
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
    } catch (const std::exception&) {  // no memory, no descriptors: the peer sees the end of what has left
    }
    out_.close();
    out_monitor_.close();
    in_.close();
  }
  wakers_.reset();
  listener_.reset();
  tether_.close();
  if (departed_) settle();
}

// Sockets live in one process, so the first one to use an end keeps it.
Status ZeromqConnection::claim() {
  const unsigned generation = zeromq_generation();
  if (generation_.load(std::memory_order_relaxed) == generation) return Status::kOk;
  const std::int64_t self = getpid();
  std::int64_t owner = 0;
  if (!owner_.compare_exchange_strong(owner, self) && owner != self) return Status::kUnsupported;
  if (generation_.exchange(generation) != generation) enlist(*this);
  return Status::kOk;
}

// --- Sending -------------------------------------------------------------------------------------------------

Status ZeromqConnection::send_bytes(ByteView message, Deadline deadline) {
  std::size_t sent = 0;
  return send_many({&message, 1}, sent, deadline);
}

Status ZeromqConnection::send_many(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline) {
  sent = 0;
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (!writable_) return Status::kWrongDirection;
  for (; sent < messages.size(); ++sent) {
    if (messages[sent].size() > kMaxMessage) return Status::kBadLength;
    if (sent % kBatch == 0) {
      if (const Status status = claim(); status != Status::kOk) return status;
      const Tether::News news = tether_.look();
      if (news.severed || news.deaf) return Status::kBrokenPipe;
      if (news.attached && !std::exchange(peer_attached_, true)) unclaimed_.clear();
      if (!out_) {
        if (const Status status = attach_sender(deadline); status != Status::kOk) return status;
      }
      lend_connection(Deadline::immediate());
    }
    if (const Status status = send_message(messages[sent], deadline); status != Status::kOk) return status;
  }
  return Status::kOk;
}

// The peer listens from the pair's making on, or says where in its greeting, so connecting succeeds although it may not
// have used its end yet. One attempt: an address that no longer leads to the peer must not be tried again.
Status ZeromqConnection::attach_sender(Deadline deadline) {
  Tether::News news = tether_.look();
  while (!news.greeted) {
    if (news.severed) return Status::kBrokenPipe;
    if (const Status status = await_events(tether_.descriptor(), POLLIN, deadline, gate_); status != Status::kOk) {
      return status;
    }
    news = tether_.look();
  }
  const std::string endpoint = peer_endpoint(transport_, tether_, news.greeting);
  if (endpoint.empty()) return Status::kBrokenPipe;
  ZeromqSocket socket(ZMQ_DEALER);
  socket.set(ZMQ_SNDHWM, high_water_);
  socket.set(ZMQ_RECONNECT_IVL, kNoReconnect);
  socket.set(ZMQ_HANDSHAKE_IVL, 0);
  socket.set(ZMQ_ROUTING_ID, news.greeting.secret());
  if (transport_ == ZeromqTransport::kTcp) {
    socket.set(ZMQ_IPV6, 1);
    if (capacity_ != 0) socket.set(ZMQ_SNDBUF, static_cast<int>(std::min<std::size_t>(capacity_, INT_MAX / 2)));
  }
  out_descriptor_ = socket.descriptor();
  ZeromqSocket monitor = transport_ == ZeromqTransport::kIpc ? socket.watch(ZMQ_EVENT_CONNECTED) : ZeromqSocket();
  socket.connect(endpoint);
  out_ = std::move(socket);
  out_monitor_ = std::move(monitor);
  lend_connection(Deadline::after(kConnectPatience));
  return Status::kOk;
}

// libzmq stops reading a connection whose queue is full, and drops what the kernel still holds of it if it hangs up
// then. An AF_UNIX stream hangs up when its other end is closed, read or not; so the receiver gets a copy of that end,
// which keeps the connection open for as long as somebody may read from it.
void ZeromqConnection::lend_connection(Deadline deadline) {
  if (!out_monitor_) return;
  std::optional<int> connection = out_monitor_.next_connection();
  while (!connection) {
    if (deadline.has_passed()) return;
    std::array slots = {slot_for(out_monitor_.descriptor())};
    (void)sleep_on(slots, deadline);
    connection = out_monitor_.next_connection();
  }
  const Fd copy(fcntl(*connection, F_DUPFD_CLOEXEC, 0));
  // libzmq may have closed it meanwhile, and the number be another's.
  if (copy && leads_to(copy, tether_.look().greeting)) tether_.lend(copy);
  out_.unwatch();
  out_monitor_.close();
}

Status ZeromqConnection::send_message(ByteView message, Deadline deadline) {
  zmq_msg_t part;
  if (zmq_msg_init_size(&part, message.size()) != 0) throw_zeromq("zmq_msg_init_size");
  if (!message.empty()) std::memcpy(zmq_msg_data(&part), message.data(), message.size());
  zmq::message_t kept;
  if (!peer_attached_) zmq_msg_copy(kept.handle(), &part);  // long ones share their bytes
  bool refreshed = false;
  while (zmq_msg_send(&part, out_.get(), ZMQ_DONTWAIT) < 0) {
    Status status = Status::kOk;
    if (zmq_errno() == EAGAIN) {
      if (std::exchange(refreshed, true)) status = await_room(deadline);
      out_.refresh();
    } else if (zmq_errno() != EINTR) {
      zmq_msg_close(&part);
      throw_zeromq("zmq_msg_send");
    }
    if (gate_.closed()) status = Status::kClosed;
    if (status == Status::kOk) continue;
    zmq_msg_close(&part);
    return status;
  }
  if (!peer_attached_) unclaimed_.push_back(std::move(kept));
  return Status::kOk;
}

Status ZeromqConnection::await_room(Deadline deadline) {
  if (deadline.has_passed()) return Status::kTimeout;
  std::array slots = {slot_for(out_descriptor_), slot_for(tether_.descriptor())};
  (void)sleep_on(slots, deadline);
  if (gate_.closed()) return Status::kClosed;
  if (slots[1].revents == 0) return Status::kOk;
  const Tether::News news = tether_.look();
  if (news.attached && !std::exchange(peer_attached_, true)) unclaimed_.clear();
  return news.severed || news.deaf ? Status::kBrokenPipe : Status::kOk;
}

// What was sent must outlive this process's part in it. A peer that receives already gets it from libzmq, and a last
// word; to one that does not it is left at the tether.
void ZeromqConnection::finish_sending() {
  if (!out_) return;
  const Tether::News news = tether_.look();
  if (news.severed || news.deaf) return out_.close();
  if (!news.attached) {
    std::vector<ByteView> messages;
    for (const zmq::message_t& message : unclaimed_) messages.emplace_back(message.data<std::byte>(), message.size());
    if (tether_.bequeath(messages)) return out_.close();
  }
  lend_connection(Deadline::after(kFlushPatienceUnattached));
  out_.set(ZMQ_SNDHWM, 0);
  const Bytes padding(kPadding);
  const auto send_part = [this](ByteView part, int more) {
    uninterrupted([&] { return zmq_send(out_.get(), part.data(), part.size(), ZMQ_DONTWAIT | more); });
  };
  for (const ByteView rest : {ByteView(), ByteView(padding)}) {
    send_part(as_bytes(kEnd), ZMQ_SNDMORE);
    send_part(rest, 0);
  }
  departed_ = out_.flush_and_close(news.attached ? kFlushPatience : kFlushPatienceUnattached,
                                   [this] { return tether_.look().severed; });
  tether_.say_flushed();
}

// --- Receiving -----------------------------------------------------------------------------------------------

Status ZeromqConnection::recv_bytes(Bytes& message, std::size_t max_length, Deadline deadline) {
  Destination to(message, max_length);
  return receive(to, deadline);
}

Status ZeromqConnection::recv_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline, Bytes* too_long) {
  Destination to(buffer, received, too_long);
  return receive(to, deadline);
}

Status ZeromqConnection::wait_readable(Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass) return Status::kClosed;
  if (!readable_) return Status::kWrongDirection;
  const Status status = next(deadline);
  return status == Status::kEof ? Status::kOk : status;
}

Status ZeromqConnection::receive(Destination& to, Deadline deadline) {
  {
    const Gate::Pass pass(gate_, Gate::kReceive);
    if (!pass) return Status::kClosed;
    if (!readable_) return Status::kWrongDirection;
    if (const Status status = next(deadline); status != Status::kOk) return status;
    const ByteView message = *next_;
    next_.reset();
    if (to.accepts(message.size())) return to.put(message);
    readable_ = false;
    in_.close();
    tether_.say_deaf();
  }
  if (!writable_) close();
  return Status::kBadLength;
}

// kOk: next_ is the next message.
Status ZeromqConnection::next(Deadline deadline) {
  if (const Status status = claim(); status != Status::kOk) return status;
  while (!next_) {
    if (const Status status = try_next(); status != Status::kTimeout) return status;
    if (gate_.closed()) return Status::kClosed;
    if (deadline.has_passed()) return Status::kTimeout;
    sleep(deadline);
  }
  return Status::kOk;
}

// kOk, kEof, or kTimeout: nothing yet.
Status ZeromqConnection::try_next() {
  if (end_of_file_) return Status::kEof;
  if (!bequest_ && in_ && receive_message()) return Status::kOk;
  const Tether::News news = tether_.look();
  severed_ = news.severed;
  if (news.bequest) {
    if (!bequest_) bequest_ = tether_.inherit();
    if (next_bequest()) return Status::kOk;
    end_of_file_ = severed_;
  } else if (!in_) {
    // What the peer did before it went is seen here, since it was gone before this look.
    std::array slots = {slot_for(listener_.get())};
    Wake seen = Wake::kInterrupted;
    while (seen == Wake::kInterrupted) seen = sleep_on(slots, Deadline::immediate());
    if (seen == Wake::kReady) {
      attach_receiver();
      if (receive_message()) return Status::kOk;
    } else {
      end_of_file_ = severed_;
    }
  } else if (severed_) {
    const std::int64_t now = Deadline::now_ns();
    if (quiet_since_ns_ == 0) quiet_since_ns_ = now;
    end_of_file_ = ended_ || now - quiet_since_ns_ >= (news.flushed ? kQuietAfterFlushNs : kQuietAfterDeathNs);
  }
  return end_of_file_ ? Status::kEof : Status::kTimeout;
}

// Not before somebody has connected: libzmq then accepts at once, while it is known that there are descriptors for it.
void ZeromqConnection::attach_receiver() {
  ZeromqSocket socket(ZMQ_DEALER);
  socket.set(ZMQ_RCVHWM, high_water_);
  socket.set(ZMQ_HANDSHAKE_IVL, 0);
  if (transport_ == ZeromqTransport::kTcp) socket.set(ZMQ_IPV6, 1);
  const int listener = fcntl(listener_.get(), F_DUPFD_CLOEXEC, 0);
  if (listener < 0) throw_errno("fcntl(F_DUPFD_CLOEXEC)");
  socket.set(ZMQ_USE_FD, listener);
  socket.bind(own_endpoint(transport_, listener_, own_));
  in_descriptor_ = socket.descriptor();
  if (wakers_) {
    epoll_event event = {.events = EPOLLIN, .data = {}};
    epoll_ctl(wakers_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr);
    if (epoll_ctl(wakers_.get(), EPOLL_CTL_ADD, in_descriptor_, &event) != 0) throw_errno("epoll_ctl");
  }
  listener_.reset();
  in_ = std::move(socket);
  tether_.say_attached();
}

// One message of the peer's into next_; false: there is none now. Closing words of several parts, and messages of
// whoever does not know the secret, are passed over.
bool ZeromqConnection::receive_message() {
  while (true) {
    if (zmq_msg_recv(message_.handle(), in_.get(), ZMQ_DONTWAIT) < 0) {
      if (zmq_errno() == EAGAIN) return false;
      if (zmq_errno() == EINTR) continue;
      throw_zeromq("zmq_msg_recv");
    }
    const char* const id = zmq_msg_gets(message_.handle(), "Identity");
    const bool mine = id != nullptr && own_.secret() == id;
    quiet_since_ns_ = 0;
    if (!message_.more()) {
      if (!mine) continue;
      ++received_;
      next_ = ByteView(message_.data<std::byte>(), message_.size());
      return true;
    }
    const bool last_word = mine && message_.to_string_view() == kEnd;
    while (message_.more() &&
           uninterrupted([this] { return zmq_msg_recv(message_.handle(), in_.get(), ZMQ_DONTWAIT); }) >= 0) {
    }
    ended_ = ended_ || last_word;
  }
}

// The messages after those that came by libzmq before the sender closed.
bool ZeromqConnection::next_bequest() {
  while (true) {
    const ByteView rest = ByteView(*bequest_).subspan(bequest_at_);
    std::uint64_t size = 0;
    if (rest.size() < sizeof size) return false;
    std::memcpy(&size, rest.data(), sizeof size);
    if (size > rest.size() - sizeof size) return false;
    bequest_at_ += sizeof size + size;
    if (bequest_index_++ < received_) continue;
    next_ = rest.subspan(sizeof size, size);
    return true;
  }
}

void ZeromqConnection::sleep(Deadline deadline) {
  std::array slots = {slot_for(in_ ? in_descriptor_ : listener_.get()), slot_for(tether_.descriptor())};
  if (!severed_) {
    (void)sleep_on(slots, deadline);
    return;
  }
  const Deadline look = Deadline::after(std::chrono::nanoseconds(kQuietAfterDeathNs) / 4);
  const bool sooner = deadline.is_never() || deadline.left() > look.left();
  (void)sleep_on(std::span(slots).first(1), sooner ? look : deadline);
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
