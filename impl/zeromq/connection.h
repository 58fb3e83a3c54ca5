// Connection over ZeroMQ. README.md in this folder explains who binds, who connects, and when.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <zmq.hpp>

#include "api/connection.h"
#include "core/destination.h"
#include "core/fd.h"
#include "core/gate.h"
#include "zeromq/context.h"
#include "zeromq/endpoint.h"
#include "zeromq/tether.h"

namespace crucible {

class ZeromqConnection : public Connection {
 public:
  static constexpr std::uint64_t kMaxMessage = 1ULL << 32;
  static constexpr int kHighWater = 1000;  ///< messages, libzmq's own default
  static constexpr std::size_t kLeastStored = 64;
  static constexpr std::size_t kStorage = kHighWater * kLeastStored / 2;

  ~ZeromqConnection() override { close(); }
  /// Throws BadArgument for options that no end can have.
  static void check(const PipeOptions& options);

  Status send_bytes(ByteView message, Deadline deadline = Deadline::never()) final;
  Status send_many(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline = Deadline::never()) final;
  Status recv_bytes(Bytes& message, std::size_t max_length = kNoLimit, Deadline deadline = Deadline::never()) final;
  Status recv_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline = Deadline::never(),
                         Bytes* too_long = nullptr) final;
  Status wait_readable(Deadline deadline = Deadline::never()) final;
  void close() noexcept final;
  bool closed() const noexcept final { return gate_.closed(); }
  bool readable() const noexcept final { return readable_; }
  bool writable() const noexcept final { return writable_; }
  std::string_view mechanism() const noexcept final {
    return transport_ == ZeromqTransport::kIpc ? "zeromq_ipc" : "zeromq_tcp";
  }
  bool begin_wait(pollfd& slot) final;
  bool end_wait(short revents) final;

 protected:
  /// What the copies of an end share, and the ends of a pair with each other.
  struct Shared {
    std::atomic<std::int64_t> owner;  ///< the process that uses it; 0: none yet
    std::atomic<std::uint32_t> news;  ///< counts what it has told its peer by the tether
  };
  using Ends = std::shared_ptr<Shared[]>;

  /// An end tied to its peer by `socket`. Listens if it is readable, and greets.
  ZeromqConnection(ZeromqTransport transport, Fd socket, bool readable, bool writable, const PipeOptions& options,
                   Ends ends, std::size_t index, std::size_t count);
  static std::pair<Fd, Fd> sockets();
  static Ends make_ends(std::size_t count);

 private:
  /// The first part of a last word, which says that nothing comes after it.
  static constexpr std::string_view kEnd = "end";
  static pollfd slot_for(int descriptor) noexcept { return {.fd = descriptor, .events = POLLIN, .revents = 0}; }

  Status claim();
  Status attach_sender(Deadline deadline);
  void attach_receiver();
  Status send_message(ByteView message, Deadline deadline);
  Status await_room(Deadline deadline);
  void lend_connection(Deadline deadline);
  void finish_sending();
  bool bequeath_unclaimed();
  void finish_receiving();
  void discard();
  const Tether::News& look_at_receiver();

  Status receive(Destination& to, Deadline deadline);
  Status next(Deadline deadline);
  Status try_next();
  bool receive_message();
  bool next_bequest();
  void sleep(Deadline deadline);
  bool is_ready();
  int wakers();

  const ZeromqTransport transport_;
  const bool writable_;
  std::atomic<bool> readable_;
  int high_water_ = kHighWater;
  std::size_t capacity_ = 0;
  Tether tether_;
  Fd listener_;  // what the peer connects to; libzmq accepts from it
  Tether::Greeting own_;
  Ends ends_;
  Shared& mine_;
  const Shared* const peers_;             ///< nullptr: at the other side of a door, and nothing of it is shared
  std::atomic<unsigned> generation_ = 0;  // in which this process claimed the end
  Gate gate_;

  // The sending thread's.
  Tether::News receiver_;  // as it was looked at last
  std::uint32_t receivers_news_ = 0;
  std::int64_t looked_ns_ = 0;
  ZeromqSocket out_;
  int out_descriptor_ = -1;
  ZeromqSocket out_monitor_;               // until the connection has been lent
  std::vector<zmq::message_t> unclaimed_;  // what was sent before the peer received anything
  bool peer_attached_ = false;
  bool departed_ = true;  // nothing of this end is still being flushed

  // The receiving thread's.
  ZeromqSocket in_;
  int in_descriptor_ = -1;
  Fd wakers_;  // epoll for wait(): the tether and the listener, then libzmq's descriptor
  zmq::message_t message_;
  std::optional<ByteView> next_;  // in message_ or in bequest_: received, and not taken yet
  std::uint64_t received_ = 0;
  bool ended_ = false;  // the sender's last word has come
  bool severed_ = false;
  bool end_of_file_ = false;
  std::int64_t quiet_since_ns_ = 0;
  std::optional<Bytes> bequest_;
  std::size_t bequest_at_ = 0;
  std::uint64_t bequest_index_ = 0;
};

/// The two mechanisms' own types.
template <ZeromqTransport kTransport>
class ZeromqEnd final : public ZeromqConnection {
 public:
  static std::pair<std::unique_ptr<ZeromqEnd>, std::unique_ptr<ZeromqEnd>> pair(const PipeOptions& options) {
    auto [first, second] = sockets();
    const Ends ends = make_ends(2);
    return {std::unique_ptr<ZeromqEnd>(new ZeromqEnd(std::move(first), true, options.duplex, options, ends, 0, 2)),
            std::unique_ptr<ZeromqEnd>(new ZeromqEnd(std::move(second), options.duplex, true, options, ends, 1, 2))};
  }
  /// Both sides of a door: the socket becomes the tether.
  static std::unique_ptr<Connection> admit(Fd socket, const PipeOptions& options) {
    return std::unique_ptr<Connection>(new ZeromqEnd(std::move(socket), true, true, options, make_ends(1), 0, 1));
  }
  static std::unique_ptr<Connection> enter(Fd socket, const PipeOptions& options, Deadline /*deadline*/) {
    return admit(std::move(socket), options);
  }

 private:
  ZeromqEnd(Fd socket, bool readable, bool writable, const PipeOptions& options, Ends ends, std::size_t index,
            std::size_t count)
      : ZeromqConnection(kTransport, std::move(socket), readable, writable, options, std::move(ends), index, count) {}
};

}  // namespace crucible
