#include "shm_ring/waiting.h"

#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <limits>

namespace crucible::shm_ring {

int wake(std::atomic<std::uint32_t>& word) noexcept {
  return static_cast<int>(syscall(SYS_futex, &word, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr, nullptr, 0));
}

bool Watch::gone() {
  if (gone_.load(std::memory_order_relaxed)) return true;
  seen_.store(peer_->closes.load(std::memory_order_acquire), std::memory_order_relaxed);
  pollfd slot = {.fd = socket_, .events = 0, .revents = 0};
  while (poll(&slot, 1, 0) < 0) {
    if (errno != EINTR && errno != EAGAIN) throw_errno("poll");
  }
  if ((slot.revents & POLLNVAL) != 0) {
    errno = EBADF;
    throw_errno("poll");
  }
  if ((slot.revents & (POLLHUP | POLLERR)) == 0) return false;
  gone_.store(true, std::memory_order_relaxed);
  seen_.fetch_xor(~0U, std::memory_order_relaxed);  // from now on there is always something to be heard
  return true;
}

void Waiting::tell_cpu(Header::Side& own) noexcept {
  const auto cpu = static_cast<std::uint32_t>(sched_getcpu());
  if (own.cpu.load(std::memory_order_relaxed) != cpu) own.cpu.store(cpu, std::memory_order_relaxed);
}

void Waiting::meet() noexcept {
  tell_cpu(own_);
  shares_cpu_ = watch_.peer().cpu.load(std::memory_order_relaxed) == own_.cpu.load(std::memory_order_relaxed);
}

void Waiting::yield() noexcept { sched_yield(); }

// Returns when the word no longer reads `announced`, when woken, interrupted, or the time is over.
void Waiting::nap_on(std::uint32_t announced, Deadline deadline, std::chrono::nanoseconds nap) noexcept {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::int64_t ns = (deadline.is_never() ? nap : std::min(nap, deadline.left())).count();
  const timespec timeout = {.tv_sec = ns / kSecond, .tv_nsec = ns % kSecond};
  syscall(SYS_futex, &word_, FUTEX_WAIT, announced, &timeout, nullptr, 0);
}

}  // namespace crucible::shm_ring
