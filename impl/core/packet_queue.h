// PacketQueue: a Queue over a kernel object that carries packets, each of them whole or not at all, in one order.
// README.md in this folder explains how it counts.
#pragma once

#include <pthread.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "api/queue.h"
#include "core/crowd.h"
#include "core/destination.h"
#include "core/fd.h"
#include "core/handle_door.h"
#include "core/sealed_memory.h"

namespace crucible {

/// What mechanisms whose queue is such an object share. A put is one packet, sent under a robust lock that numbers the
/// messages; a get is one packet received, without a lock. A message that is too long for a packet lies beside it.
class PacketQueue : public Queue {
 public:
  static constexpr std::uint64_t kMaxMessage = 1ULL << 32;
  /// Of messages beside their packets, or more if QueueOptions::storage_bytes says so; one message may be longer.
  static constexpr std::uint64_t kBesideBytes = 64ULL << 20;

  Status put_bytes(ByteView message, Deadline deadline = Deadline::never()) override;
  Status put_many(std::span<const ByteView> messages, std::size_t& put, Deadline deadline = Deadline::never()) override;
  Status get_bytes(Bytes& message, Deadline deadline = Deadline::never()) override;
  Status get_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline = Deadline::never(),
                        Bytes* too_long = nullptr) override;
  Status get_many(std::vector<Bytes>& messages, std::size_t most, Deadline deadline = Deadline::never()) override;
  Status count(std::size_t& count) override;
  Status check_full(bool& is_full) override;
  Status task_done() override;
  Status join_until(Deadline deadline) override;
  void close() noexcept override;
  bool closed() const noexcept override { return gate_.closed(); }
  std::size_t maxsize() const noexcept override { return maxsize_; }
  const std::string& address() const noexcept override { return address_; }
  std::string_view form() const noexcept override { return "native"; }

 protected:
  /// In front of every packet. Numbers have no gaps among the packets that are there.
  struct Header {
    std::uint64_t number;
    std::uint64_t length;  ///< of the message; with kBeside: it is not in the packet
    std::uint64_t beside;  ///< bytes of all messages before it that were not in their packets
  };
  static constexpr std::size_t kHeader = sizeof(Header);
  static constexpr std::uint64_t kBeside = 1ULL << 63;
  static constexpr std::size_t kBatch = 32;     ///< packets per system call at most
  static constexpr std::size_t kCopied = 4096;  ///< payloads up to here are copied on their way rather than gathered

  /// Storage beside packets is counted in pages.
  static std::uint64_t bytes_beside(std::uint64_t length) noexcept {
    constexpr std::uint64_t kPage = 4096;
    return (length + kPage - 1) / kPage * kPage;
  }

  /// What came in one packet.
  struct Packet {
    Header header;
    std::size_t direct;  ///< bytes of payload where the caller wanted them
    ByteView spilled;    ///< the others; until the thread's next receive
    Fd file;             ///< of a message beside its packet, where that travels with it
  };
  enum class Received { kPacket, kNothing, kInterrupted };

  struct Shared;  ///< what all processes share beside the kernel object

  PacketQueue(std::shared_ptr<SealedMemory> page, std::vector<Fd> descriptors, std::string address);
  static std::shared_ptr<SealedMemory> make_page(const QueueOptions& options);
  void open_door(const HandleDoor::Kind& kind, const std::string& address, const DoorOptions& options);
  /// What comes through such a door; nothing by the deadline.
  struct Opened {
    std::shared_ptr<SealedMemory> page;
    std::vector<Fd> descriptors;
  };
  static std::optional<Opened> enter_door(const HandleDoor::Kind& kind, const std::string& address,
                                          const DoorOptions& options, Deadline deadline);
  /// Packets land here before their length is known. The calling thread's, until it asks again.
  static ByteSpan scratch(std::size_t bytes);
  int descriptor(std::size_t which) const noexcept { return descriptors_[which].get(); }

  /// 32 bits for the mechanism, zero at first.
  std::atomic<std::uint32_t>& places() noexcept;

  // --- The kernel object, by which a mechanism is told from others ----------------------------------------

  /// Most payload in one packet.
  virtual std::size_t part() const noexcept = 0;
  /// Sends packets in order, without waiting; how many went. Called under the lock.
  virtual std::size_t send_packets(std::span<const Header> headers, std::span<const ByteView> payloads) = 0;
  /// For a message that is longer than part(): what can be done before the lock is taken; what it made, if anything.
  virtual Fd prepare_beside(ByteView message) = 0;
  /// Sends the packet of such a message, as send_packets().
  virtual bool send_beside(const Header& header, ByteView message, const Fd& prepared) = 0;
  /// Takes the message of such a packet, which is `to.size()` long. Throws std::system_error.
  virtual void take_beside(const Packet& packet, ByteSpan to) = 0;
  /// Forgets what a killed putter may have written of such a message.
  virtual void drop_beside(std::uint64_t /*beside*/, std::uint64_t /*bytes*/) {}
  /// Called before a packet is received that may come with a file. Throws std::system_error, with nothing received, if
  /// this process could not take it.
  virtual void require_room_for_file() {}
  /// Receives a packet: the first bytes of its payload into `direct`. With `wait` it sleeps until there is one.
  virtual Received receive_packet(Packet& packet, ByteSpan direct, bool wait) = 0;
  /// Receives packets that are there, with all of their payload spilled; how many.
  virtual std::size_t receive_packets(std::span<Packet> packets) = 0;
  /// The first and the last packet that is there, which stay; false: there is none. Called under the lock.
  virtual bool peek_first(Header& header) = 0;
  virtual bool peek_last(Header& header) = 0;
  /// Whether a packet would not fit now.
  virtual bool is_full() = 0;
  /// Sleep until there is a packet, or room, or `deadline`. kOk, kTimeout, kClosed.
  virtual Status await_packet(Deadline deadline) = 0;
  virtual Status await_storage(Deadline deadline) = 0;

  CrowdGate gate_;

 private:
  class Hold;
  class Patience;
  enum class Obstacle { kNone, kBound, kStorage };

  Status lock(Deadline deadline);
  bool try_lock();
  void recover();
  std::uint64_t first_number();
  std::size_t room(std::size_t wanted);
  bool room_beside(std::uint64_t bytes);
  Obstacle send_some(std::span<const ByteView> messages, std::size_t& put, const Fd& prepared);
  Obstacle send_batch(std::span<const ByteView> messages, std::size_t& put);
  Obstacle send_long(ByteView message, std::size_t& put, const Fd& prepared);
  Status await_room(Obstacle obstacle, std::uint32_t rung, Deadline deadline, Patience& patience);
  Status put_all(std::span<const ByteView> messages, std::size_t& put, Deadline deadline);

  Status take(Destination& to, ByteSpan direct, Deadline deadline);
  Status take_packet(Packet& packet, ByteSpan direct, Deadline deadline);
  Status deliver(Packet& packet, ByteSpan direct, Destination& to);
  bool may_come_with_file() const;
  void after_get(const Header& header);
  void settle(std::uint64_t number);
  std::uint64_t messages_put();
  void ring(const Header& header);

  const std::shared_ptr<SealedMemory> page_;
  Shared& shared_;
  std::vector<Fd> descriptors_;
  const std::size_t maxsize_;
  std::string address_;
  std::unique_ptr<HandleDoor> door_;
};

}  // namespace crucible
