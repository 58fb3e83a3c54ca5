// The workloads that move messages between two processes, over anything that has a send and a receive.
//
// An End (one end of a duplex link, movable) has
//   void send(ByteView message);                    all of it, the buffer may be reused
//   std::size_t receive(ByteSpan buffer);           one message; its length
//   static constexpr bool kBatches                  whether it also has
//   void send_many(std::span<const ByteView>);
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "api/bytes.h"
#include "api/deadline.h"
#include "support/payload.h"
#include "support/side.h"
#include "support/worker.h"

namespace crucible::bench {

template <class End>
struct Link {
  End here, there;
  nlohmann::json fairness;
};

using Cpus = std::optional<std::pair<int, int>>;

/// A link, the worker at its other end, and what all workloads over them share.
template <class End>
class TransferSide : public Side {
 public:
  Block run(std::uint64_t operations) final {
    worker_->order(operations);
    try {
      return run_block(operations);
    } catch (const VerificationError&) {
      throw;
    } catch (const std::exception&) {
      worker_->blame();
      throw;
    }
  }
  nlohmann::json fairness() const final { return fairness_; }

 protected:
  /// The worker runs `serve(end, post)`; there is no copy of its end in this process afterwards.
  template <class Serve>
  TransferSide(Link<End> link, std::size_t bytes, Cpus cpus, Serve serve)
      : payload_(bytes), fairness_(std::move(link.fairness)), end_(std::move(link.here)) {
    std::optional<End> there(std::move(link.there));
    worker_.emplace(cpus ? std::optional(cpus->second) : std::nullopt, [&](Post& post) {
      end_.reset();
      try {
        serve(*there, post);
      } catch (...) {
        there.reset();  // the parent, who may be waiting for a message, learns of it
        throw;
      }
    });
  }

  virtual Block run_block(std::uint64_t operations) = 0;

  const Payload payload_;
  nlohmann::json fairness_;
  std::optional<End> end_;
  std::optional<Worker> worker_;
  std::uint64_t sequence_ = 0;
};

/// The parent's share of a block of round trips, each timed, after one that is not.
template <class Exchange>
Block timed_exchanges(std::uint64_t operations, std::span<std::int64_t> latencies, Worker& worker, Exchange exchange) {
  exchange();
  const Usage before = Usage::now();
  const std::int64_t start = Deadline::now_ns();
  std::int64_t last = start;
  for (std::uint64_t i = 0; i < operations; ++i) {
    exchange();
    const std::int64_t now = Deadline::now_ns();
    latencies[i] = now - last;
    last = now;
  }
  Usage usage = Usage::now() - before;
  usage += worker.await().usage;
  return {.elapsed_ns = last - start, .usage = usage, .latencies = latencies.first(operations)};
}

/// The worker's share: all blocks until the end.
template <class Echo>
void serve_exchanges(Post& post, Echo echo) {
  while (const std::uint64_t operations = post.next_block()) {
    echo();
    const Usage before = Usage::now();
    for (std::uint64_t i = 0; i < operations; ++i) echo();
    post.answer({.usage = Usage::now() - before});
  }
}

/// The parent sends, the worker sends back what it received, both verify.
template <class End>
class RoundTrip final : public TransferSide<End> {
 public:
  RoundTrip(Link<End> link, std::size_t bytes, Cpus cpus)
      : TransferSide<End>(std::move(link), bytes, cpus, [bytes](End& end, Post& post) { serve(end, post, bytes); }),
        buffer_(bytes),
        latencies_(Side::kMostOperations) {
    this->payload_.fill(buffer_.span());
  }

 private:
  Block run_block(std::uint64_t operations) override {
    return timed_exchanges(operations, latencies_, *this->worker_, [this] { exchange(); });
  }

  void exchange() {
    const ByteSpan message = buffer_.span();
    this->payload_.stamp(message, ++this->sequence_);
    this->end_->send(message);
    this->payload_.verify(message, this->end_->receive(message), this->sequence_);
  }

  static void serve(End& end, Post& post, std::size_t bytes) {
    const Payload payload(bytes);
    const Buffer buffer(bytes);
    std::uint64_t sequence = 0;
    serve_exchanges(post, [&] {
      payload.verify(buffer.span(), end.receive(buffer.span()), ++sequence);
      end.send(buffer.span());
    });
  }

  Buffer buffer_;
  std::vector<std::int64_t> latencies_;
};

/// The parent sends, the worker verifies. The clock stops when it has verified the last message. `kBatch` messages are
/// handed to send_many at a time where the End has it.
template <class End, std::size_t kBatch = 1>
class OneWay final : public TransferSide<End> {
 public:
  OneWay(Link<End> link, std::size_t bytes, Cpus cpus)
      : TransferSide<End>(std::move(link), bytes, cpus, [bytes](End& end, Post& post) { serve(end, post, bytes); }),
        buffer_(kSlots * bytes) {
    for (std::size_t i = 0; i < kSlots; ++i) {
      slots_.push_back(buffer_.span().subspan(i * bytes, bytes));
      this->payload_.fill(slots_[i]);
      views_.push_back(slots_[i]);
    }
  }

 private:
  static constexpr bool kMany = kBatch > 1 && End::kBatches;
  static constexpr std::size_t kSlots = kMany ? kBatch : 1;

  Block run_block(std::uint64_t operations) override {
    stream(1);
    (void)this->worker_->await();
    const Usage before = Usage::now();
    const std::int64_t start = Deadline::now_ns();
    stream(operations);
    Usage usage = Usage::now() - before;
    const Answer answer = this->worker_->await();
    usage += answer.usage;
    return {.elapsed_ns = answer.end_ns - start, .usage = usage, .latencies = {}};
  }

  void stream(std::uint64_t operations) {
    while (operations > 0) {
      const std::size_t now = std::min<std::uint64_t>(operations, kSlots);
      for (std::size_t i = 0; i < now; ++i) this->payload_.stamp(slots_[i], ++this->sequence_);
      if constexpr (kMany) {
        this->end_->send_many(std::span(views_).first(now));
      } else {
        this->end_->send(views_.front());
      }
      operations -= now;
    }
  }

  static void serve(End& end, Post& post, std::size_t bytes) {
    const Payload payload(bytes);
    const Buffer buffer(bytes);
    std::uint64_t sequence = 0;
    const auto take = [&] { payload.verify(buffer.span(), end.receive(buffer.span()), ++sequence); };
    while (const std::uint64_t operations = post.next_block()) {
      take();
      post.answer();
      const Usage before = Usage::now();
      for (std::uint64_t i = 0; i < operations; ++i) take();
      const std::int64_t end_ns = Deadline::now_ns();
      post.answer({.usage = Usage::now() - before, .end_ns = end_ns});
    }
  }

  Buffer buffer_;
  std::vector<ByteSpan> slots_;
  std::vector<ByteView> views_;
};

}  // namespace crucible::bench
