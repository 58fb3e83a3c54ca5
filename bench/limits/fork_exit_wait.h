// The speed of light of starting a process and joining it: fork, _exit, waitpid, from the same resident memory.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include "api/status.h"

namespace crucible::bench {

struct ForkExitWait {
  /// The child's exit code.
  static int run() {
    const pid_t child = fork();
    if (child < 0) throw_errno("fork");
    if (child == 0) _exit(0);
    int status = 0;
    if (waitpid(child, &status, 0) != child) throw_errno("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};

}  // namespace crucible::bench
