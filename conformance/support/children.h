// Small things that tests of processes do in many places.
#pragma once

#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "conformance/support/proc.h"

namespace crucible::testing {

/// A child's body that ends only by a signal, and with its parent should the test end badly.
[[noreturn]] inline void sleep_forever() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) ::pause();
}

/// The same for a child whose end with its parent is what is tested.
[[noreturn]] inline void sleep_without_parent_watch() {
  for (;;) ::pause();
}

/// Waits for the end of a child and leaves it a zombie.
inline void await_zombie(pid_t pid) {
  siginfo_t info = {};
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
}

inline bool is_zombie(pid_t pid) { return proc::thread(pid, pid).state == 'Z'; }

/// Whether the kernel knows nobody, not even a zombie, by this number.
inline bool is_forgotten(pid_t pid) { return ::kill(pid, 0) != 0 && errno == ESRCH; }

}  // namespace crucible::testing
