// A word in shared memory to sleep on, bare.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace crucible::bench {

using FutexWord = std::atomic<std::uint32_t>;
static_assert(sizeof(FutexWord) == sizeof(std::uint32_t));

/// Returns when woken, when the word is no longer `seen`, or for nothing.
inline void futex_wait(const FutexWord& word, std::uint32_t seen) noexcept {
  syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
}
inline void futex_wake(FutexWord& word, int sleepers = 1) noexcept {
  syscall(SYS_futex, &word, FUTEX_WAKE, sleepers, nullptr, nullptr, 0);
}

/// While it lives, the failure of a child changes the word to kNobody and wakes who sleeps on it in this process: a
/// bare loop has no other way to learn that nobody will ever answer, and finds the bytes wrong. Few at a time.
class Alarm {
 public:
  static constexpr std::uint32_t kNobody = 0x80000000U;

  explicit Alarm(FutexWord& word);
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;
  ~Alarm();

 private:
  std::atomic<FutexWord*>* slot_;
};

}  // namespace crucible::bench
