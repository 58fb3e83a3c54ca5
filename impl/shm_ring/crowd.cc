#include "shm_ring/crowd.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>
#include <limits>

namespace crucible::shm_ring {
namespace {

constexpr std::uint64_t kEra = std::uint64_t{1} << 32U;

int wake(std::atomic<std::uint32_t>& word, int count) noexcept {
  return static_cast<int>(syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr, nullptr, 0));
}

}  // namespace

std::uint32_t Crowd::announce() noexcept {
  return static_cast<std::uint32_t>(sleepers_.fetch_add(1, std::memory_order_seq_cst) >> 32U);
}

// In another era it is written off already.
void Crowd::withdraw(std::uint32_t era) noexcept {
  std::uint64_t sleepers = sleepers_.load(std::memory_order_relaxed);
  while (sleepers >> 32U == era && count(sleepers) != 0 &&
         !sleepers_.compare_exchange_weak(sleepers, sleepers - 1, std::memory_order_relaxed)) {
  }
}

// Whoever is woken is taken off the count here, so that the next change makes no system call for it.
void Crowd::call_one() noexcept {
  constexpr std::uint32_t kMostInVain = 16;  // announced and not yet asleep is over sooner; what is left are the dead
  if (answering_.load(std::memory_order_relaxed) != 0) return;
  if (answering_.exchange(1, std::memory_order_relaxed) != 0) return;
  const std::uint64_t announced = sleepers_.load(std::memory_order_relaxed);
  calls_.fetch_add(1, std::memory_order_seq_cst);
  if (wake(calls_, 1) > 0) {
    in_vain_.store(0, std::memory_order_relaxed);
    withdraw(static_cast<std::uint32_t>(announced >> 32U));
    return;
  }
  answering_.store(0, std::memory_order_relaxed);
  if (in_vain_.fetch_add(1, std::memory_order_relaxed) < kMostInVain) return;
  std::uint64_t expected = announced;
  if (sleepers_.compare_exchange_strong(expected, ((announced >> 32U) + 1) * kEra)) {
    in_vain_.store(0, std::memory_order_relaxed);
  }
}

void Crowd::call_all() noexcept {
  const std::uint32_t era = static_cast<std::uint32_t>(sleepers_.load(std::memory_order_relaxed) >> 32U);
  calls_.fetch_add(1, std::memory_order_seq_cst);
  for (int woken = wake(calls_, std::numeric_limits<int>::max()); woken > 0; --woken) withdraw(era);
}

bool Crowd::nap_on(std::uint32_t calls, Deadline deadline, std::chrono::nanoseconds nap) noexcept {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::int64_t ns = (deadline.is_never() ? nap : std::min(nap, deadline.left())).count();
  const timespec timeout = {.tv_sec = ns / kSecond, .tv_nsec = ns % kSecond};
  return syscall(SYS_futex, &calls_, FUTEX_WAIT, calls, &timeout, nullptr, 0) == 0;
}

void CrowdWaiting::yield() noexcept { sched_yield(); }

}  // namespace crucible::shm_ring
