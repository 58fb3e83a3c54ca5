// Crowd: those who wait for something to happen to a queue, any number of processes and threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "api/connection.h"
#include "api/deadline.h"
#include "api/status.h"
#include "shm_ring/memory.h"
#include "shm_ring/waiting.h"

namespace crucible::shm_ring {

/// In shared memory, zeros at first. Sleepers are called one at a time: as long as one who was called has not answered
/// by looking for itself nobody else is, so that a burst does not wake a herd. Who was called and finds more than it
/// takes calls the next. Nobody relies on that: no sleep is longer than kLongestNap.
class alignas(kApart) Crowd {
 public:
  static constexpr std::chrono::nanoseconds kFirstNap = std::chrono::milliseconds(2);
  static constexpr std::chrono::nanoseconds kLongestNap = std::chrono::milliseconds(50);

  /// Behind a light_fence() behind the change that somebody may be waiting for.
  bool is_asleep() const noexcept { return count(sleepers_.load(std::memory_order_relaxed)) != 0; }
  void call_one() noexcept;
  /// Wakes everybody, whether announced or not.
  void call_all() noexcept;

  /// Sleeps once, unless `is_over()` once everybody can see that it is about to.
  template <class IsOver>
  void sleep(Deadline deadline, std::chrono::nanoseconds nap, IsOver is_over) noexcept {
    const std::uint32_t calls = calls_.load(std::memory_order_acquire);
    const std::uint32_t era = announce();
    heavy_fence();
    const bool called = !is_over() && nap_on(calls, deadline, nap);
    if (!called) withdraw(era);
    answering_.store(0, std::memory_order_relaxed);
    if (is_asleep()) heavy_fence();  // what nobody was called for because this one was, it sees itself
  }

 private:
  static constexpr std::uint32_t count(std::uint64_t sleepers) noexcept { return static_cast<std::uint32_t>(sleepers); }
  std::uint32_t announce() noexcept;
  void withdraw(std::uint32_t era) noexcept;
  /// Whether it was ended by a call.
  bool nap_on(std::uint32_t calls, Deadline deadline, std::chrono::nanoseconds nap) noexcept;

  std::atomic<std::uint32_t> calls_;      ///< the futex
  std::atomic<std::uint32_t> answering_;  ///< somebody was called and has not looked yet
  std::atomic<std::uint32_t> in_vain_;    ///< calls in a row that nobody heard
  /// Low half: how many are announced. High half: the era, which changes when those who died asleep are written off.
  std::atomic<std::uint64_t> sleepers_;
};

/// How one handle waits in a crowd.
class CrowdWaiting {
 public:
  explicit CrowdWaiting(WaitStrategy strategy) noexcept : strategy_(strategy) {}

  /// Said behind a wait that no more than one change came of: to fall back was no good, as between two who answer each
  /// other, and is not tried again for a while.
  void was_in_vain() noexcept {
    if (chases_.load(std::memory_order_relaxed) >= kChases) chases_.store(-kRest, std::memory_order_relaxed);
  }
  /// kOk: `ready()`. kTimeout: the deadline passed, and it was not. kClosed.
  template <class Ready>
  Status until(Crowd& crowd, Deadline deadline, const std::atomic<bool>& closed, Ready ready) noexcept {
    if (deadline.is_immediate()) return ready() ? Status::kOk : Status::kTimeout;
    const auto over = [&] { return ready() || closed.load(std::memory_order_relaxed); };
    bool is_over = strategy_ != WaitStrategy::kBlock && glance(over);
    if (strategy_ == WaitStrategy::kSpin) {
      while (!is_over && !deadline.has_passed()) is_over = look(over);
    } else {
      is_over = strategy_ == WaitStrategy::kAdaptive && look_for_long(deadline, over);
      for (auto nap = Crowd::kFirstNap; !is_over && !deadline.has_passed();
           nap = std::min(nap * 4, Crowd::kLongestNap)) {
        crowd.sleep(deadline, nap, over);
        is_over = over();
      }
    }
    if (closed.load(std::memory_order_relaxed)) return Status::kClosed;
    return is_over || ready() ? Status::kOk : Status::kTimeout;
  }

 private:
  static constexpr int kGlances = 16;
  static constexpr std::int32_t kChases = 8;
  static constexpr std::int32_t kRest = 256;
  static constexpr int kLinger = 64;  // about 1 us
  static constexpr int kLooks = 64;
  static constexpr std::chrono::microseconds kLongLook{50};  // what waking a process on another CPU may take

  // Whoever is right behind the other end takes from it, with every look, the very line that it is working on. Is each
  // wait over almost at once, one falls back a little instead and finds many changes at the next look.
  template <class Over>
  bool glance(Over& over) noexcept {
    const std::int32_t chases = chases_.load(std::memory_order_relaxed);
    const bool lingers = chases >= kChases;
    for (int i = 0; lingers && i < kLinger; ++i) relax();
    for (int i = 0; i < kGlances; ++i) {
      if (over()) {
        if (!lingers) chases_.store(chases + 1, std::memory_order_relaxed);
        return true;
      }
      relax();
    }
    if (chases > 0) chases_.store(0, std::memory_order_relaxed);
    return false;
  }
  template <class Over>
  static bool look(Over& over) noexcept {
    for (int i = 0; i < kLooks; ++i) {
      if (over()) return true;
      relax();
    }
    yield();
    return over();
  }
  template <class Over>
  bool look_for_long(Deadline deadline, Over& over) noexcept {
    const std::uint32_t misses = misses_.load(std::memory_order_relaxed);
    const bool worth_it = misses < 2 || misses % 64 == 0;
    for (const Deadline enough = Deadline::after(kLongLook);
         worth_it && !enough.has_passed() && !deadline.has_passed();) {
      if (!look(over)) continue;
      misses_.store(0, std::memory_order_relaxed);
      return true;
    }
    misses_.store(misses + 1, std::memory_order_relaxed);
    return false;
  }
  static void yield() noexcept;

  const WaitStrategy strategy_;
  std::atomic<std::uint32_t> misses_ = 0;  ///< as Patience, for several threads
  std::atomic<std::int32_t> chases_ = 0;   ///< waits in a row that were over almost at once
};

}  // namespace crucible::shm_ring
