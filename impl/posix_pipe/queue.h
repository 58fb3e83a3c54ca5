// Queue over one pipe(2) in packet mode. README.md in this folder explains it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/packet_queue.h"

namespace crucible {

class PosixPipeQueue final : public PacketQueue {
 public:
  static constexpr HandleDoor::Kind kDoor = {.object = "posix_pipe queue", .scheme = "pipe", .descriptors = 7};

  static std::unique_ptr<PosixPipeQueue> create(const std::string& address, const QueueOptions& options);
  static std::unique_ptr<PosixPipeQueue> open(const std::string& address, const QueueOptions& options,
                                              Deadline deadline);
  ~PosixPipeQueue() override { close(); }
  std::string_view mechanism() const noexcept override { return "posix_pipe"; }

 private:
  /// A packet is what fits one page of the pipe.
  static constexpr std::size_t kPacket = 4096;
  /// The descriptors' order. A pipe cannot be asked not to wait for once, so its reading end is open in both modes.
  enum Which : std::size_t { kWaiting, kReading, kWriting, kBesideFile, kLookingIn, kLookingOut };

  /// In the file: places whose pages are used again and again, for messages that fit one; behind them the others.
  static constexpr std::uint64_t kPlace = 64 * 1024;
  static constexpr std::uint64_t kPlaces = 16;

  using PacketQueue::PacketQueue;
  std::size_t part() const noexcept override { return kPacket - kHeader; }
  std::size_t send_packets(std::span<const Header> headers, std::span<const ByteView> payloads) override;
  bool send_packet(const Header& header, ByteView payload);
  Fd prepare_beside(ByteView message) override;
  bool send_beside(const Header& header, ByteView message, const Fd& prepared) override;
  void take_beside(const Packet& packet, ByteSpan to) override;
  std::uint64_t take_place(ByteView message, std::uint64_t beside);
  void leave_place(std::uint64_t at, std::uint64_t bytes);
  void drop_beside(std::uint64_t beside, std::uint64_t bytes) override;
  Received receive(int descriptor, Packet& packet, ByteSpan direct, ByteSpan spill) const;
  Received receive_packet(Packet& packet, ByteSpan direct, bool wait) override;
  std::size_t receive_packets(std::span<Packet> packets) override;
  bool look(Header& header) const;
  bool peek_first(Header& header) override;
  bool peek_last(Header& header) override;
  bool is_full() override;
  Status await_packet(Deadline deadline) override;
  Status await_storage(Deadline deadline) override;
};

}  // namespace crucible
