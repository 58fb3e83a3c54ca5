// What the tests of Event, Condition and Barrier share.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/pipe_support.h"
#include "conformance/random.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {

/// Looks until it is so.
template <class Predicate>
void until(Predicate is_so) {
  while (!is_so()) ::usleep(200);
}

/// Processes and threads that run at the same time. Joined at the end of the test.
class Crew {
 public:
  /// Before the first thread: a fork has none of them.
  template <class F>
  Peer& process(F body) {
    return *processes_.emplace_back(std::make_unique<Peer>(std::move(body)));
  }
  template <class F>
  void thread(F body) {
    threads_.emplace_back(std::move(body));
  }
  /// `count` processes and as many threads run the same.
  template <class F>
  void both(int count, F body) {
    for (int i = 0; i < count; ++i) process(body);
    for (int i = 0; i < count; ++i) thread(body);
  }
  void join() {
    for (const auto& process : processes_) process->join();
    threads_.clear();
  }

 private:
  std::vector<std::unique_ptr<Peer>> processes_;
  std::vector<std::jthread> threads_;
};

/// What a victim was doing when it died, for whoever looks after it.
class Calls {
 public:
  template <class F>
  auto inside(F call) {
    const Record record(*this);
    return call();
  }
  bool died_inside() const { return begun_ != returned_; }

  std::atomic<std::uint64_t> begun_{0};
  std::atomic<std::uint64_t> returned_{0};

 private:
  struct Record {
    explicit Record(Calls& of) : calls(of) { calls.begun_.fetch_add(1, std::memory_order_relaxed); }
    Record(const Record&) = delete;
    Record& operator=(const Record&) = delete;
    ~Record() { calls.returned_.fetch_add(1, std::memory_order_relaxed); }
    Calls& calls;
  };
};

/// Kills survived, told at the end of the test.
class KillScore {
 public:
  explicit KillScore(const char* what) : what_(what) {}
  KillScore(const KillScore&) = delete;
  KillScore& operator=(const KillScore&) = delete;
  ~KillScore() {
    std::printf("[  kills   ] %s: survived %u / %u, inside a call %u\n", what_, kills_, kills_, inside_);
    EXPECT_GE(2 * inside_, kills_) << "fewer than half struck inside a call";
  }
  void count(bool inside) {
    ++kills_;
    inside_ += inside ? 1U : 0U;
  }

 private:
  const char* what_;
  unsigned kills_ = 0;
  unsigned inside_ = 0;
};

inline std::chrono::nanoseconds moment(Random& random) {
  return std::chrono::nanoseconds(random.between(1'000, random.one_in(2) ? 300'000 : 2'000'000));
}

/// Runs `body` for ever in a process that is killed after `when`; returns once it is dead.
template <class F>
void run_until_killed(std::chrono::nanoseconds when, F body) {
  Peer victim([when, &body] {
    const SignalTimer death(SIGKILL, when);
    for (;;) body();
  });
  EXPECT_EQ(victim.wait_status(), SIGKILL);
}

}  // namespace crucible::testing
