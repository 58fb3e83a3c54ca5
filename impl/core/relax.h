// relax(): for loops that look at memory which another CPU will change.
#pragma once

namespace crucible {

/// Tells the CPU that this is such a loop; some tens of cycles.
inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace crucible
