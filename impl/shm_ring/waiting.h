// How an end waits for its peer: by looking, by yielding, by sleeping; and how a sleeper is woken.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "api/connection.h"
#include "api/deadline.h"
#include "api/status.h"
#include "core/fence.h"
#include "core/gate.h"
#include "core/relax.h"
#include "shm_ring/memory.h"

namespace crucible::shm_ring {

/// Wakes all who sleep on `word`; how many there were.
int wake(std::atomic<std::uint32_t>& word) noexcept;

/// Behind a producer's wait for room: as long as more of it comes it waits for `enough()`. A producer that takes every
/// place as soon as it is free works right behind the consumer, on lines that the consumer has just read and around
/// those that it reads next, so that each message waits for lines to go back and forth.
template <class Head, class Enough>
void fall_back(Head head, Enough enough) noexcept {
  constexpr int kPause = 64;  // about 1 us
  constexpr int kMostSteps = 64;
  auto before = head();
  for (int step = 0; step < kMostSteps && !enough(); ++step) {
    for (int i = 0; i < kPause; ++i) relax();
    const auto now = head();
    if (now == before) return;
    before = now;
  }
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

  /// Whether to look again and again before the CPU is given to others, by the same rule: where there are none it pays.
  bool glances() const noexcept { return vain_glances_ < 2 || vain_glances_ % 16 == 0; }
  void glanced(bool paid) noexcept { vain_glances_ = paid ? 0 : vain_glances_ + 1; }

 private:
  std::uint32_t misses_ = 0;
  std::uint32_t vain_glances_ = 0;
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
    meet();
    if (strategy_ == WaitStrategy::kBlock) return sleep(deadline, ready);
    if (strategy_ == WaitStrategy::kSpin) return spin(deadline, ready);
    if (patience_.looks() && look(deadline, ready)) {
      patience_.paid();
      return Status::kOk;
    }
    patience_.was_in_vain();
    return sleep(deadline, ready);
  }
  /// Tells the peer where this thread runs.
  static void tell_cpu(Header::Side& own) noexcept;
  /// How many looks the next wait is worth before it comes here, by what this one found out.
  int glances() const noexcept {
    if (shares_cpu_ || strategy_ == WaitStrategy::kBlock) return 1;
    if (strategy_ == WaitStrategy::kSpin) return kGlances;
    return patience_.looks() && patience_.glances() ? kGlances : kFewGlances;
  }

 private:
  static constexpr int kGlances = 128;             // about as long as two system calls
  static constexpr int kFewGlances = 16;           // while sleeping is what pays
  static constexpr std::int64_t kLookNs = 50'000;  // what waking a process on another CPU may take
  static constexpr std::int64_t kAloneNs = 1000;   // a yield for which nobody else runs takes less
  static constexpr std::int64_t kHogNs = 500'000;
  static constexpr std::int64_t kLongestLookNs = 2'000'000;
  static constexpr std::chrono::milliseconds kBetweenQuestions{2};  // system calls that look whether anything ended
  // A death during a nap is seen after it, and so is a wake-up that died with the one who owed it. None is shorter than
  // the kernel's tick: a time-out that comes before it reprograms the hardware's timer, which cost 3 us of a round
  // trip.
  static constexpr std::chrono::nanoseconds kFirstNap = std::chrono::milliseconds(10);
  static constexpr std::chrono::nanoseconds kLongestNap = std::chrono::milliseconds(80);

  // Withdraws it at last, however the sleep ends.
  class Announcement {
   public:
    explicit Announcement(std::atomic<std::uint32_t>& word) noexcept : word_(word) {}
    Announcement(const Announcement&) = delete;
    Announcement& operator=(const Announcement&) = delete;
    ~Announcement() { word_.fetch_and(~kSleeps, std::memory_order_relaxed); }

   private:
    std::atomic<std::uint32_t>& word_;
  };

  // Where both run on one CPU the peer can do nothing while this thread looks.
  template <class Ready>
  bool glance(Ready& ready) const {
    if (shares_cpu_) return ready();
    for (int i = 0; i < kGlances; ++i) {
      if (ready()) return true;
      relax();
    }
    return false;
  }

  // What passes while others have this CPU is not counted: they, too, may be on the way to an answer. To who keeps it
  // for long it is not given again: asleep, one gets it back as soon as there is a reason.
  template <class Ready>
  bool look(Deadline deadline, Ready& ready) {
    bool glances = !shares_cpu_ && patience_.glances();
    std::int64_t own_ns = 0;
    const std::int64_t start = Deadline::now_ns();
    for (std::int64_t begin = start; !gate_.closed() && !deadline.has_passed();) {
      if (glances && glance(ready)) {
        patience_.glanced(true);
        return true;
      }
      const std::int64_t before = Deadline::now_ns();
      yield();
      const std::int64_t after = Deadline::now_ns();
      const bool others_ran = after - before > kAloneNs;
      if (!shares_cpu_) {
        patience_.glanced(!others_ran);
        glances = patience_.glances();
      }
      if (ready()) return true;
      own_ns += (others_ran ? before : after) - begin;
      begin = after;
      if (own_ns > kLookNs || after - before > kHogNs || after - start > kLongestLookNs) return false;
    }
    return false;
  }

  // Yields, since the peer may be waiting for this very CPU: with pauses alone each message would cost a time slice.
  template <class Ready>
  Status spin(Deadline deadline, Ready& ready) {
    for (Deadline question = Deadline::after(kBetweenQuestions);;) {
      if (glance(ready)) return Status::kOk;
      yield();
      if (gate_.closed()) return Status::kClosed;
      const bool due = question.has_passed();
      if (due) {
        word_.fetch_or(kSpins, std::memory_order_relaxed);
        question = Deadline::after(kBetweenQuestions);
      }
      if (due || watch_.heard() || deadline.has_passed()) {
        const Status status = judge(ready);
        if (status != Status::kTimeout || deadline.has_passed()) return status;
        meet();
      }
    }
  }

  template <class Ready>
  Status sleep(Deadline deadline, Ready& ready) {
    const Announcement announcement(word_);
    bool is_fenced = false;  // and the announcement has stood ever since
    for (auto nap = kFirstNap;; nap = std::min(nap * 4, kLongestNap)) {
      if (nap != kFirstNap || watch_.heard()) {
        const Status status = judge(ready);
        if (status != Status::kTimeout) return status;
      }
      const std::uint32_t before = word_.fetch_or(kSleeps, std::memory_order_seq_cst);
      // What runs on this CPU cannot be in the middle of anything; if it was moved since, that costs the first nap.
      if ((!is_fenced || (before & kSleeps) == 0) && (!shares_cpu_ || nap != kFirstNap)) {
        heavy_fence();
        is_fenced = true;
      }
      if (!ready() && !gate_.closed()) nap_on(before | kSleeps, deadline, nap);
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

  /// Tells the peer where this thread runs, and finds out whether that is where the peer last began to wait.
  void meet() noexcept;
  static void yield() noexcept;
  void nap_on(std::uint32_t announced, Deadline deadline, std::chrono::nanoseconds nap) noexcept;

  const WaitStrategy strategy_;
  std::atomic<std::uint32_t>& word_;
  Header::Side& own_;
  Watch& watch_;
  const Gate& gate_;
  Patience& patience_;
  bool shares_cpu_ = false;
};

}  // namespace crucible::shm_ring
