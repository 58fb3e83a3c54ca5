// Who a process is, so that shared memory can name it, and whether it still runs.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace crucible {

/// A process for good: its pid, which the kernel gives out again, and when it started, in the kernel's clock ticks
/// since boot. All bytes zero name nobody. A plain value for shared memory; packed() fits one atomic word.
struct ProcessIdentity {
  std::int64_t pid = 0;
  std::uint64_t start = 0;

  /// The calling process, also in a forked child. Reads /proc once per process; no system call afterwards. Any thread.
  /// Throws std::system_error: no descriptor free for that reading, no /proc.
  static ProcessIdentity self();
  /// Whoever has this pid now; nobody if nobody has it or it cannot be asked. Not cached.
  static ProcessIdentity of(pid_t pid) noexcept;

  /// The two in one word, 0 for nobody. Linux's pids end below 2^22; 42 bits of ticks last 1,390 years.
  constexpr std::uint64_t packed() const noexcept { return start << kPidBits | static_cast<std::uint64_t>(pid); }
  static constexpr ProcessIdentity unpacked(std::uint64_t word) noexcept {
    return {.pid = static_cast<std::int64_t>(word & ((1ULL << kPidBits) - 1)), .start = word >> kPidBits};
  }
  constexpr bool is_nobody() const noexcept { return pid == 0; }
  bool operator==(const ProcessIdentity&) const noexcept = default;

 private:
  static constexpr unsigned kPidBits = 22;
};

/// Whether the process still runs. Stopped is alive; ended and not yet reaped is dead, and so is a pid in other hands;
/// nobody is dead. What cannot be found out (no descriptor free, another's process under a /proc that hides it) counts
/// as alive as long as the pid exists. Exec does not end a process. Four system calls, about 20 us; never blocks.
bool alive(ProcessIdentity process) noexcept;

/// Which pids this process sees (pid_namespaces(7)): a number, the same for all who see the same ones; 0 if it cannot
/// be found out. One system call in each process, none afterwards. Any thread.
std::uint64_t pid_namespace() noexcept;

}  // namespace crucible
