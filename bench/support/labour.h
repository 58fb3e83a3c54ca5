// Tasks that take their time: a fixed number of steps, whoever does them and whatever else runs meanwhile.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "api/deadline.h"
#include "support/payload.h"

namespace crucible::bench {

/// So many steps of which none can be left out; what they come to.
inline std::uint64_t labour(std::uint64_t iterations) {
  std::uint64_t value = iterations + 1;
  for (std::uint64_t i = 0; i < iterations; ++i) {
    value = value * 6364136223846793005U + 1442695040888963407U;
    asm volatile("" : "+r"(value));
  }
  return value;
}

/// The steps that take `nanoseconds` on this machine while nothing disturbs them; measured once.
inline std::uint64_t iterations_in(double nanoseconds) {
  static const double each_ns = [] {
    constexpr std::uint64_t kSteps = 200'000;
    constexpr int kTries = 20;
    auto best = std::numeric_limits<std::int64_t>::max();
    for (int i = 0; i < kTries; ++i) {
      const std::int64_t start = Deadline::now_ns();
      (void)labour(kSteps);
      best = std::min(best, Deadline::now_ns() - start);
    }
    return static_cast<double>(best) / kSteps;
  }();
  return static_cast<std::uint64_t>(nanoseconds / each_ns);
}

/// How long each task is: `usual`, but every `each`-th, `rare`.
class Schedule {
 public:
  Schedule(double usual_ns, double rare_ns, std::uint64_t each)
      : usual_(iterations_in(usual_ns)),
        rare_(iterations_in(rare_ns)),
        each_(each),
        usual_result_(labour(usual_)),
        rare_result_(labour(rare_)) {}

  std::uint64_t iterations(std::uint64_t task) const noexcept { return is_rare(task) ? rare_ : usual_; }
  /// Throws VerificationError unless `result` is what the task comes to.
  void verify(std::uint64_t task, std::uint64_t result) const {
    if (result != (is_rare(task) ? rare_result_ : usual_result_)) {
      throw VerificationError("verification failed: the result of another task, or of work not done");
    }
  }

 private:
  bool is_rare(std::uint64_t task) const noexcept { return task % each_ == each_ - 1; }

  std::uint64_t usual_, rare_, each_;
  std::uint64_t usual_result_, rare_result_;
};

}  // namespace crucible::bench
