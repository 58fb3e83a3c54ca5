// Stays: who of this process is in a call that close() must see the end of.
#pragma once

#include <atomic>
#include <cstdint>

namespace crucible::shm_ring {

/// A count that belongs to the process which counted, told by its identity: a fork's copy has nobody inside. One
/// entering is published before it asks whether the object is closed, and who closes it asks in the opposite order: at
/// least one sees the other.
class Stays {
 public:
  void enter(std::uint64_t identity) noexcept {
    const std::uint64_t none = identity << 32U;
    std::uint64_t seen = stays_.load(std::memory_order_relaxed);
    while (!stays_.compare_exchange_weak(seen, (seen >> 32U == none >> 32U ? seen : none) + 1,
                                         std::memory_order_seq_cst)) {
    }
  }
  void leave() noexcept { stays_.fetch_sub(1, std::memory_order_release); }
  bool any(std::uint64_t identity) const noexcept {
    const std::uint64_t none = identity << 32U;
    const std::uint64_t seen = stays_.load(std::memory_order_seq_cst);
    return seen >> 32U == none >> 32U && seen != none;
  }

 private:
  std::atomic<std::uint64_t> stays_ = 0;
};

}  // namespace crucible::shm_ring
