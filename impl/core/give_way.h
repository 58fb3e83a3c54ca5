// GiveWay: lets a receiver on the sender's own CPU have its turn in time.
#pragma once

#include <sched.h>

#include <cstddef>

namespace crucible {

/// A sender that shares its receiver's CPU goes on until the transport is full, and most of those bytes have left the
/// cache by the time they are received. So it yields after every kBytes. Across CPUs that costs half a microsecond.
/// One user at a time.
class GiveWay {
 public:
  static constexpr std::size_t kBytes = std::size_t{256} * 1024;

  void wrote(std::size_t bytes) noexcept {
    since_ += bytes;
    if (since_ < kBytes) return;
    since_ = 0;
    ::sched_yield();
  }

 private:
  std::size_t since_ = 0;
};

}  // namespace crucible
