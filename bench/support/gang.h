// Any number of processes that do a block together.
//
// A Play is what they do. It is made before they are forked, so that each has its own copy of the handles in it; what
// it shares lies in shared memory.
//   void act(std::size_t number, std::uint64_t operations, Slot& slot, std::int64_t* latencies)
//                                         a member's block: what is not timed, slot.start_ns, then what is
//   std::vector<std::uint64_t> settle(std::uint64_t operations, std::span<const Slot> slots)
//                                         the parent's, after the block: what fell to each who competes, if any does;
//                                         throws VerificationError
//   static constexpr bool kTimesAll       whether every member times its operations, or member 0 alone
//   static constexpr std::uint64_t kMostOperations   if there is one: in a block in which none is timed
//   void end()                            if there is one: a member's, after its last block
#pragma once

#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "api/deadline.h"
#include "api/status.h"
#include "limits/futex_word.h"
#include "support/helpers.h"
#include "support/inherited.h"
#include "support/payload.h"
#include "support/side.h"
#include "support/transfer.h"
#include "support/worker.h"

namespace crucible::bench {

/// What a member says of its block.
struct alignas(128) Slot {
  std::int64_t start_ns = 0, end_ns = 0;
  std::uint64_t done = 0;          ///< operations that fell to it
  std::uint64_t sum = 0;           ///< a reduction over what it was given
  std::uint64_t timed = 0;         ///< latencies that it wrote
  std::optional<Usage> used = {};  ///< by it and who worked for it; nothing: what it used itself
};

/// The length of a block is from the start of the first member to the end of the last.
template <class Play>
class Gang : public Side {
 public:
  /// `second(number)`: whether a member runs on the second CPU of a placement that has two. What `helpers` use counts.
  template <class Second>
  Gang(Play play, std::size_t members, const Cpus& cpus, Second second, nlohmann::json fairness,
       std::uint64_t fewest = 20, std::vector<pid_t> helpers = {})
      : play_(std::move(play)),
        count_(members),
        helpers_(std::move(helpers)),
        fairness_(std::move(fairness)),
        fewest_(fewest),
        is_crowded_(members + helpers_.size() > (cpus ? 2 : std::max(1U, std::thread::hardware_concurrency()))),
        start_(make_inherited<Start>(1, [](Start* at) { new (at) Start; })),
        slots_(make_inherited<Slot>(members, [](Slot* at) { new (at) Slot; })),
        latencies_(make_inherited<std::int64_t>((Play::kTimesAll ? members : 1) * kMostOperations,
                                                [](std::int64_t* /*untouched*/) {})) {
    for (std::size_t number = 0; number < members; ++number) {
      std::optional<int> cpu;
      if (cpus) cpu = second(number) ? cpus->second : cpus->first;
      members_.push_back(std::make_unique<Worker>(cpu, [this, number](Post& post) { serve(number, post); }));
    }
    all_latencies_.reserve(Play::kTimesAll ? members * kMostOperations : 0);
  }

  Block run(std::uint64_t operations) override {
    try {
      return run_block(operations);
    } catch (const std::exception&) {
      for (const auto& member : members_) member->abandon();  // who waits for a dead one waits for ever
      throw;
    }
  }
  std::uint64_t fewest_operations() const override { return fewest_; }
  std::uint64_t most_operations() const override {
    if constexpr (requires { Play::kMostOperations; }) return Play::kMostOperations;
    return kMostOperations;
  }
  std::int64_t block_ns() const override { return is_crowded_ ? kCrowdedBlockNs : kBlockNs; }
  nlohmann::json fairness() const override { return fairness_; }

 private:
  /// Of more processes than CPUs: several of the scheduler's time slices, some 3 ms each. In a block of one most of
  /// them would not have their turn, and who has it first would decide the figure.
  static constexpr std::int64_t kCrowdedBlockNs = 20'000'000;

  Block run_block(std::uint64_t operations) {
    const Usage helped = usage_of(helpers_);
    for (const auto& member : members_) member->order(operations);
    (void)await_all();
    start_[0].blocks.fetch_add(1, std::memory_order_release);
    futex_wake(start_[0].blocks, INT_MAX);
    Block block;
    block.usage = await_all();
    block.usage += usage_of(helpers_) - helped;
    const std::span slots(slots_.get(), members_.size());
    std::int64_t first = INT64_MAX;
    std::int64_t last = 0;
    for (const Slot& slot : slots) {
      if (slot.start_ns > 0) first = std::min(first, slot.start_ns);
      last = std::max(last, slot.end_ns);
    }
    block.elapsed_ns = last - first;
    block.shares = play_.settle(operations, slots);
    block.latencies = latencies_of(slots);
    return block;
  }

  std::span<const std::int64_t> latencies_of(std::span<const Slot> slots) {
    if constexpr (!Play::kTimesAll) {
      return {latencies_.get(), slots.front().timed};
    } else {
      all_latencies_.clear();
      for (std::size_t i = 0; i < slots.size(); ++i) {
        const std::int64_t* const own = latencies_.get() + i * kMostOperations;
        all_latencies_.insert(all_latencies_.end(), own, own + slots[i].timed);
      }
      return all_latencies_;
    }
  }

  /// One answer of each, in the order in which they come: whoever dies is noticed while the others still wait for it.
  Usage await_all() {
    Usage usage;
    std::vector<Worker*> left;
    for (const auto& member : members_) left.push_back(member.get());
    std::vector<pollfd> descriptors;
    while (!left.empty()) {
      descriptors.clear();
      for (const Worker* worker : left) {
        descriptors.push_back({.fd = worker->descriptor(), .events = POLLIN, .revents = 0});
      }
      if (poll(descriptors.data(), descriptors.size(), -1) < 0 && errno != EINTR) throw_errno("poll");
      for (std::size_t i = left.size(); i-- > 0;) {
        if (descriptors[i].revents == 0) continue;
        usage += left[i]->await().usage;
        left.erase(left.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
    return usage;
  }

  /// Asleep until the parent says so, then awake until all the others are: a short block must not be over before the
  /// last of them has come.
  void await_start(std::uint32_t block) {
    Start& start = start_[0];
    while (start.blocks.load(std::memory_order_acquire) != block) futex_wait(start.blocks, block - 1);
    const std::uint64_t all = std::uint64_t{block} * count_;
    start.awake.fetch_add(1, std::memory_order_acq_rel);
    while (start.awake.load(std::memory_order_acquire) < all) sched_yield();
  }

  void serve(std::size_t number, Post& post) {
    std::int64_t* const latencies = latencies_.get() + (Play::kTimesAll ? number * kMostOperations : 0);
    std::uint32_t blocks = 0;
    while (const std::uint64_t operations = post.next_block()) {
      post.answer();
      await_start(++blocks);
      const Usage before = Usage::now();
      Slot slot;
      play_.act(number, operations, slot, latencies);
      slots_[number] = slot;
      post.answer({.usage = slot.used ? *slot.used : Usage::now() - before});
    }
    if constexpr (requires { play_.end(); }) play_.end();
  }

  struct Start {
    alignas(128) FutexWord blocks = 0;
    alignas(128) std::atomic<std::uint64_t> awake = 0;  ///< members, of all blocks
  };

  Play play_;
  std::size_t count_;
  std::vector<pid_t> helpers_;
  nlohmann::json fairness_;
  std::uint64_t fewest_;
  bool is_crowded_;
  std::shared_ptr<Start[]> start_;
  std::shared_ptr<Slot[]> slots_;
  std::shared_ptr<std::int64_t[]> latencies_;
  std::vector<std::int64_t> all_latencies_;
  std::vector<std::unique_ptr<Worker>> members_;
};

}  // namespace crucible::bench
