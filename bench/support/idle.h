// What a receiver costs that waits for nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <utility>

#include "support/sleep.h"
#include "support/transfer.h"

namespace crucible::bench {

/// The worker waits for a message, the parent sleeps for the length of the block; then the message is sent. Counted is
/// the CPU time of the mechanism in both processes while nothing happens, which may be none.
template <class End>
class IdleReceiver final : public TransferSide<End> {
 public:
  static constexpr std::int64_t kOperationNs = 2'500'000;

  IdleReceiver(Link<End> link, std::size_t bytes, Cpus cpus)
      : TransferSide<End>(std::move(link), bytes, cpus, [bytes](End& end, Post& post) { serve(end, post, bytes); }),
        buffer_(bytes) {
    this->payload_.fill(buffer_.span());
  }

 private:
  static constexpr std::int64_t kSettleNs = 60'000'000;       // until naps have become as long as they will
  static constexpr std::int64_t kLongestNapNs = 100'000'000;  // of any mechanism; blocks are shorter
  static constexpr std::int64_t kStepNs = 61'803'399;         // the golden section: spreads them evenly over a nap

  Block run_block(std::uint64_t operations) override {
    (void)this->worker_->await();
    phase_ns_ = (phase_ns_ + kStepNs) % kLongestNapNs;
    const std::int64_t start = Deadline::now_ns() + kSettleNs + phase_ns_;
    sleep_until(start);
    const std::int64_t before = used_ns();
    sleep_until(start + static_cast<std::int64_t>(operations) * kOperationNs);
    // What one reads between two clocks may come out a few nanoseconds below nothing.
    const std::int64_t used = std::max<std::int64_t>(0, used_ns() - before);
    const std::int64_t elapsed = Deadline::now_ns() - start;
    this->payload_.stamp(buffer_.span(), ++this->sequence_);
    this->end_->send(buffer_.span());
    (void)this->worker_->await();
    return {.elapsed_ns = elapsed, .usage = {}, .cpu_ns = used, .latencies = {}};
  }

  /// This thread's own sleep is the clock's and not the mechanism's; its other threads, if it has made some, count.
  std::int64_t used_ns() const { return cpu_ns() - clock_ns(CLOCK_THREAD_CPUTIME_ID) + this->worker_->cpu_ns(); }

  static void serve(End& end, Post& post, std::size_t bytes) {
    const Payload payload(bytes);
    const Buffer buffer(bytes);
    std::uint64_t sequence = 0;
    while (post.next_block() > 0) {
      post.answer();
      payload.verify(buffer.span(), end.receive(buffer.span()), ++sequence);
      post.answer();
    }
  }

  Buffer buffer_;
  std::int64_t phase_ns_ = 0;
};

}  // namespace crucible::bench
