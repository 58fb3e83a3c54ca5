#include "shm_ring/role.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>

#include "core/liveness.h"
#include "shm_ring/waiting.h"

namespace crucible::shm_ring {

using std::chrono::microseconds;
using std::chrono::milliseconds;

std::atomic<std::uint64_t> own_identity = 0;

namespace {

constexpr int kLooks = 64;
constexpr int kYields = 16;
constexpr auto kFirstNap = microseconds(50);
constexpr auto kLongestNap = milliseconds(2);
constexpr auto kDoubt = milliseconds(1);  // whether it lives is not asked before
constexpr auto kGrace = milliseconds(50);

bool is_dead(std::uint64_t identity) noexcept { return !alive(ProcessIdentity::unpacked(identity)); }

}  // namespace

std::uint64_t find_own_identity() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { own_identity = 0; }); });
  const std::uint64_t identity = ProcessIdentity::self().packed();
  own_identity.store(identity, std::memory_order_relaxed);
  return identity;
}

bool Role::is_orphaned() const noexcept {
  const std::uint64_t who = holder();
  for (int i = 0; i < kLooks; ++i) {
    if (holder() != who || who == 0) return false;
    relax();
  }
  return is_dead(who) && holder() == who;
}

Role::Entry Role::enter(std::uint64_t identity, Deadline deadline, const std::atomic<bool>& closed) noexcept {
  const auto try_for_a_while = [&] {
    for (int i = 0; i < kLooks; ++i) {
      if (holder_.load(std::memory_order_relaxed) == 0 && try_enter(identity)) return true;
      relax();
    }
    return false;
  };
  for (int i = 0; i < kYields; ++i) {
    if (try_for_a_while()) return Entry::kOrdinary;
    if (closed.load(std::memory_order_relaxed)) return Entry::kClosed;
    sched_yield();
  }
  const Deadline grace = Deadline::after(kGrace);
  for (microseconds nap = kFirstNap;; nap = std::min<microseconds>(nap * 2, kLongestNap)) {
    std::uint64_t who = holder();
    if (try_for_a_while()) return Entry::kOrdinary;
    if (closed.load(std::memory_order_relaxed)) return Entry::kClosed;
    if (nap >= kDoubt && who != 0 && who == holder() && is_dead(who)) {
      if (holder_.compare_exchange_strong(who, identity, std::memory_order_acquire)) return Entry::kFromDead;
    }
    if (grace.has_passed() && deadline.has_passed()) return Entry::kTimeout;
    std::this_thread::sleep_for(nap);
  }
}

}  // namespace crucible::shm_ring
