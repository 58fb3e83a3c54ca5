// Connection over two rings in shared memory. README.md in this folder explains them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "api/connection.h"
#include "core/destination.h"
#include "core/fd.h"
#include "core/gate.h"
#include "shm_ring/memory.h"
#include "shm_ring/ring.h"
#include "shm_ring/waiting.h"

namespace crucible {

class ShmRingConnection final : public Connection {
 public:
  static constexpr std::uint64_t kMaxMessage = 1ULL << 32;
  static constexpr int kLongestSleepMs = 80;
  static constexpr std::size_t kDefaultCapacity = std::size_t{1} << 20U;

  static std::pair<std::unique_ptr<ShmRingConnection>, std::unique_ptr<ShmRingConnection>> pair(
      const PipeOptions& options);
  /// Two descriptors: the memory, and the end's socket. BadArgument for memory that no pair() made.
  static std::unique_ptr<ShmRingConnection> adopt(const Handle& handle);
  /// The named door's two sides (core/door.h): the listener makes the memory, the socket becomes the ends' own.
  static std::unique_ptr<Connection> admit(Fd socket, const PipeOptions& options);
  static std::unique_ptr<Connection> enter(Fd socket, const PipeOptions& options, Deadline deadline);
  ~ShmRingConnection() override { close(); }

  Status send_bytes(ByteView message, Deadline deadline = Deadline::never()) override {
    const Gate::Pass pass(gate_, Gate::kSend);
    if (!pass) return Status::kClosed;
    if (const Status status = prepare_to_send(); status != Status::kOk) [[unlikely]]
      return status;
    reserved_ = false;
    const Status status =
        message.size() <= shm_ring::Word::kLongestNear ? put_near(message, deadline) : put_far(message, deadline);
    if (status != Status::kOk) [[unlikely]]
      return status;
    return call_receiver();
  }
  Status send_many(std::span<const ByteView> messages, std::size_t& sent,
                   Deadline deadline = Deadline::never()) override;
  Status recv_bytes(Bytes& message, std::size_t max_length = kNoLimit, Deadline deadline = Deadline::never()) override {
    Destination to(message, max_length);
    return receive(to, deadline);
  }
  Status recv_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline = Deadline::never(),
                         Bytes* too_long = nullptr) override {
    Destination to(buffer, received, too_long);
    return receive(to, deadline);
  }
  Status wait_readable(Deadline deadline = Deadline::never()) override;
  Status reserve(std::size_t size, ByteSpan& room, Deadline deadline = Deadline::never()) override;
  Status commit(std::size_t size) override;
  Status peek(ByteView& message, Deadline deadline = Deadline::never()) override;
  Status release() override;
  void close() noexcept override;
  bool closed() const noexcept override { return gate_.closed(); }
  bool readable() const noexcept override { return readable_.load(std::memory_order_relaxed); }
  bool writable() const noexcept override { return writable_; }
  Handle handle() const override;
  std::string_view mechanism() const noexcept override { return "shm_ring"; }
  bool has_news() noexcept override;
  bool begin_wait(pollfd& slot) override;
  bool end_wait(short revents) override;
  int longest_sleep_ms() const noexcept override { return kLongestSleepMs; }

 private:
  using Consumer = shm_ring::Consumer;
  using Word = shm_ring::Word;

  /// What is there once the memory is mapped.
  struct Mapped {
    Mapped(std::shared_ptr<shm_ring::Memory> mapped, int socket, std::size_t side) noexcept;

    std::shared_ptr<shm_ring::Memory> memory;
    shm_ring::Header::Side& own;
    shm_ring::Watch watch;
    shm_ring::Producer out;
    Consumer in;
  };

  /// Without `mapped`: descriptors that are not open, which is said on use.
  ShmRingConnection(Fd memory, Fd socket, std::shared_ptr<shm_ring::Memory> mapped, std::size_t side,
                    WaitStrategy strategy);
  void require_mapped();

  // Sending.
  Status prepare_to_send() {
    if (mapped_ && writable_ && !mapped_->watch.heard() && --sends_before_question_ != 0) [[likely]]
      return Status::kOk;
    return question();
  }
  Status question();
  Status put_near(ByteView message, Deadline deadline) {
    const Word record(Word::kNear, message.size());
    std::uint64_t place = 0;
    if (!mapped_->out.find(record.stride(), place)) [[unlikely]] {
      if (const Status status = await_room(record.stride(), place, deadline); status != Status::kOk) return status;
    }
    shm_ring::copy_near(mapped_->out.at(place) + record.payload(), message.data(), message.size());
    mapped_->out.commit(place, record);
    return Status::kOk;
  }
  Status put_far(ByteView message, Deadline deadline);
  Status put_parts(ByteView message, Deadline deadline);
  Status await_room(std::uint64_t stride, std::uint64_t& place, Deadline deadline);
  /// Behind every commit that a receiver may be waiting for.
  Status call_receiver() {
    light_fence();
    if (mapped_->out.control().receiver.load(std::memory_order_relaxed) == 0) [[likely]]
      return Status::kOk;
    return wake_receiver();
  }
  Status wake_receiver();

  // Receiving.
  Status receive(Destination& to, Deadline deadline) {
    {
      const Gate::Pass pass(gate_, Gate::kReceive);
      if (!pass) return Status::kClosed;
      if (!mapped_ || !readable()) [[unlikely]] {
        if (!readable()) return Status::kWrongDirection;
        require_mapped();
      }
      // Where the peer runs on another CPU its answer is often only a glance away.
      Status status = Status::kBadLength;
      int glances = deadline.is_immediate() ? 1 : glances_;
      for (Consumer::Record record = {0, Word(0)}; !begun_ && glances > 0; --glances) {
        if (!mapped_->in.front(record)) [[unlikely]] {
          relax();
          continue;
        }
        if (record.word.kind() != Word::kNear || !to.accepts(record.word.length())) break;
        const ByteView payload = mapped_->in.payload(record);
        shm_ring::copy_near(to.open(payload.size()), payload.data(), payload.size());
        status = to.done(payload.size());
        consume(record);
        return status;
      }
      status = receive_message(to, deadline);
      if (status != Status::kBadLength) return status;
      stop_receiving();
    }
    if (!writable_) close();
    return Status::kBadLength;
  }
  void consume(const Consumer::Record& record) {
    mapped_->in.consume(record);
    peeked_ = false;
    light_fence();
    if (mapped_->in.control().sender.load(std::memory_order_relaxed) != 0) [[unlikely]]
      wake_sender();
  }
  Status receive_message(Destination& to, Deadline deadline);
  Status await_record(Consumer::Record& record, Deadline deadline);
  void wake_sender();
  void stop_receiving() noexcept;
  bool is_deaf() const noexcept;
  shm_ring::Waiting waiting(std::atomic<std::uint32_t>& word, shm_ring::Patience& patience);

  Fd memory_;
  Fd socket_;
  const std::size_t side_;
  const WaitStrategy strategy_;
  bool writable_ = true;
  std::atomic<bool> readable_ = true;
  Gate gate_;
  std::optional<Mapped> mapped_;

  // The sender's.
  shm_ring::Patience sender_patience_;
  std::uint32_t sends_before_question_ = 1;
  std::uint32_t sends_per_question_ = 1;
  std::int64_t questioned_ns_ = 0;
  bool reserved_ = false;
  std::uint64_t reserved_place_ = 0;
  std::size_t reserved_size_ = 0;

  // The receiver's; what is begun is a message whose other parts are yet to come, kept between calls.
  shm_ring::Patience receiver_patience_;
  int glances_ = 1;  ///< before anything is done about waiting
  bool peeked_ = false;
  Consumer::Record peeked_record_ = {0, Word(0)};
  bool begun_ = false;
  bool discarding_ = false;  // it is longer than the receiver takes
  std::size_t length_ = 0;
  std::size_t position_ = 0;
  Bytes pending_;
};

}  // namespace crucible
