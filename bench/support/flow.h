// Producers and consumers of one queue, and two processes that ask and answer.
//
// A Flow is what they share, copied into every process by fork:
//   void put(ByteView message);
//   std::size_t get(ByteSpan buffer);                one message; its length
//   static constexpr bool kBatches                   whether it also has
//   void put_many(std::span<const ByteView>);
//   void get_many(std::size_t most, Use use);        use(ByteView) for each
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "api/bytes.h"
#include "api/deadline.h"
#include "support/gang.h"
#include "support/inherited.h"
#include "support/payload.h"
#include "support/transfer.h"

namespace crucible::bench {

struct Sides {
  std::size_t producers, consumers;
  std::size_t members() const noexcept { return producers + consumers; }
};

/// Member 0 and those after it produce, the others consume; whoever gets a message has it. The last producer puts one
/// end marker per consumer, which nothing may overtake. Each message tells its producer and its number: its content is
/// verified, its order at this consumer, and of all together that each came once.
template <class Flow, std::size_t kBatch = 1>
class Exchange {
 public:
  static constexpr bool kTimesAll = false;
  static constexpr std::uint64_t kMostOperations = 1U << 20U;

  Exchange(Flow flow, Sides sides, std::size_t bytes)
      : flow_(std::move(flow)),
        sides_(sides),
        payload_(bytes),
        finished_(make_inherited<Counter>(1, [](Counter* at) { new (at) Counter; })),
        newest_(sides.producers) {}

  void act(std::size_t number, std::uint64_t operations, Slot& slot, std::int64_t* /*latencies*/) {
    if (!memory_) memory_ = std::make_shared<Buffer>(kSlots * payload_.bytes());
    ++blocks_;
    if (number >= sides_.producers) return consume(slot);
    const std::uint64_t share = operations / sides_.producers + (number < operations % sides_.producers ? 1 : 0);
    produce(number, share, slot);
  }

  std::vector<std::uint64_t> settle(std::uint64_t operations, std::span<const Slot> slots) const {
    std::uint64_t put = 0, got = 0, arrived = 0;
    std::vector<std::uint64_t> shares;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (i < sides_.producers) {
        put += slots[i].sum;
      } else {
        got += slots[i].sum;
        arrived += slots[i].done;
        shares.push_back(slots[i].done);
      }
    }
    if (arrived != operations || put != got) {
      throw VerificationError("verification failed: " + std::to_string(arrived) + " of " + std::to_string(operations) +
                              " messages arrived" + (arrived == operations ? ", not each of them once" : ""));
    }
    return shares;
  }

 private:
  struct Counter {
    alignas(128) std::atomic<std::uint64_t> value = 0;
  };
  static constexpr bool kMany = kBatch > 1 && Flow::kBatches;
  static constexpr std::size_t kSlots = kMany ? kBatch : 1;
  static constexpr unsigned kNumberBits = 48;
  static constexpr std::uint64_t kEnd = ~std::uint64_t{0};
  static constexpr std::size_t kClockEach = 4096;  // a clock is cheap beside a message of so many bytes

  void produce(std::size_t number, std::uint64_t share, Slot& slot) {
    std::vector<ByteView> views;
    for (std::size_t i = 0; i < kSlots; ++i) {
      payload_.fill(place(i));
      views.push_back(place(i));
    }
    const std::uint64_t base = std::uint64_t{number} << kNumberBits;
    slot.done = share;
    slot.start_ns = Deadline::now_ns();
    for (std::uint64_t left = share; left > 0;) {
      const std::size_t now = std::min<std::uint64_t>(left, kSlots);
      for (std::size_t i = 0; i < now; ++i) {
        const std::uint64_t stamp = base | ++sequence_;
        payload_.stamp(place(i), stamp);
        slot.sum += stamp * stamp;
      }
      put(views, now);
      left -= now;
    }
    if (finished_[0].value.fetch_add(1) + 1 != blocks_ * sides_.producers) return;
    payload_.stamp(place(0), kEnd);
    for (std::size_t i = 0; i < sides_.consumers; ++i) flow_.put(place(0));
  }

  void put(std::span<const ByteView> views, std::size_t count) {
    if constexpr (kMany) {
      flow_.put_many(views.first(count));
    } else {
      flow_.put(views.front());
    }
  }

  void consume(Slot& slot) {
    std::size_t ends = 0;
    while (ends == 0) {
      if constexpr (kMany) {
        flow_.get_many(kBatch, [&](ByteView message) { ends += accept(message, message.size(), slot) ? 0 : 1; });
      } else {
        const std::size_t received = flow_.get(place(0));
        ends += accept(place(0), received, slot) ? 0 : 1;
      }
    }
    if (payload_.bytes() < kClockEach || slot.done == 0) slot.end_ns = Deadline::now_ns();
    payload_.fill(place(0));
    payload_.stamp(place(0), kEnd);
    for (; ends > 1; --ends) flow_.put(place(0));  // those of the others
  }

  /// False: it was an end marker.
  bool accept(ByteView message, std::size_t received, Slot& slot) {
    const std::uint64_t stamp = message.size() < Payload::kWord ? 0 : Payload::sequence_of(message);
    payload_.verify(message, received, stamp);
    if (stamp == kEnd) return false;
    const std::uint64_t producer = stamp >> kNumberBits;
    if (producer >= newest_.size() || stamp <= newest_[producer]) [[unlikely]]
      throw VerificationError("verification failed: message " + std::to_string(stamp) + " came out of order");
    newest_[producer] = stamp;
    ++slot.done;
    slot.sum += stamp * stamp;
    if (payload_.bytes() >= kClockEach) slot.end_ns = Deadline::now_ns();
    return true;
  }

  ByteSpan place(std::size_t i) const { return memory_->span().subspan(i * payload_.bytes(), payload_.bytes()); }

  Flow flow_;
  Sides sides_;
  Payload payload_;
  std::shared_ptr<Counter[]> finished_;
  std::vector<std::uint64_t> newest_;  ///< of each producer, at this consumer
  std::shared_ptr<Buffer> memory_;     ///< of this process
  std::uint64_t sequence_ = 0;
  std::uint64_t blocks_ = 0;
};

/// Member 0 asks, member 1 answers with what it got. Both know both ends of the link and use one.
template <class End>
class AskAndAnswer {
 public:
  static constexpr bool kTimesAll = false;

  AskAndAnswer(std::shared_ptr<Link<End>> link, std::size_t bytes) : link_(std::move(link)), payload_(bytes) {}

  void act(std::size_t number, std::uint64_t operations, Slot& slot, std::int64_t* latencies) {
    if (!memory_) {
      memory_ = std::make_shared<Buffer>(payload_.bytes());
      payload_.fill(memory_->span());
    }
    const ByteSpan message = memory_->span();
    End& end = number == 0 ? link_->here : link_->there;
    const auto exchange = [&] {
      if (number == 0) {
        payload_.stamp(message, ++sequence_);
        end.send(message);
        payload_.verify(message, end.receive(message), sequence_);
      } else {
        payload_.verify(message, end.receive(message), ++sequence_);
        end.send(message);
      }
    };
    exchange();
    if (number == 1) {
      for (std::uint64_t i = 0; i < operations; ++i) exchange();
      return;
    }
    slot.start_ns = slot.end_ns = Deadline::now_ns();
    for (std::uint64_t i = 0; i < operations; ++i) {
      exchange();
      const std::int64_t now = Deadline::now_ns();
      latencies[i] = now - slot.end_ns;
      slot.end_ns = now;
    }
    slot.timed = operations;
  }
  std::vector<std::uint64_t> settle(std::uint64_t /*operations*/, std::span<const Slot> /*slots*/) const { return {}; }

 private:
  std::shared_ptr<Link<End>> link_;
  Payload payload_;
  std::shared_ptr<Buffer> memory_;
  std::uint64_t sequence_ = 0;
};

/// One direction of a link, for one producer and one consumer.
template <class End>
struct LinkFlow {
  static constexpr bool kBatches = false;
  void put(ByteView message) { link->here.send(message); }
  std::size_t get(ByteSpan buffer) { return link->there.receive(buffer); }
  std::shared_ptr<Link<End>> link;
};

/// A flow in each direction, as a link.
template <class Flow>
struct FlowEnd {
  static constexpr bool kBatches = false;
  void send(ByteView message) { out.put(message); }
  std::size_t receive(ByteSpan buffer) { return in.get(buffer); }
  Flow in, out;
};

template <class Flow, std::size_t kBatch = 1>
std::unique_ptr<Side> make_exchange(Flow flow, Sides sides, std::size_t bytes, const Cpus& cpus,
                                    nlohmann::json fairness, std::vector<pid_t> helpers = {}) {
  const auto second = [sides](std::size_t number) { return number >= sides.producers; };
  return std::make_unique<Gang<Exchange<Flow, kBatch>>>(
      Exchange<Flow, kBatch>(std::move(flow), sides, bytes), sides.members(), cpus, second, std::move(fairness),
      std::max<std::uint64_t>(20, 4 * sides.members()), std::move(helpers));
}

/// The workloads over links as limits know them (limits/choice.h).
template <class End>
struct FlowRoundTrip final : Gang<AskAndAnswer<End>> {
  FlowRoundTrip(Link<End> link, std::size_t bytes, const Cpus& cpus, std::vector<pid_t> helpers = {})
      : FlowRoundTrip(std::make_shared<Link<End>>(std::move(link)), bytes, cpus, std::move(helpers)) {}

 private:
  FlowRoundTrip(const std::shared_ptr<Link<End>>& link, std::size_t bytes, const Cpus& cpus, std::vector<pid_t> helpers)
      : Gang<AskAndAnswer<End>>(
            AskAndAnswer<End>(link, bytes), 2, cpus, [](std::size_t number) { return number == 1; }, link->fairness, 20,
            std::move(helpers)) {}
};
template <class End>
struct FlowOneWay final : Gang<Exchange<LinkFlow<End>>> {
  FlowOneWay(Link<End> link, std::size_t bytes, const Cpus& cpus)
      : FlowOneWay(std::make_shared<Link<End>>(std::move(link)), bytes, cpus) {}

 private:
  static constexpr Sides kSides = {.producers = 1, .consumers = 1};
  FlowOneWay(const std::shared_ptr<Link<End>>& link, std::size_t bytes, const Cpus& cpus)
      : Gang<Exchange<LinkFlow<End>>>(
            Exchange<LinkFlow<End>>({link}, kSides, bytes), 2, cpus, [](std::size_t number) { return number == 1; },
            link->fairness) {}
};

}  // namespace crucible::bench
