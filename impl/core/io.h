// What mechanisms over kernel descriptors share.
#pragma once

#include <csignal>
#include <mutex>

#include "api/deadline.h"
#include "api/status.h"
#include "core/gate.h"
#include "core/wait.h"

namespace crucible {

/// Waits until `descriptor` shows one of `events` (or has failed or hung up). kOk, kTimeout, kClosed if `gate`, a Gate
/// or CrowdGate, closes.
template <class G>
Status await_events(int descriptor, short events, Deadline deadline, const G& gate) {
  while (true) {
    if (gate.closed()) return Status::kClosed;
    pollfd slot = {.fd = descriptor, .events = events, .revents = 0};
    if (sleep_on({&slot, 1}, deadline) == Wake::kReady) {
      if ((slot.revents & POLLNVAL) != 0) {
        errno = EBADF;
        throw_errno("poll");
      }
      return Status::kOk;
    }
    if (deadline.has_passed()) return gate.closed() ? Status::kClosed : Status::kTimeout;
  }
}

/// Writing to a pipe whose reader is gone must be an error and not the process's end. An application's own handler
/// stays.
inline void ignore_sigpipe() {
  // Not a local static's initialiser: a fork in the middle of that, in another thread, leaves a child that waits for
  // its end for ever. glibc lets call_once begin anew there.
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction current = {};
    sigaction(SIGPIPE, nullptr, &current);
    if (current.sa_handler == SIG_DFL) std::signal(SIGPIPE, SIG_IGN);
  });
}

}  // namespace crucible
