#include "core/fence.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace crucible {

std::atomic<bool> enrolled = false;

// With several threads the kernel takes a moment for it, hence not in anybody's first call.
void enroll() noexcept {
  if (enrolled.load(std::memory_order_relaxed)) return;
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0) enrolled = true;
}

// Where the system call is refused nobody is enrolled, and an ordinary fence on both sides does; where only this
// process is refused it, whoever it has missed must be looked at again.
void heavy_fence() noexcept {
  std::atomic<int> unshared = 0;
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) != 0) {
    unshared.exchange(1, std::memory_order_seq_cst);
  }
}

}  // namespace crucible
