#include "core/lifeline.h"

#include <sys/socket.h>

#include "api/status.h"
#include "core/wait.h"

namespace crucible {

std::pair<Lifeline, Lifeline> Lifeline::pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("socketpair");
  return {Lifeline(ends[0]), Lifeline(ends[1])};
}

bool Lifeline::severed_by(Deadline deadline) const {
  while (true) {
    pollfd slot = {.fd = end_.get(), .events = POLLIN, .revents = 0};
    if (sleep_on({&slot, 1}, deadline) == Wake::kReady) return true;
    if (deadline.has_passed()) return false;
  }
}

bool Lifeline::begin_wait(pollfd& slot) {
  slot.fd = end_.get();
  slot.events = POLLIN;
  return false;
}

bool Lifeline::end_wait(short revents) { return revents != 0; }

}  // namespace crucible
