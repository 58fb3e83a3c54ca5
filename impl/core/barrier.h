// Barrier: a number of parties wait until all of them have come.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "api/deadline.h"
#include "api/status.h"
#include "core/shared_block.h"

namespace crucible {

class WaitSlot;

/// Passed again and again. Parties are processes and threads, any of them; what is forked after has the same barrier. A
/// party that can never come, since it gave up or died while it waited, breaks the barrier for all, until reset(). What
/// was done before wait() is seen by all after it. A stopped party is no dead one: it is waited for.
class Barrier {
 public:
  static constexpr std::uint32_t kMaxParties = 4096;

  /// `action` is run once whenever all have come, before anyone leaves, by the one who came last; it may use the
  /// barrier, but not wait at it. `timeout` is what wait() without one has. Throws BadArgument (no parties, or more
  /// than kMaxParties), std::system_error (no space).
  explicit Barrier(std::uint32_t parties, std::function<void()> action = {},
                   std::optional<std::chrono::nanoseconds> timeout = std::nullopt);
  /// For unrelated programs; names and further errors as SharedBlock's. Each brings its own action.
  static Barrier create(const std::string& name, std::uint32_t parties, std::function<void()> action = {},
                        std::optional<std::chrono::nanoseconds> timeout = std::nullopt);
  static Barrier open(const std::string& name, std::function<void()> action = {});
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;

  /// Waits for the others; in which place this party came: 0 to parties() - 1, each once. Throws BrokenBarrier if the
  /// barrier is broken or breaks meanwhile:
  /// - this party's or another's deadline passed first; zero and negative durations: unless it is the last to come;
  /// - a party died while it waited, or in the action: the others know within 100 ms;
  /// - somebody called abort() or reset();
  /// - the action threw. Who ran it gets what it threw instead.
  std::uint32_t wait();
  std::uint32_t wait(Deadline deadline);
  template <class Rep, class Period>
  std::uint32_t wait_for(std::chrono::duration<Rep, Period> duration) {
    return wait(Deadline::after(duration));
  }
  template <class Clock, class Duration>
  std::uint32_t wait_until(std::chrono::time_point<Clock, Duration> time) {
    return wait(Deadline::after(time - Clock::now()));
  }

  /// Breaks it. Like reset() it never waits for anybody, does nothing when it is so already, and is done by the next
  /// who calls it if its caller dies.
  void abort() noexcept;
  /// Breaks it for those who wait now, then makes it as new.
  void reset() noexcept;

  std::uint32_t parties() const noexcept;
  /// Who wait at this moment; 0 of a broken barrier.
  std::uint32_t n_waiting() const;
  [[nodiscard]] bool broken() const;

 private:
  struct State;

  Barrier(SharedBlock block, std::function<void()> action) noexcept
      : block_(std::move(block)), action_(std::move(action)) {}
  State& state() const noexcept;
  WaitSlot& arrive(Deadline deadline, std::uint32_t& turn, std::uint32_t& index);
  void release(std::uint32_t turn);

  SharedBlock block_;
  std::function<void()> action_;
};

}  // namespace crucible
