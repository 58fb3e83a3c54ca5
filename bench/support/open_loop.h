// Messages on a fixed schedule, whether or not the receiver keeps up: latency counts from when a message was due, so
// that what waits behind a stall is seen (coordinated omission: Gil Tene, "How NOT to Measure Latency"; wrk2).
#pragma once

#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "support/case.h"
#include "support/inherited.h"
#include "support/sleep.h"
#include "support/transfer.h"

namespace crucible::bench {

/// What came of a piece of a schedule.
struct Piece {
  std::int64_t elapsed_ns = 0;              ///< from a period before the first was due until the last was verified
  std::span<const std::int64_t> latencies;  ///< in order; until the next piece
};

/// Something whose load can be chosen.
class Loadable {
 public:
  static constexpr std::uint64_t kMostMessages = 1U << 20U;

  virtual ~Loadable() = default;
  /// One message every `period_ns`; 0: all are due at once.
  virtual Piece scheduled(double period_ns, std::uint64_t messages) = 0;
  /// The next is sent when the one before was verified; latency from just before it was sent.
  virtual Piece one_in_flight(std::uint64_t messages) = 0;
  virtual nlohmann::json sheet() const = 0;
};

/// Measures rates between 10 and 110 % of what it can take, then looks for the highest sustainable one. The members
/// that a record has of it: metrics, closed_loop, load_curve, fairness.
Json explore_load(Loadable& subject);

/// The parent keeps the schedule and never leaves a message out; the worker verifies and takes the time.
template <class End>
class LoadStream final : public TransferSide<End>, public Loadable {
 public:
  LoadStream(Link<End> link, std::size_t bytes, Cpus cpus)
      : LoadStream(std::move(link), bytes, cpus, make_inherited<Log>(1, [](Log* at) { new (at) Log; })) {}

  Piece scheduled(double period_ns, std::uint64_t messages) override { return piece(period_ns, messages, false); }
  Piece one_in_flight(std::uint64_t messages) override { return piece(0, messages, true); }
  nlohmann::json sheet() const override { return this->fairness(); }

 private:
  // Whoever waits for longer sleeps first, but wakes up so long before a message is due that it is awake in time.
  static constexpr std::int64_t kAwakeNs = 60'000;
  static constexpr std::int64_t kYieldNs = 1'000;  // a yield takes less
  // Nobody may be kept from the CPU for longer, should the scheduler have put both on one.
  static constexpr std::int64_t kHogNs = 20'000;

  struct Log {
    double period_ns = 0;  ///< these three are written before a message of the piece is sent
    std::int64_t first_due_ns = 0;
    bool one_in_flight = false;
    alignas(128) std::atomic<std::int64_t> sent_ns = 0;
    alignas(128) std::atomic<std::uint64_t> verified = 0;
    std::array<std::int64_t, kMostMessages> latencies = {};
  };

  LoadStream(Link<End> link, std::size_t bytes, Cpus cpus, const std::shared_ptr<Log[]>& log)
      : TransferSide<End>(std::move(link), bytes, cpus,
                          [bytes, log](End& end, Post& post) { serve(end, post, bytes, log[0]); }),
        log_(log),
        buffer_(bytes) {
    this->payload_.fill(buffer_.span());
    prctl(PR_SET_TIMERSLACK, 1);  // of this thread, whose sleeps make the schedule
  }

  Piece piece(double period_ns, std::uint64_t messages, bool one_in_flight) {
    log_[0].period_ns = period_ns;
    log_[0].one_in_flight = one_in_flight;
    const Block block = this->run(std::clamp<std::uint64_t>(messages, 1, kMostMessages));
    return {.elapsed_ns = block.elapsed_ns, .latencies = block.latencies};
  }

  Block run_block(std::uint64_t messages) override {
    constexpr std::int64_t kLeadNs = 200'000;  // for the worker to fall asleep, where it sleeps
    Log& log = log_[0];
    (void)this->worker_->await();
    const auto period = static_cast<std::int64_t>(log.period_ns);
    const std::int64_t start = Deadline::now_ns() + kLeadNs;
    log.first_due_ns = start + period;
    wait_until(start);
    for (std::uint64_t i = 0; i < messages; ++i) {
      if (log.one_in_flight) {
        while (log.verified.load(std::memory_order_acquire) != this->sequence_) sched_yield();
        log.sent_ns.store(Deadline::now_ns(), std::memory_order_relaxed);
      } else {
        wait_until(due(log, i));
      }
      this->payload_.stamp(buffer_.span(), ++this->sequence_);
      this->end_->send(buffer_.span());
    }
    const std::int64_t end = this->worker_->await().end_ns;
    return {.elapsed_ns = end - start, .usage = {}, .latencies = std::span(log.latencies).first(messages)};
  }

  static std::int64_t due(const Log& log, std::uint64_t message) noexcept {
    return log.first_due_ns + static_cast<std::int64_t>(log.period_ns * static_cast<double>(message));
  }

  void wait_until(std::int64_t at_ns) noexcept {
    for (std::int64_t now = Deadline::now_ns(); now < at_ns; now = Deadline::now_ns()) {
      if (at_ns - now > 2 * kAwakeNs) {
        sleep_until(at_ns - kAwakeNs);
      } else if (at_ns - now > kYieldNs || now - yielded_ns_ > kHogNs) {
        sched_yield();
        yielded_ns_ = now;
      }
    }
  }

  static void serve(End& end, Post& post, std::size_t bytes, Log& log) {
    const Payload payload(bytes);
    const Buffer buffer(bytes);
    std::uint64_t sequence = 0;
    std::fill(log.latencies.begin(), log.latencies.end(), 1);  // no fault for a page later
    while (const std::uint64_t messages = post.next_block()) {
      post.answer();
      std::int64_t now = 0;
      for (std::uint64_t i = 0; i < messages; ++i) {
        payload.verify(buffer.span(), end.receive(buffer.span()), ++sequence);
        now = Deadline::now_ns();
        log.latencies[i] = now - (log.one_in_flight ? log.sent_ns.load(std::memory_order_relaxed) : due(log, i));
        if (log.one_in_flight) log.verified.store(sequence, std::memory_order_release);
      }
      // The next piece may be one message at a time.
      log.verified.store(sequence, std::memory_order_release);
      post.answer({.usage = {}, .cpu_ns = 0, .end_ns = now});
    }
  }

  std::shared_ptr<Log[]> log_;
  Buffer buffer_;
  std::int64_t yielded_ns_ = 0;
};

}  // namespace crucible::bench
