// Workloads that compare CPU time: a receiver that waits for nothing, and messages on a slow schedule.
#pragma once

#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <memory>
#include <span>
#include <utility>

#include "core/inherited.h"
#include "support/transfer.h"

namespace crucible::bench {

inline void sleep_until(std::int64_t at_ns) noexcept {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const timespec at = {.tv_sec = at_ns / kSecond, .tv_nsec = at_ns % kSecond};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
  }
}

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
  static constexpr std::int64_t kSettleNs = 5'000'000;  // a strategy may look for a moment before it sleeps

  Block run_block(std::uint64_t operations) override {
    (void)this->worker_->await();
    const std::int64_t start = Deadline::now_ns() + kSettleNs;
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
};

/// Messages on a fixed schedule, whether or not the one before has arrived; the worker takes the time from when each
/// was due to when it was verified.
template <class End>
class PacedStream final : public TransferSide<End> {
 public:
  static constexpr std::int64_t kPeriodNs = 1'000'000;

  PacedStream(Link<End> link, std::size_t bytes, Cpus cpus)
      : PacedStream(std::move(link), bytes, cpus, make_inherited<Log>(1, [](Log* at) { new (at) Log; })) {}

 private:
  struct Log {
    std::int64_t first_due_ns = 0;  ///< written before a message of the block is sent
    std::array<std::int64_t, Side::kMostOperations> latencies;
  };

  PacedStream(Link<End> link, std::size_t bytes, Cpus cpus, const std::shared_ptr<Log[]>& log)
      : TransferSide<End>(std::move(link), bytes, cpus,
                          [bytes, log](End& end, Post& post) { serve(end, post, bytes, log[0]); }),
        log_(log),
        buffer_(bytes) {
    this->payload_.fill(buffer_.span());
    this->fairness_["period_ns"] = kPeriodNs;
    prctl(PR_SET_TIMERSLACK, 1);  // of this thread, whose sleeps make the schedule
  }

  Block run_block(std::uint64_t operations) override {
    const std::int64_t start = Deadline::now_ns() + kPeriodNs;
    log_[0].first_due_ns = start + kPeriodNs;
    send();
    (void)this->worker_->await();
    sleep_until(start);
    const Usage usage_before = Usage::now();
    const std::int64_t cpu_before = cpu_ns();
    for (std::uint64_t i = 1; i <= operations; ++i) {
      sleep_until(start + static_cast<std::int64_t>(i) * kPeriodNs);
      send();
    }
    const std::int64_t used = cpu_ns() - cpu_before;
    Usage usage = Usage::now() - usage_before;
    const Answer answer = this->worker_->await();
    usage += answer.usage;
    return {.elapsed_ns = answer.end_ns - start,
            .usage = usage,
            .cpu_ns = used + answer.cpu_ns,
            .latencies = std::span(log_[0].latencies).first(operations)};
  }

  void send() {
    this->payload_.stamp(buffer_.span(), ++this->sequence_);
    this->end_->send(buffer_.span());
  }

  static void serve(End& end, Post& post, std::size_t bytes, Log& log) {
    const Payload payload(bytes);
    const Buffer buffer(bytes);
    std::uint64_t sequence = 0;
    const auto take = [&] {
      payload.verify(buffer.span(), end.receive(buffer.span()), ++sequence);
      return Deadline::now_ns();
    };
    while (const std::uint64_t operations = post.next_block()) {
      take();
      const std::int64_t first_due = log.first_due_ns;
      post.answer();
      const Usage before = Usage::now();
      const std::int64_t cpu_before = cpu_ns();
      std::int64_t now = 0;
      for (std::uint64_t i = 0; i < operations; ++i) {
        now = take();
        log.latencies[i] = now - (first_due + static_cast<std::int64_t>(i) * kPeriodNs);
      }
      post.answer({.usage = Usage::now() - before, .cpu_ns = cpu_ns() - cpu_before, .end_ns = now});
    }
  }

  std::shared_ptr<Log[]> log_;
  Buffer buffer_;
};

}  // namespace crucible::bench
