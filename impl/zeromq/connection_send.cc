// What leaves: attaching to the peer, sending, and leaving nothing behind that was sent.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "core/io.h"
#include "core/wait.h"
#include "zeromq/connection.h"

namespace crucible {
namespace {

using namespace std::chrono_literals;

constexpr auto kFlushPatience = 8s;               // a receiver on a busy machine may need seconds for what is queued
constexpr auto kFlushPatienceUnattached = 500ms;  // it may be this very thread that would have to attach the peer
// libzmq writes batches of 8 KiB, and gives the last one up with its socket if the kernel does not take it at once.
constexpr std::size_t kPadding = 16 * 1024;
// Connecting to an AF_UNIX listener takes no longer than libzmq's thread takes to get at it; later sends look again.
constexpr auto kConnectPatience = 20ms;
// Milliseconds. libzmq's own -1 for "never" makes zmq_ctx_term wait for ever if the connection broke as it was closed.
constexpr int kNoReconnect = INT_MAX / 4;
constexpr std::size_t kBatch = 64;

}  // namespace

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
      const Tether::News& news = look_at_receiver();
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

// To ask the kernel costs more than to send a short message. What the peer does in good order it announces in shared
// memory too; that it was killed may go unnoticed for so long.
const Tether::News& ZeromqConnection::look_at_receiver() {
  constexpr std::int64_t kLookEveryNs = 50'000;
  if (peers_ != nullptr) {
    const std::uint32_t news = peers_->news.load(std::memory_order_acquire);
    const std::int64_t now = Deadline::now_ns();
    if (news == receivers_news_ && now - looked_ns_ < kLookEveryNs) return receiver_;
    receivers_news_ = news;
    looked_ns_ = now;
  }
  return receiver_ = tether_.look();
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

bool ZeromqConnection::bequeath_unclaimed() {
  std::vector<ByteView> messages;
  for (const zmq::message_t& message : unclaimed_) messages.emplace_back(message.data<std::byte>(), message.size());
  return tether_.bequeath(messages);
}

// What was sent must outlive this process's part in it. A peer that receives already gets it from libzmq, and a last
// word; to one that does not it is left at the tether.
void ZeromqConnection::finish_sending() {
  if (!out_) return;
  tether_.say_closing();
  const Tether::News news = tether_.look();
  if (news.severed || news.deaf || (!news.attached && bequeath_unclaimed())) {
    out_.close();
    tether_.say_flushed();
    return;
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
  departed_ = out_.flush_and_close(news.attached ? kFlushPatience : kFlushPatienceUnattached, [this] {
    discard();  // the peer may be waiting for the same
    return tether_.look().severed;
  });
  tether_.say_flushed();
}

}  // namespace crucible
