// Connection over an AF_UNIX SOCK_SEQPACKET socket. README.md in this folder explains the packets.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "api/connection.h"
#include "core/destination.h"
#include "core/fd.h"
#include "core/gate.h"
#include "core/give_way.h"
#include "core/sealed_memory.h"

namespace crucible {

class UnixSocketConnection final : public Connection {
 public:
  static constexpr std::uint64_t kMaxMessage = 1ULL << 32;

  static std::pair<std::unique_ptr<UnixSocketConnection>, std::unique_ptr<UnixSocketConnection>> pair(
      const PipeOptions& options);
  /// Without a state one descriptor, of a connected SOCK_SEQPACKET socket.
  static std::unique_ptr<UnixSocketConnection> adopt(const Handle& handle);
  static void check(const PipeOptions& options);
  /// The door's socket is the connection; only the pair's page is passed.
  static std::unique_ptr<Connection> admit(Fd socket, const PipeOptions& options);
  static std::unique_ptr<Connection> enter(Fd socket, const PipeOptions& options, Deadline deadline);
  ~UnixSocketConnection() override { close(); }

  Status send_bytes(ByteView message, Deadline deadline = Deadline::never()) override;
  Status send_many(std::span<const ByteView> messages, std::size_t& sent,
                   Deadline deadline = Deadline::never()) override;
  Status recv_bytes(Bytes& message, std::size_t max_length = kNoLimit, Deadline deadline = Deadline::never()) override;
  Status recv_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline = Deadline::never(),
                         Bytes* too_long = nullptr) override;
  Status wait_readable(Deadline deadline = Deadline::never()) override;
  Status send_descriptors(std::span<const int> descriptors, ByteView message,
                          Deadline deadline = Deadline::never()) override;
  Status recv_descriptors(std::vector<int>& descriptors, Bytes& message,
                          Deadline deadline = Deadline::never()) override;
  void close() noexcept override;
  bool closed() const noexcept override { return gate_.closed(); }
  bool readable() const noexcept override { return readable_; }
  bool writable() const noexcept override { return writable_; }
  int descriptor() const override;
  Handle handle() const override;
  std::string_view mechanism() const noexcept override { return "unix_socket"; }
  bool begin_wait(pollfd& slot) override;
  bool end_wait(short revents) override;

 private:
  /// In front of every packet. An empty packet could not be told from end of file.
  struct Header {
    std::uint64_t length;  ///< of the whole message
    std::uint64_t offset;  ///< of this packet's part in it, kWithDescriptors or kPacked
  };
  /// A message of one packet that carries descriptors.
  static constexpr std::uint64_t kWithDescriptors = 1ULL << 63;
  /// Several whole messages, each behind its length in 4 bytes. Only for a receiver that reads ahead.
  static constexpr std::uint64_t kPacked = 1ULL << 62;
  static constexpr std::size_t kHeader = 16;
  static_assert(sizeof(Header) == kHeader);
  /// Payload of a packet: what the kernel takes in one block of 16 KiB and 17 pages, less its own bookkeeping.
  static constexpr std::size_t kPart = (16 + 64) * 1024 - 512;
  static constexpr std::size_t kBatch = 32;        ///< packets per system call at most
  static constexpr std::size_t kPack = 16 * 1024;  ///< bytes of messages and lengths in a packed packet at most
  static constexpr std::size_t kCopied = 4096;     ///< payloads up to here are copied behind their header

  /// Per direction, in the pair's page.
  struct Shared {
    std::atomic<std::uint32_t> given_up;     ///< its sender has given up a message half-way and sent nothing since
    std::atomic<std::uint32_t> takes_packs;  ///< its receiver reads ahead
  };
  static constexpr std::size_t kSharedBytes = 2 * sizeof(Shared);

  UnixSocketConnection(Fd socket, bool readable, bool writable, std::shared_ptr<SealedMemory> page, bool first,
                       bool read_ahead = false);

  static void set_capacity(int socket, const PipeOptions& options);

  /// What came in one packet.
  struct Packet {
    Header header;
    std::size_t direct;  ///< bytes of payload where the caller wanted them
    ByteView spilled;    ///< the others
  };

  /// Packets to be sent by one system call.
  struct Batch {
    std::array<Header, kBatch> headers;
    std::array<std::array<iovec, 2>, kBatch> parts;
    std::array<mmsghdr, kBatch> packets;
    std::size_t count = 0;
    void add(const Header& header, ByteView part) noexcept;
  };

  Status send_small(ByteView message, Deadline deadline);
  Status send_pack(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline);
  Status send_packet(ByteView packet, Deadline deadline);
  Status send_large(ByteView message, Deadline deadline);
  Status send_batch(Batch& batch, std::size_t& sent, Deadline deadline);
  Status after_failed_send(Deadline deadline, bool& last_attempt);

  Status receive(Destination& to, Deadline deadline);
  Status receive_message(Destination& to, Deadline deadline);
  Status peek_header(Header& header, Deadline deadline);
  Status receive_packet(Packet& packet, ByteSpan direct, Deadline deadline);
  ByteSpan spill();
  void unpack(Packet& packet, ByteSpan direct);
  bool take_packed(Packet& packet);

  Fd socket_;
  GiveWay give_way_;
  const std::size_t part_;  ///< payload of a packet: kPart, or what a smaller buffer admits
  std::atomic<bool> readable_;
  const bool writable_;
  std::shared_ptr<SealedMemory> page_;
  const bool first_;
  Shared& outgoing_;
  Shared& incoming_;
  Gate gate_;

  // The receiver's message whose other packets are yet to come, kept between calls.
  bool begun_ = false;
  bool discarding_ = false;  // it is longer than the receiver takes
  std::size_t length_ = 0;
  std::size_t position_ = 0;
  Bytes pending_;
  const std::unique_ptr<std::array<std::byte, kHeader + kPart>> ahead_;  // the last packet, if this end reads ahead
  ByteView packed_;                                                      // messages in it that were not yet received
};

}  // namespace crucible
