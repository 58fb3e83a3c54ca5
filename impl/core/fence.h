// Fences of unequal cost, for one who does something often and one who does something rarely.
#pragma once

#include <atomic>

namespace crucible {

/// Lets heavy_fence() of any process reach the threads of this one. Inherited by fork; idempotent.
void enroll() noexcept;
extern std::atomic<bool> enrolled;

/// Dekker's order between a frequent side, which writes, calls light_fence() and reads, and a rare one, which writes,
/// calls heavy_fence() and reads: at least one of them reads what the other wrote. The rare one pays for both, by
/// membarrier(2), where the frequent one's process is enrolled; otherwise both pay.
inline void light_fence() noexcept {
  if (enrolled.load(std::memory_order_acquire)) [[likely]] {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    std::atomic<int> unshared = 0;
    unshared.exchange(1, std::memory_order_seq_cst);
  }
}
void heavy_fence() noexcept;

}  // namespace crucible
