// What comes: by libzmq, or left at the tether by one who went before anybody attached; and how an end is known to be
// over.
#include <fcntl.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "core/io.h"
#include "core/wait.h"
#include "zeromq/connection.h"

namespace crucible {
namespace {

// What a killed sender's kernel still holds is read at once; only a starved I/O thread needs longer.
constexpr std::int64_t kQuietAfterDeathNs = 20'000'000;
// The last word of one that closed is on its way; libzmq goes on trying for four times kFlushPatience.
constexpr std::int64_t kQuietAfterFlushNs = 9'000'000'000;
// A peer's thread needs a turn to say that it is done; one that is stopped holds nobody up.
constexpr auto kClosingPatience = std::chrono::milliseconds(500);

}  // namespace

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
    finish_receiving();
    in_.close();
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
  mine_.news.fetch_add(1, std::memory_order_release);
}

// Nothing is received here any more. libzmq keeps what it cannot deliver for its whole linger, so a peer that is
// closing is given the time to deliver. It says that it closes before it looks whether this side is deaf; this side the
// other way round: so one of them knows.
void ZeromqConnection::finish_receiving() {
  tether_.say_deaf();
  mine_.news.fetch_add(1, std::memory_order_release);
  const Deadline deadline = Deadline::after(kClosingPatience);
  while (in_ && !deadline.has_passed()) {
    const Tether::News news = tether_.look();
    if (!news.closing || news.flushed || news.severed) return;
    discard();
    std::array slots = {slot_for(in_descriptor_), slot_for(tether_.descriptor())};
    (void)sleep_on(slots, deadline);
  }
}

void ZeromqConnection::discard() {
  while (in_ && receive_message()) {
  }
  next_.reset();
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

}  // namespace crucible
