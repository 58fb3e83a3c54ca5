// How an end waits for its peer: by looking, by yielding, by sleeping; and how a sleeper is woken.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "api/connection.h"
#include "api/deadline.h"
#include "api/status.h"
#include "core/gate.h"
#include "shm_ring/memory.h"

namespace crucible::shm_ring {

/// Lets heavy_fence() of any process reach the threads of this one. Inherited by fork; idempotent.
void enroll() noexcept;
extern std::atomic<bool> enrolled;

/// Dekker's order between one who changes the ring and then looks for a sleeper, with every message, and one who
/// announces its sleep and then looks at the ring, rarely. The rare one pays for both, by membarrier(2).
inline void light_fence() noexcept {
  if (enrolled.load(std::memory_order_relaxed)) [[likely]] {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    std::atomic<int> unshared = 0;
    unshared.exchange(1, std::memory_order_seq_cst);
  }
}
void heavy_fence() noexcept;

/// Wakes all who sleep on `word`; how many there were.
int wake(std::atomic<std::uint32_t>& word) noexcept;

inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

/// Whether the peer is there. The socket knows, by a system call; so one asks it when there is a reason to.
class Watch {
 public:
  Watch(int socket, const Header::Side& peer) noexcept : socket_(socket), peer_(&peer) {}

  /// Somebody closed a copy of the peer since gone() was last asked.
  bool heard() const noexcept {
    return peer_->closes.load(std::memory_order_acquire) != seen_.load(std::memory_order_relaxed);
  }
  /// Every copy of the peer is gone. Throws std::system_error (the socket is not open).
  bool gone();
  const Header::Side& peer() const noexcept { return *peer_; }

 private:
  const int socket_;
  const Header::Side* peer_;
  std::atomic<std::uint32_t> seen_ = 0;
  std::atomic<bool> gone_ = false;
};

/// Whether looking for a message before sleeping has paid lately. Two waits that ended asleep and sleeping comes first;
/// once in a while one looks all the same, for long enough that a peer which has to be woken answers meanwhile: only so
/// it turns out that both could do without sleep.
class Patience {
 public:
  bool looks() const noexcept { return misses_ < 2 || misses_ % 64 == 0; }
  void paid() noexcept { misses_ = 0; }
  void was_in_vain() noexcept { ++misses_; }

 private:
  std::uint32_t misses_ = 0;
};

/// One wait of an end, on its `word`, for what its peer does.
class Waiting {
 public:
  Waiting(WaitStrategy strategy, std::atomic<std::uint32_t>& word, Header::Side& own, Watch& watch, const Gate& gate,
          Patience& patience) noexcept
      : strategy_(strategy), word_(word), own_(own), watch_(watch), gate_(gate), patience_(patience) {}

  /// kOk: `ready()`. kEof: it is not and the peer is gone. kTimeout, kClosed. Throws as Watch::gone().
  template <class Ready>
  Status until(Deadline deadline, Ready ready) {
    if (deadline.is_immediate()) return judge(ready);
    if (strategy_ == WaitStrategy::kBlock) return sleep(deadline, ready);
    const bool shares_cpu = meet();
    if (!shares_cpu && glance(ready)) {
      patience_.paid();
      return Status::kOk;
    }
    if (strategy_ == WaitStrategy::kSpin) return spin(deadline, ready, shares_cpu);
    if (patience_.looks() && look(deadline, ready, shares_cpu)) {
      patience_.paid();
      return Status::kOk;
    }
    patience_.was_in_vain();
    return sleep(deadline, ready);
  }

 private:
  static constexpr int kGlance = 32;                     // looks that are shorter than any system call
  static constexpr std::chrono::microseconds kLook{50};  // what waking a process on another CPU may take
  static constexpr int kSpinsBetweenQuestions = 512;     // in system calls that look whether anything ended
  // A death during a nap is seen after it, and so is a wake-up that died with the one who owed it.
  static constexpr std::chrono::nanoseconds kFirstNap = std::chrono::milliseconds(2);
  static constexpr std::chrono::nanoseconds kLongestNap = std::chrono::milliseconds(50);

  template <class Ready>
  static bool glance(Ready& ready) {
    for (int i = 0; i < kGlance; ++i) {
      if (ready()) return true;
      relax();
    }
    return false;
  }

  template <class Ready>
  bool look(Deadline deadline, Ready& ready, bool shares_cpu) {
    const Deadline enough = Deadline::after(kLook);
    while (!gate_.closed() && !enough.has_passed() && (deadline.is_never() || !deadline.has_passed())) {
      if (shares_cpu) yield();
      if (shares_cpu ? ready() : glance(ready)) return true;
    }
    return false;
  }

  // Yields, since the peer may be waiting for this very CPU: with pauses alone each message would cost a time slice.
  template <class Ready>
  Status spin(Deadline deadline, Ready& ready, bool shares_cpu) {
    for (int question = 1;; ++question) {
      if (shares_cpu ? ready() : glance(ready)) return Status::kOk;
      yield();
      if (gate_.closed()) return Status::kClosed;
      const bool due = question % kSpinsBetweenQuestions == 0;
      if (due) word_.fetch_or(kSpins, std::memory_order_relaxed);
      if (due || watch_.heard() || deadline.has_passed()) {
        const Status status = judge(ready);
        if (status != Status::kTimeout || deadline.has_passed()) return status;
        shares_cpu = meet();
      }
    }
  }

  template <class Ready>
  Status sleep(Deadline deadline, Ready& ready) {
    for (auto nap = kFirstNap;; nap = std::min(nap * 4, kLongestNap)) {
      if (nap != kFirstNap || watch_.heard()) {
        const Status status = judge(ready);
        if (status != Status::kTimeout) return status;
      }
      const std::uint32_t announced = word_.fetch_or(kSleeps, std::memory_order_seq_cst) | kSleeps;
      heavy_fence();
      if (!ready() && !gate_.closed()) nap_on(announced, deadline, nap);
      word_.fetch_and(~kSleeps, std::memory_order_relaxed);
      if (ready()) return Status::kOk;
      if (gate_.closed()) return Status::kClosed;
      if (deadline.has_passed()) return judge(ready);
    }
  }

  // What the peer left behind before it went comes first.
  template <class Ready>
  Status judge(Ready& ready) {
    const bool gone = watch_.gone();
    if (ready()) return Status::kOk;
    if (gate_.closed()) return Status::kClosed;
    return gone ? Status::kEof : Status::kTimeout;
  }

  /// Tells the peer where this thread runs; whether that is where the peer last began to wait.
  bool meet() noexcept;
  static void yield() noexcept;
  void nap_on(std::uint32_t announced, Deadline deadline, std::chrono::nanoseconds nap) noexcept;

  const WaitStrategy strategy_;
  std::atomic<std::uint32_t>& word_;
  Header::Side& own_;
  Watch& watch_;
  const Gate& gate_;
  Patience& patience_;
};

}  // namespace crucible::shm_ring
