// Stays: who of this process is in a call that close() must see the end of.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace crucible::shm_ring {

/// A count that belongs to the process which counted: a fork's copy has nobody inside. One entering is published before
/// it asks whether the object is closed, and who closes it asks in the opposite order: at least one sees the other.
class Stays {
 public:
  void enter() noexcept {
    const std::uint64_t none = nobody();
    std::uint64_t seen = stays_.load(std::memory_order_relaxed);
    while (!stays_.compare_exchange_weak(seen, (seen >> 32U == none >> 32U ? seen : none) + 1,
                                         std::memory_order_seq_cst)) {
    }
  }
  void leave() noexcept { stays_.fetch_sub(1, std::memory_order_release); }
  bool any() const noexcept {
    const std::uint64_t none = nobody();
    const std::uint64_t seen = stays_.load(std::memory_order_seq_cst);
    return seen >> 32U == none >> 32U && seen != none;
  }

 private:
  static std::uint64_t nobody() noexcept { return static_cast<std::uint64_t>(::getpid()) << 32U; }

  std::atomic<std::uint64_t> stays_ = 0;
};

}  // namespace crucible::shm_ring
