// What a process cost so far, as the kernel accounts it.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <ctime>

namespace crucible::bench {

inline std::int64_t clock_ns(clockid_t clock) noexcept {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}
/// CPU time of this process.
inline std::int64_t cpu_ns() noexcept { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

struct Usage {
  std::int64_t user_us = 0;
  std::int64_t system_us = 0;
  std::int64_t context_switches = 0;

  /// `who` as getrusage(2) takes it.
  static Usage now(int who = RUSAGE_SELF) noexcept {
    rusage raw{};
    getrusage(who, &raw);
    return {microseconds(raw.ru_utime), microseconds(raw.ru_stime), raw.ru_nvcsw + raw.ru_nivcsw};
  }

  Usage& operator+=(const Usage& other) noexcept {
    user_us += other.user_us;
    system_us += other.system_us;
    context_switches += other.context_switches;
    return *this;
  }
  friend Usage operator-(const Usage& after, const Usage& before) noexcept {
    return {after.user_us - before.user_us, after.system_us - before.system_us,
            after.context_switches - before.context_switches};
  }

 private:
  static std::int64_t microseconds(const timeval& time) noexcept { return time.tv_sec * 1'000'000LL + time.tv_usec; }
};

}  // namespace crucible::bench
