// An event between the threads of one process that poll(2) can sleep on.
#pragma once

#include <sys/eventfd.h>

#include <cstdint>

#include "api/status.h"
#include "core/fd.h"

namespace crucible {

/// Polls readable from ring() to hush(). Any thread.
class EventFd {
 public:
  EventFd() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!event_) throw_errno("eventfd");
  }
  int get() const noexcept { return event_.get(); }
  void ring() noexcept {
    const std::uint64_t one = 1;
    (void)!::write(event_.get(), &one, sizeof one);
  }
  void hush() noexcept {
    std::uint64_t count = 0;
    (void)!::read(event_.get(), &count, sizeof count);
  }
  void reset() noexcept { event_.reset(); }

 private:
  Fd event_;
};

}  // namespace crucible
