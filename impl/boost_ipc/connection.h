// Connection over a pair of Boost.Interprocess message queues. README.md in this folder explains the parts.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "api/connection.h"
#include "boost_ipc/queue.h"
#include "core/destination.h"
#include "core/fd.h"
#include "core/gate.h"

namespace crucible {

class BoostIpcConnection final : public Connection {
 public:
  static constexpr std::uint64_t kMaxMessage = 1ULL << 32;

  static std::pair<std::unique_ptr<BoostIpcConnection>, std::unique_ptr<BoostIpcConnection>> pair(
      const PipeOptions& options);
  /// For the named door: over a connected AF_UNIX SOCK_SEQPACKET, on whose other side the queues are opened by name.
  static std::unique_ptr<Connection> admit(Fd socket, const PipeOptions& options);
  static std::unique_ptr<Connection> enter(Fd socket, const PipeOptions& options, Deadline deadline);
  ~BoostIpcConnection() override { close(); }

  Status send_bytes(ByteView message, Deadline deadline = Deadline::never()) override;
  Status send_many(std::span<const ByteView> messages, std::size_t& sent,
                   Deadline deadline = Deadline::never()) override;
  Status recv_bytes(Bytes& message, std::size_t max_length = kNoLimit, Deadline deadline = Deadline::never()) override;
  Status recv_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline = Deadline::never(),
                         Bytes* too_long = nullptr) override;
  Status wait_readable(Deadline deadline = Deadline::never()) override;
  void close() noexcept override;
  bool closed() const noexcept override { return gate_.closed(); }
  bool readable() const noexcept override { return readable_; }
  bool writable() const noexcept override { return writable_; }
  std::string_view mechanism() const noexcept override { return "boost_ipc"; }
  bool begin_wait(pollfd& slot) override;
  bool end_wait(short revents) override;

 private:
  /// What the users of both ends, in whatever process, tell each other beside the queues. One page per pair.
  struct alignas(64) Direction {
    std::atomic<std::uint32_t> waiting;   ///< its receiver sleeps at the socket and wants a byte when a part comes
    std::atomic<std::uint32_t> deaf;      ///< its receiver has stopped receiving for good
    std::atomic<std::uint32_t> given_up;  ///< its sender left its last message unfinished at its deadline
    std::atomic<std::uint32_t> news;      ///< counts what the other side should look up: deaf, or a copy closed
  };
  struct Shared {
    Direction to_first;
    Direction to_second;
  };
  struct Header {
    std::uint64_t length;  ///< of the whole message
    std::uint32_t offset;  ///< of this part in it
    std::uint32_t may_be_given_up;
  };
  static constexpr std::size_t kHeader = 16;
  static_assert(sizeof(Header) == kHeader);

  /// When one direction's user last made sure that the other side lives.
  struct Outlook {
    std::uint32_t news = 0;
    std::int64_t looked_at_ns = 0;
  };

  struct Parts;
  static std::shared_ptr<Shared> map_shared(int descriptor);
  BoostIpcConnection(Fd socket, const Parts& parts, bool first, std::unique_ptr<BoostIpcNames> names);

  Status send_message(ByteView message, Deadline deadline);
  Status send_part(ByteView part, Deadline deadline);
  void ring();

  Status receive(Destination& to, Deadline deadline);
  Status receive_message(Destination& to, Deadline deadline);
  Status receive_part(std::byte* to, std::size_t& got, Deadline deadline);
  bool look_for_message();
  void take_rings();

  bool peer_is_gone(Gate::Direction direction);
  bool look_for_peer(Gate::Direction direction);
  bool nobody_for(Gate::Direction direction) const;

  Fd socket_;  ///< nothing travels on it but wake-up bytes; the kernel tells by it that the other side is gone
  std::shared_ptr<Shared> shared_;
  std::shared_ptr<BoostIpcQueue> in_;
  std::shared_ptr<BoostIpcQueue> out_;
  Direction& incoming_;
  Direction& outgoing_;
  const std::size_t part_;
  const bool writable_;
  std::atomic<bool> readable_;
  std::atomic<bool> gone_ = false;
  Gate gate_;
  std::array<Outlook, 2> outlooks_;       ///< of the sender and of the receiver
  std::unique_ptr<BoostIpcNames> names_;  ///< until it is certain that the other side has opened the queues

  // The receiver's place in a message of several parts.
  std::size_t length_ = 0;
  std::size_t position_ = 0;
  bool begun_ = false;
  bool discarding_ = false;  // it is longer than the receiver takes
  Bytes pending_;            // what came of it, when it does not lie with the caller
};

}  // namespace crucible
