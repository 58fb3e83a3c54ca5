// Queue over one ring in shared memory, whose two ends are roles. README.md in this folder explains it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "api/queue.h"
#include "core/destination.h"
#include "core/fd.h"
#include "core/handle_door.h"
#include "shm_ring/blocks.h"
#include "shm_ring/crowd.h"
#include "shm_ring/queue_memory.h"
#include "shm_ring/queue_ring.h"
#include "shm_ring/role.h"
#include "shm_ring/stays.h"

namespace crucible {

class ShmRingQueue final : public Queue {
 public:
  static constexpr std::uint64_t kMaxMessage = shm_ring::QueueMemory::kLongest;
  static constexpr std::uint64_t kStorage = shm_ring::QueueMemory::kDefaultStorage;

  static std::unique_ptr<Queue> create(const std::string& address, const QueueOptions& options);
  static std::unique_ptr<Queue> open(const std::string& address, const QueueOptions& options, Deadline deadline);
  ~ShmRingQueue() override { close(); }

  Status put_bytes(ByteView message, Deadline deadline = Deadline::never()) override {
    if (closed()) return Status::kClosed;
    if (message.size() <= ring_.longest_here()) [[likely]] {
      const Word record(Word::kHere, message.size());
      const std::uint64_t identity = shm_ring::require_own_identity();
      if (tail_.try_enter(identity)) [[likely]] {
        if (tail_.changes_hands(identity ^ salt_)) [[unlikely]]
          ring_.forget();
        const bool fits = ring_.has_room(record);
        if (fits) [[likely]]
          write(message, record);
        tail_.leave();
        if (fits) [[likely]] {
          call_getter();
          return Status::kOk;
        }
      }
    }
    return put_slowly(message, deadline);
  }
  Status put_many(std::span<const ByteView> messages, std::size_t& put, Deadline deadline = Deadline::never()) override;
  Status get_bytes(Bytes& message, Deadline deadline = Deadline::never()) override {
    Destination to(message, kNoLimit);
    return get_to(to, deadline);
  }
  Status get_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline = Deadline::never(),
                        Bytes* too_long = nullptr) override {
    Destination to(buffer, received, too_long);
    return get_to(to, deadline);
  }
  Status get_many(std::vector<Bytes>& messages, std::size_t most, Deadline deadline = Deadline::never()) override;
  Status count(std::size_t& count) override;
  Status check_full(bool& is_full) override;
  Status task_done() override;
  Status join_until(Deadline deadline) override;
  void close() noexcept override;
  bool closed() const noexcept override { return closed_.load(std::memory_order_relaxed); }
  std::size_t maxsize() const noexcept override { return memory_->shape().maxsize; }
  const std::string& address() const noexcept override { return address_; }
  std::string_view mechanism() const noexcept override { return "shm_ring"; }
  std::string_view form() const noexcept override { return "native"; }

 private:
  using Word = shm_ring::QueueWord;
  using Record = shm_ring::QueueRing::Record;

  /// A call that may wait, or uses the descriptor: close() sees its end.
  class Stay {
   public:
    explicit Stay(ShmRingQueue& queue) : queue_(queue) { queue_.stays_.enter(shm_ring::require_own_identity()); }
    Stay(const Stay&) = delete;
    Stay& operator=(const Stay&) = delete;
    ~Stay() { queue_.stays_.leave(); }
    bool is_late() const noexcept { return queue_.closed_.load(std::memory_order_seq_cst); }

   private:
    ShmRingQueue& queue_;
  };
  /// Leaves the role at last.
  class Hold {
   public:
    explicit Hold(shm_ring::Role& role) noexcept : role_(role) {}
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold() { role_.leave(); }

   private:
    shm_ring::Role& role_;
  };

  static std::unique_ptr<ShmRingQueue> adopt(Fd descriptor, const QueueOptions& options);
  ShmRingQueue(Fd descriptor, std::unique_ptr<shm_ring::QueueMemory> memory, WaitStrategy strategy);

  // Putting. What is said to be in a role is called there.
  Status put_slowly(ByteView message, Deadline deadline);
  Status put_here(ByteView message, Deadline deadline);
  Status put_block(ByteView message, Deadline deadline);
  Status reserve(std::uint32_t chunks, std::uint32_t& first, Deadline deadline);
  Status put_record(Word record, std::uint32_t first, Deadline deadline);
  Status enter_tail(Deadline deadline);
  Status await_room(Word record, Deadline deadline);
  void write(ByteView message, Word record) noexcept {
    shm_ring::copy(ring_.payload_at_tail(record), message.data(), message.size());
    ring_.commit(record);
  }
  /// Behind what was put.
  void call_getter() noexcept {
    light_fence();
    if (header_.getters.is_asleep()) [[unlikely]]
      header_.getters.call_one();
  }

  // Getting.
  Status get_to(Destination& to, Deadline deadline) {
    if (closed()) return Status::kClosed;
    const std::uint64_t identity = shm_ring::require_own_identity();
    if (head_.try_enter(identity)) [[likely]] {
      Status status = Status::kTimeout;
      {
        const Hold hold(head_);
        Record record = {shm_ring::Place(0), Word(0)};
        if (ring_.front(record) && record.word.kind() == Word::kHere && is_sound(record.word)) [[likely]]
          status = read(record, to);
      }
      if (status != Status::kTimeout) [[likely]] {
        call_putter();
        return status;
      }
    }
    return get_slowly(to, deadline);
  }
  Status get_slowly(Destination& to, Deadline deadline);
  Status enter_head(Deadline deadline);
  Status await_message(Deadline deadline);
  bool is_sound(Word word) const noexcept {
    return word.kind() == Word::kHere ? word.length() <= ring_.longest_here()
                                      : word.kind() == Word::kBlock && word.length() <= kMaxMessage;
  }
  Status read(const Record& record, Destination& to) {
    const std::size_t length = record.word.length();
    shm_ring::copy(to.open(length), ring_.payload(record), length);
    ring_.take(record);
    return to.done(length);
  }
  std::optional<std::uint64_t> take_block(const Record& record);
  Status read_block(std::uint64_t first, std::size_t length, Destination& to);
  /// Behind what was taken.
  void call_putter() noexcept {
    light_fence();
    if (header_.putters.is_asleep() && ring_.is_roomy()) [[unlikely]]
      header_.putters.call_one();
  }

  /// The tail tells the truth even if somebody died at it.
  void settle_tail();
  bool is_all_done();

  std::unique_ptr<shm_ring::QueueMemory> memory_;
  shm_ring::QueueHeader& header_;
  shm_ring::Role& tail_;
  shm_ring::Role& head_;
  shm_ring::QueueRing ring_;
  shm_ring::Blocks blocks_;
  const std::uint64_t salt_;  ///< tells two handles of one process apart
  Fd descriptor_;
  std::optional<HandleDoor> door_;
  std::string address_;
  shm_ring::CrowdWaiting putting_;
  shm_ring::CrowdWaiting getting_;
  shm_ring::CrowdWaiting joining_;
  std::atomic<bool> closed_ = false;
  shm_ring::Stays stays_;
};

}  // namespace crucible
