// Queue over one shared AF_UNIX SOCK_SEQPACKET pair. README.md in this folder explains it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/packet_queue.h"

namespace crucible {

class UnixSocketQueue final : public PacketQueue {
 public:
  static constexpr HandleDoor::Kind kDoor = {.object = "unix_socket queue", .scheme = "unix", .descriptors = 3};

  static std::unique_ptr<UnixSocketQueue> create(const std::string& address, const QueueOptions& options);
  static std::unique_ptr<UnixSocketQueue> open(const std::string& address, const QueueOptions& options,
                                               Deadline deadline);
  ~UnixSocketQueue() override { close(); }
  std::string_view mechanism() const noexcept override { return "unix_socket"; }

 private:
  /// As of the Connection's packets: what the kernel takes in one block of 16 KiB and 17 pages.
  static constexpr std::size_t kPart = (16 + 64) * 1024 - 512;

  UnixSocketQueue(std::shared_ptr<SealedMemory> page, std::vector<Fd> descriptors, std::string address);
  int in() const noexcept { return descriptor(0); }
  int out() const noexcept { return descriptor(1); }
  Received classify(ssize_t count, const msghdr& message, Packet& packet, ByteSpan direct, ByteSpan spill);

  std::size_t part() const noexcept override { return part_; }
  std::size_t send_packets(std::span<const Header> headers, std::span<const ByteView> payloads) override;
  Fd prepare_beside(ByteView message) override;
  bool send_beside(const Header& header, ByteView message, const Fd& prepared) override;
  void take_beside(const Packet& packet, ByteSpan to) override;
  void require_room_for_file() override;
  Received receive_packet(Packet& packet, ByteSpan direct, bool wait) override;
  std::size_t receive_packets(std::span<Packet> packets) override;
  bool peek_first(Header& header) override;
  bool peek_last(Header& header) override;
  bool is_full() override;
  Status await_packet(Deadline deadline) override;
  Status await_storage(Deadline deadline) override;

  const int buffer_;        ///< SO_SNDBUF as granted: the kernel's measure of what is held
  const std::size_t part_;  ///< kPart, or what a smaller buffer admits
};

}  // namespace crucible
