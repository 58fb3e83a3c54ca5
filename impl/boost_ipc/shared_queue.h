// Queue over one Boost.Interprocess message_queue. README.md in this folder explains it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/queue.h"
#include "boost_ipc/queue.h"
#include "core/crowd.h"
#include "core/destination.h"
#include "core/fd.h"
#include "core/handle_door.h"
#include "core/sealed_memory.h"

namespace crucible {

class BoostIpcSharedQueue final : public Queue {
 public:
  static constexpr std::uint64_t kMaxMessage = 1ULL << 32;
  /// Of messages that are longer than a part, or more if QueueOptions::storage_bytes says so; one may be longer.
  static constexpr std::uint64_t kBesideBytes = 64ULL << 20;
  static constexpr HandleDoor::Kind kDoor = {.object = "boost_ipc queue", .scheme = "boost", .descriptors = 2};

  static std::unique_ptr<BoostIpcSharedQueue> create(const std::string& address, const QueueOptions& options);
  static std::unique_ptr<BoostIpcSharedQueue> open(const std::string& address, const QueueOptions& options,
                                                   Deadline deadline);
  ~BoostIpcSharedQueue() override { close(); }

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
  std::string_view mechanism() const noexcept override { return "boost_ipc"; }
  std::string_view form() const noexcept override { return "native"; }

 private:
  /// Beside Boost's own memory.
  struct Shared {
    std::atomic<std::uint64_t> beside;       ///< bytes that were ever kept in the file, where the next message goes
    std::atomic<std::uint64_t> beside_gone;  ///< of those, bytes that were taken out again
    std::atomic<std::uint32_t> room;         ///< counts when some are
    std::atomic<std::uint32_t> all_done;     ///< counts when all messages are done with
    std::atomic<std::uint64_t> undone;
    std::uint64_t maxsize;
    std::uint64_t most_beside;
    std::uint32_t joinable;
  };
  /// What stands in a part, filled up to its full length, for a message that lies in the file.
  struct Ticket {
    std::uint64_t offset;
    std::uint64_t length;
  };

  /// What a message takes in the file.
  static constexpr std::uint64_t in_pages(std::size_t length) noexcept {
    constexpr std::uint64_t kPage = 4096;
    return (length + kPage - 1) / kPage * kPage;
  }

  BoostIpcSharedQueue(std::shared_ptr<SealedMemory> page, Fd file, std::shared_ptr<BoostIpcQueue> queue);

  Status put(ByteView message, Deadline deadline);
  Status put_part(ByteView part, Deadline deadline);
  Status put_beside(ByteView message, Deadline deadline);
  Status reserve_beside(std::uint64_t bytes, std::uint64_t& offset, Deadline deadline);
  void write_beside(ByteView message, std::uint64_t offset);
  void free_beside(std::uint64_t offset, std::uint64_t bytes);
  void undo();
  Status get(Destination& to, Deadline deadline);
  Status get_part(ByteView& part, Deadline deadline);
  Status take_beside(const Ticket& ticket, Destination& to);

  const std::shared_ptr<SealedMemory> page_;
  Shared& shared_;
  Fd file_;
  std::shared_ptr<BoostIpcQueue> queue_;
  const std::size_t part_;
  const std::size_t maxsize_;
  std::string address_;
  CrowdGate gate_;
  std::unique_ptr<BoostIpcNames> names_;  ///< while there is a door
  std::unique_ptr<HandleDoor> door_;
};

}  // namespace crucible
