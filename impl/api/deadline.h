// A point in monotonic time by which a whole operation, its transfer of bytes included, must be over.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <limits>

namespace crucible {

/// A value; cheap to copy. The clock is CLOCK_MONOTONIC, in nanoseconds. A call never gives up before its
/// deadline; upper bounds are the scheduler's affair.
class Deadline {
 public:
  /// Waits for ever.
  static constexpr Deadline never() noexcept { return Deadline(kNever); }
  /// Does not wait: the call does what it can at once.
  static constexpr Deadline immediate() noexcept { return Deadline(kImmediate); }
  /// `duration` from now. Zero and negative durations are immediate(); too large ones never().
  template <class Rep, class Period>
  static Deadline after(std::chrono::duration<Rep, Period> duration) noexcept {
    if (duration <= duration.zero()) return immediate();
    const double seconds = std::chrono::duration<double>(duration).count();
    if (seconds >= kLongestSeconds) return never();
    return Deadline(now_ns() + std::chrono::ceil<std::chrono::nanoseconds>(duration).count());
  }

  constexpr bool is_never() const noexcept { return at_ns_ == kNever; }
  constexpr bool is_immediate() const noexcept { return at_ns_ == kImmediate; }
  bool has_passed() const noexcept { return !is_never() && (is_immediate() || now_ns() >= at_ns_); }
  /// Time left, at least zero; meaningless for never().
  std::chrono::nanoseconds left() const noexcept {
    const std::int64_t left_ns = is_immediate() ? 0 : at_ns_ - now_ns();
    return std::chrono::nanoseconds(left_ns > 0 ? left_ns : 0);
  }

  static std::int64_t now_ns() noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
  }

 private:
  explicit constexpr Deadline(std::int64_t at_ns) noexcept : at_ns_(at_ns) {}

  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t kImmediate = std::numeric_limits<std::int64_t>::min();
  static constexpr double kLongestSeconds = 1e9;  // 31 years: beyond it nanoseconds could overflow

  std::int64_t at_ns_;
};

}  // namespace crucible
