// Sleeping on a word of shared memory, and waking who sleeps there.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <limits>

#include "api/deadline.h"

namespace crucible {

/// Nobody sleeps longer without looking again: a wake-up may have been owed by, or given to, a process that was killed.
inline constexpr std::chrono::nanoseconds kLongestNap = std::chrono::milliseconds(50);

/// Sleeps while the 32 bits at `word`, an atomic or half of one, hold `seen`, until woken, the deadline or `longest`,
/// whichever comes first; also returns for no reason and at every signal. The caller looks again. The word may be
/// shared between processes. Never fails.
/// Only who wakes one of the same `bits` wakes this sleeper.
inline void futex_nap(const void* word, std::uint32_t seen, Deadline deadline,
                      std::chrono::nanoseconds longest = kLongestNap,
                      std::uint32_t bits = FUTEX_BITSET_MATCH_ANY) noexcept {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::int64_t nap_ns = deadline.is_never() ? longest.count() : std::min(longest, deadline.left()).count();
  const std::int64_t end_ns = Deadline::now_ns() + nap_ns;
  const timespec end{.tv_sec = end_ns / kSecond, .tv_nsec = end_ns % kSecond};
  syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, &end, nullptr, bits);
}

/// Wakes at most `count` of those who sleep on `word`; how many there were.
inline int futex_wake(const void* word, int count, std::uint32_t bits = FUTEX_BITSET_MATCH_ANY) noexcept {
  return static_cast<int>(syscall(SYS_futex, word, FUTEX_WAKE_BITSET, count, nullptr, nullptr, bits));
}
inline constexpr int kEverybody = std::numeric_limits<int>::max();

inline void futex_nap(const std::atomic<std::uint32_t>& word, std::uint32_t seen, Deadline deadline,
                      std::chrono::nanoseconds longest = kLongestNap,
                      std::uint32_t bits = FUTEX_BITSET_MATCH_ANY) noexcept {
  futex_nap(static_cast<const void*>(&word), seen, deadline, longest, bits);
}
inline int futex_wake(const std::atomic<std::uint32_t>& word, int count,
                      std::uint32_t bits = FUTEX_BITSET_MATCH_ANY) noexcept {
  return futex_wake(static_cast<const void*>(&word), count, bits);
}

}  // namespace crucible
