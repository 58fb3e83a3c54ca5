// Sleeping to a point in time.
#pragma once

#include <cerrno>
#include <cstdint>
#include <ctime>

namespace crucible::bench {

/// `at_ns` of CLOCK_MONOTONIC.
inline void sleep_until(std::int64_t at_ns) noexcept {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const timespec at = {.tv_sec = at_ns / kSecond, .tv_nsec = at_ns % kSecond};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
  }
}

}  // namespace crucible::bench
