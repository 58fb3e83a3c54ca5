// What is asked of a Pool in a block. Who owns the pool is the member of a gang, which makes it when it first needs it.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "api/bytes.h"
#include "api/deadline.h"
#include "api/pool.h"
#include "limits/fork_exit_wait.h"
#include "support/gang.h"
#include "support/helpers.h"
#include "support/inherited.h"
#include "support/labour.h"
#include "support/payload.h"
#include "support/placement.h"
#include "support/subject.h"
#include "support/usage.h"

namespace crucible::bench {

/// How a play's pool is made.
struct PoolSetting {
  const PoolForm* form;
  Wait wait;
  int workers;
  std::optional<int> cpu;  ///< where the workers run

  std::unique_ptr<Pool> make() const {
    PoolOptions options;
    options.processes = workers;
    options.wait = wait;
    options.start_method = "fork";
    if (cpu) options.initializer = [cpu = *cpu] { pin(cpu); };
    return form->create(options);
  }
};

/// A pool from the first block to the last.
class OwnPool {
 public:
  explicit OwnPool(PoolSetting setting) : setting_(std::move(setting)) {}

  /// Notes when `work(pool)` began and ended and what everybody used for it; `warm(pool)` comes before that.
  template <class Warm, class Work>
  void block(Slot& slot, Warm warm, Work work) {
    if (!pool_) pool_ = setting_.make();
    tell_spinners(SIGCONT);
    warm(*pool_);
    const std::vector<pid_t> workers = pool_->workers();
    const Usage helped = usage_of(workers);
    const Usage own = Usage::now();
    slot.start_ns = Deadline::now_ns();
    work(*pool_);
    slot.end_ns = Deadline::now_ns();
    slot.used = Usage::now() - own;
    *slot.used += usage_of(workers) - helped;
    tell_spinners(SIGSTOP);
  }
  void end() { pool_.reset(); }

 private:
  /// Who looks for tasks all the time would look for them in the limit's blocks, too.
  void tell_spinners(int signal) const {
    if (setting_.wait != WaitStrategy::kSpin) return;
    for (const pid_t worker : pool_->workers()) kill(worker, signal);
  }

  PoolSetting setting_;
  std::unique_ptr<Pool> pool_;
};

/// A message of verified bytes, back as it came. In a worker, which runs one task at a time.
inline Bytes echo(Bytes message) {
  static std::optional<Payload> known;
  if (!known || known->bytes() != message.size()) known.emplace(message.size());
  known->verify(message, message.size(), Payload::sequence_of(message));
  return message;
}
inline std::uint64_t successor(std::uint64_t number) { return number + 1; }

/// One task after the other, each timed.
class Applies {
 public:
  static constexpr bool kTimesAll = false;

  Applies(PoolSetting setting, std::size_t bytes) : own_(std::move(setting)), payload_(bytes), message_(bytes) {
    payload_.fill(message_);
  }

  void act(std::size_t /*number*/, std::uint64_t operations, Slot& slot, std::int64_t* latencies) {
    const auto apply = [&](Pool& pool) {
      payload_.stamp(message_, ++sequence_);
      const Bytes answer = pool.apply(&echo, {message_});
      if (answer.size() != payload_.bytes()) throw VerificationError("verification failed: an answer of another size");
      payload_.verify(answer, answer.size(), sequence_);
    };
    own_.block(slot, apply, [&](Pool& pool) {
      std::int64_t last = slot.start_ns;
      for (std::uint64_t i = 0; i < operations; ++i) {
        apply(pool);
        const std::int64_t now = Deadline::now_ns();
        latencies[i] = now - last;
        last = now;
      }
    });
    slot.timed = operations;
  }
  std::vector<std::uint64_t> settle(std::uint64_t /*operations*/, std::span<const Slot> /*slots*/) const { return {}; }
  void end() { own_.end(); }

 private:
  OwnPool own_;
  Payload payload_;
  Bytes message_;
  std::uint64_t sequence_ = 0;
};

/// One map over so many tasks that do nothing, from the call to the last result.
class Maps {
 public:
  static constexpr bool kTimesAll = false;

  Maps(PoolSetting setting, std::optional<std::ptrdiff_t> chunk)
      : warm_(4 * static_cast<std::uint64_t>(setting.workers)), own_(std::move(setting)), chunk_(chunk) {}

  void act(std::size_t /*number*/, std::uint64_t operations, Slot& slot, std::int64_t* /*latencies*/) {
    own_.block(slot, [&](Pool& pool) { map(pool, warm_); }, [&](Pool& pool) { map(pool, operations); });
  }
  std::vector<std::uint64_t> settle(std::uint64_t /*operations*/, std::span<const Slot> /*slots*/) const { return {}; }
  void end() { own_.end(); }

 private:
  void map(Pool& pool, std::uint64_t tasks) {
    const auto results = pool.map(&successor, std::views::iota(next_, next_ + tasks), chunk_);
    if (results.size() != tasks) throw VerificationError("verification failed: not as many results as tasks");
    for (const std::uint64_t result : results) {
      if (result != ++next_) throw VerificationError("verification failed: the result of another task");
    }
  }

  std::uint64_t warm_;
  OwnPool own_;
  std::optional<std::ptrdiff_t> chunk_;
  std::uint64_t next_ = 0;
};

/// Tasks that take their time, in chunks of one.
class Labours {
 public:
  static constexpr bool kTimesAll = false;

  Labours(PoolSetting setting, Schedule schedule) : own_(std::move(setting)), schedule_(schedule) {}

  void act(std::size_t /*number*/, std::uint64_t operations, Slot& slot, std::int64_t* /*latencies*/) {
    const auto map = [&](Pool& pool, std::uint64_t tasks) {
      const auto iterations = [&](std::uint64_t task) { return schedule_.iterations(task); };
      const auto results =
          pool.map(&labour, std::views::iota(std::uint64_t{0}, tasks) | std::views::transform(iterations), 1);
      if (results.size() != tasks) throw VerificationError("verification failed: not as many results as tasks");
      for (std::uint64_t task = 0; task < tasks; ++task) schedule_.verify(task, results[task]);
    };
    own_.block(slot, [&](Pool& pool) { map(pool, 2); }, [&](Pool& pool) { map(pool, operations); });
  }
  std::vector<std::uint64_t> settle(std::uint64_t /*operations*/, std::span<const Slot> /*slots*/) const { return {}; }
  void end() { own_.end(); }

 private:
  OwnPool own_;
  Schedule schedule_;
};

/// The limit of Labours: as many processes as can run at once, each of which takes the next task from a counter.
class BareCrew {
 public:
  static constexpr bool kTimesAll = false;

  BareCrew(std::size_t members, Schedule schedule)
      : members_(members),
        schedule_(schedule),
        next_(make_inherited<Counter>(1, [](Counter* at) { new (at) Counter; })) {}

  void act(std::size_t /*number*/, std::uint64_t operations, Slot& slot, std::int64_t* /*latencies*/) {
    slot.start_ns = Deadline::now_ns();
    for (;;) {
      const std::uint64_t task = next_[0].value.fetch_add(1, std::memory_order_relaxed) - before_;
      if (task >= operations) break;
      schedule_.verify(task, labour(schedule_.iterations(task)));
      ++slot.done;
    }
    slot.end_ns = Deadline::now_ns();
    before_ += operations + members_;  // each of them has found the end once
  }
  std::vector<std::uint64_t> settle(std::uint64_t operations, std::span<const Slot> slots) const {
    std::uint64_t done = 0;
    for (const Slot& slot : slots) done += slot.done;
    if (done != operations) throw VerificationError("verification failed: not as many tasks done as there were");
    return {};
  }

 private:
  struct Counter {
    alignas(128) std::atomic<std::uint64_t> value = 0;
  };

  std::size_t members_;
  Schedule schedule_;
  std::shared_ptr<Counter[]> next_;
  std::uint64_t before_ = 0;
};

/// Half of a pool's life.
enum class Half { kStart, kStop };

/// Pools one after the other: from nothing to the first result, or from the last one to no process left.
class Lives {
 public:
  static constexpr bool kTimesAll = false;

  Lives(PoolSetting setting, Half half) : setting_(std::move(setting)), half_(half) {}

  void act(std::size_t /*number*/, std::uint64_t operations, Slot& slot, std::int64_t* latencies) {
    (void)live();
    const Usage own = Usage::now(), children = Usage::now(RUSAGE_CHILDREN);
    slot.start_ns = slot.end_ns = Deadline::now_ns();
    for (std::uint64_t i = 0; i < operations; ++i) {
      latencies[i] = live();
      slot.end_ns += latencies[i];
    }
    slot.used = Usage::now() - own;
    *slot.used += Usage::now(RUSAGE_CHILDREN) - children;
    slot.timed = operations;
  }
  std::vector<std::uint64_t> settle(std::uint64_t /*operations*/, std::span<const Slot> /*slots*/) const { return {}; }

 private:
  std::int64_t live() {
    const std::int64_t start = Deadline::now_ns();
    auto pool = setting_.make();
    ++count_;
    if (pool->apply(&successor, {count_}) != count_ + 1) throw VerificationError("verification failed: a result");
    const std::int64_t stop = Deadline::now_ns();
    pool->close();
    pool->join();
    pool.reset();
    return half_ == Half::kStart ? stop - start : Deadline::now_ns() - stop;
  }

  PoolSetting setting_;
  Half half_;
  std::uint64_t count_ = 0;
};

/// The limit of Lives: as many processes as a pool has, started and joined by bare system calls.
class BareForks {
 public:
  static constexpr bool kTimesAll = false;

  explicit BareForks(int processes) : processes_(processes) {}

  void act(std::size_t /*number*/, std::uint64_t operations, Slot& slot, std::int64_t* latencies) {
    fork_all();
    const Usage own = Usage::now(), children = Usage::now(RUSAGE_CHILDREN);
    slot.start_ns = slot.end_ns = Deadline::now_ns();
    for (std::uint64_t i = 0; i < operations; ++i) {
      fork_all();
      const std::int64_t now = Deadline::now_ns();
      latencies[i] = now - std::exchange(slot.end_ns, now);
    }
    slot.used = Usage::now() - own;
    *slot.used += Usage::now(RUSAGE_CHILDREN) - children;
    slot.timed = operations;
  }
  std::vector<std::uint64_t> settle(std::uint64_t /*operations*/, std::span<const Slot> /*slots*/) const { return {}; }

 private:
  void fork_all() const {
    for (int i = 0; i < processes_; ++i) {
      if (ForkExitWait::run() != 0) throw VerificationError("verification failed: a child's exit code");
    }
  }

  int processes_;
};

}  // namespace crucible::bench
