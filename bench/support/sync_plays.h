// What several processes do with locks, conditions, events and barriers (plays of a Gang).
//
// Things are handles that every process has a copy of: locks and semaphores have acquire() and release(), conditions
// lock(), unlock(), wait() and notify(), events set(), clear() and wait(), barriers wait().
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "api/deadline.h"
#include "limits/futex_word.h"
#include "support/gang.h"
#include "support/inherited.h"
#include "support/payload.h"

namespace crucible::bench {

using Shares = std::vector<std::uint64_t>;

/// Operations one after another, each timed, after one that is not.
template <class Operation>
void time_each(std::uint64_t operations, Slot& slot, std::int64_t* latencies, Operation operation) {
  operation();
  slot.start_ns = slot.end_ns = Deadline::now_ns();
  for (std::uint64_t i = 0; i < operations; ++i) {
    operation();
    const std::int64_t now = Deadline::now_ns();
    latencies[i] = now - slot.end_ns;
    slot.end_ns = now;
  }
  slot.timed = operations;
}
/// The same of those whose time another takes.
template <class Operation>
void do_each(std::uint64_t operations, Operation operation) {
  for (std::uint64_t i = 0; i <= operations; ++i) operation();
}

/// What no other wants is taken and given back.
template <class Thing>
class Uncontended {
 public:
  static constexpr bool kTimesAll = false;

  explicit Uncontended(Thing thing) : thing_(std::move(thing)) {}
  void act(std::size_t /*number*/, std::uint64_t operations, Slot& slot, std::int64_t* /*latencies*/) {
    pair();
    slot.start_ns = Deadline::now_ns();
    for (std::uint64_t i = 0; i < operations; ++i) pair();
    slot.end_ns = Deadline::now_ns();
  }
  Shares settle(std::uint64_t /*operations*/, std::span<const Slot> /*slots*/) const { return {}; }

 private:
  void pair() {
    thing_.acquire();
    thing_.release();
  }

  Thing thing_;
};

/// Three locks go round between two processes: each waits for the one that the other is about to give back, so that an
/// operation is one lock handed over each way.
template <class Lock>
class HandOff {
 public:
  static constexpr bool kTimesAll = false;

  explicit HandOff(std::array<Lock, 3> locks)
      : locks_(std::move(locks)), met_(make_inherited<FutexWord>(1, [](FutexWord* at) { new (at) FutexWord(0); })) {}

  void act(std::size_t number, std::uint64_t operations, Slot& slot, std::int64_t* latencies) {
    if (held_ == kNone) {
      held_ = number;
      locks_[held_].acquire();
      met_[0].fetch_add(1);
      futex_wake(met_[0]);
      for (std::uint32_t seen = met_[0].load(); seen < 2; seen = met_[0].load()) futex_wait(met_[0], seen);
    }
    const auto turn = [this] {
      const std::size_t wanted = (held_ + 2) % 3;
      locks_[wanted].acquire();
      locks_[held_].release();
      held_ = wanted;
    };
    if (number == 0) return time_each(operations, slot, latencies, turn);
    do_each(operations, turn);
  }
  Shares settle(std::uint64_t /*operations*/, std::span<const Slot> /*slots*/) const { return {}; }

 private:
  static constexpr std::size_t kNone = 3;

  std::array<Lock, 3> locks_;
  std::shared_ptr<FutexWord[]> met_;
  std::size_t held_ = kNone;
};

/// A permit goes there and another comes back.
template <class Semaphore>
class Permits {
 public:
  static constexpr bool kTimesAll = false;

  Permits(Semaphore forth, Semaphore back) : forth_(std::move(forth)), back_(std::move(back)) {}
  void act(std::size_t number, std::uint64_t operations, Slot& slot, std::int64_t* latencies) {
    if (number == 0) {
      return time_each(operations, slot, latencies, [this] {
        forth_.release();
        back_.acquire();
      });
    }
    do_each(operations, [this] {
      forth_.acquire();
      back_.release();
    });
  }
  Shares settle(std::uint64_t /*operations*/, std::span<const Slot> /*slots*/) const { return {}; }

 private:
  Semaphore forth_, back_;
};

/// Everyone wants the same all the time. The operations of a block fall to whoever gets it; each member times how long
/// it waited for each. What the lock guards is counted without atomics, and must come out right.
template <class Thing>
class Contended {
 public:
  static constexpr bool kTimesAll = true;
  static constexpr std::int64_t kStarvedNs = 5'000'000'000;

  explicit Contended(Thing thing)
      : thing_(std::move(thing)), guarded_(make_inherited<Guarded>(1, [](Guarded* at) { new (at) Guarded; })) {}

  void act(std::size_t /*number*/, std::uint64_t operations, Slot& slot, std::int64_t* latencies) {
    until_ += operations;
    volatile std::uint64_t& count = guarded_[0].count;
    slot.start_ns = Deadline::now_ns();
    for (bool more = true; more;) {
      const std::int64_t asked = Deadline::now_ns();
      thing_.acquire();
      const std::int64_t waited = Deadline::now_ns() - asked;
      more = count < until_;
      if (more) count = count + 1;
      thing_.release();
      if (waited > kStarvedNs) throw VerificationError("verification failed: a contender starved for 5 s");
      if (more) latencies[slot.done++] = waited;
    }
    slot.end_ns = Deadline::now_ns();
    slot.timed = slot.done;
    slot.sum = count;
  }

  Shares settle(std::uint64_t operations, std::span<const Slot> slots) {
    until_ += operations;
    Shares shares;
    std::uint64_t total = 0;
    for (const Slot& slot : slots) {
      shares.push_back(slot.done);
      total += slot.done;
    }
    if (total != operations || guarded_[0].count != until_) {
      throw VerificationError("verification failed: " + std::to_string(total) + " of " + std::to_string(operations) +
                              " operations were counted: two held it at once");
    }
    return shares;
  }

 private:
  struct Guarded {
    alignas(128) std::uint64_t count = 0;
  };

  Thing thing_;
  std::shared_ptr<Guarded[]> guarded_;
  std::uint64_t until_ = 0;
};

/// Two processes take turns under one condition.
template <class Condition>
class PingPong {
 public:
  static constexpr bool kTimesAll = false;

  explicit PingPong(Condition condition)
      : condition_(std::move(condition)), turn_(make_inherited<int>(1, [](int* at) { *at = 0; })) {}

  void act(std::size_t number, std::uint64_t operations, Slot& slot, std::int64_t* latencies) {
    volatile int& turn = turn_[0];
    if (number == 0) {
      return time_each(operations, slot, latencies, [&] {
        condition_.lock();
        turn = 1;
        condition_.notify();
        while (turn != 0) condition_.wait();
        condition_.unlock();
      });
    }
    do_each(operations, [&] {
      condition_.lock();
      while (turn != 1) condition_.wait();
      turn = 0;
      condition_.notify();
      condition_.unlock();
    });
  }
  Shares settle(std::uint64_t /*operations*/, std::span<const Slot> /*slots*/) const { return {}; }

 private:
  Condition condition_;
  std::shared_ptr<int[]> turn_;
};

/// Member 0 sets an event and waits until all the others have seen it. Two events take turns, so that one is clear
/// before anybody waits for it again.
template <class Event>
class FanOut {
 public:
  static constexpr bool kTimesAll = false;

  FanOut(std::array<Event, 2> events, std::uint32_t waiters)
      : events_(std::move(events)),
        waiters_(waiters),
        board_(make_inherited<Board>(1, [](Board* at) { new (at) Board; })) {}

  void act(std::size_t number, std::uint64_t operations, Slot& slot, std::int64_t* latencies) {
    Board& board = board_[0];
    if (number > 0) {
      return do_each(operations, [&] {
        events_[round_ % 2].wait();
        if (board.round.load(std::memory_order_relaxed) != ++round_) {
          throw VerificationError("verification failed: an event was seen before it was set");
        }
        if (board.gone.fetch_add(1, std::memory_order_acq_rel) + 1 == waiters_ * round_) futex_wake(board.gone);
      });
    }
    time_each(operations, slot, latencies, [&] {
      Event& event = events_[round_ % 2];
      board.round.store(++round_, std::memory_order_relaxed);
      event.set();
      const std::uint32_t all = waiters_ * round_;
      for (std::uint32_t gone = board.gone.load(std::memory_order_acquire); gone != all;
           gone = board.gone.load(std::memory_order_acquire)) {
        futex_wait(board.gone, gone);
      }
      event.clear();
    });
  }
  Shares settle(std::uint64_t /*operations*/, std::span<const Slot> /*slots*/) const { return {}; }

 private:
  struct Board {
    alignas(128) FutexWord gone = 0;  ///< waiters that have seen an event, of all rounds
    alignas(128) std::atomic<std::uint32_t> round = 0;
  };

  std::array<Event, 2> events_;
  std::uint32_t waiters_;
  std::uint32_t round_ = 0;
  std::shared_ptr<Board[]> board_;
};

/// All wait for all. Each looks whether its neighbour had come.
template <class Barrier>
class Meeting {
 public:
  static constexpr bool kTimesAll = false;

  Meeting(Barrier barrier, std::size_t parties)
      : barrier_(std::move(barrier)),
        parties_(parties),
        came_(make_inherited<Count>(parties, [](Count* at) { new (at) Count; })) {}

  void act(std::size_t number, std::uint64_t operations, Slot& slot, std::int64_t* latencies) {
    const auto meet = [&] {
      came_[number].value.store(++round_, std::memory_order_relaxed);
      barrier_.wait();
      if (came_[(number + 1) % parties_].value.load(std::memory_order_relaxed) < round_) {
        throw VerificationError("verification failed: a barrier let one through before all had come");
      }
    };
    if (number == 0) return time_each(operations, slot, latencies, meet);
    do_each(operations, meet);
  }
  Shares settle(std::uint64_t /*operations*/, std::span<const Slot> /*slots*/) const { return {}; }

 private:
  struct Count {
    alignas(128) std::atomic<std::uint64_t> value = 0;
  };

  Barrier barrier_;
  std::size_t parties_;
  std::shared_ptr<Count[]> came_;
  std::uint64_t round_ = 0;
};

}  // namespace crucible::bench
