#include "shm_ring/ring.h"

#include <cerrno>

#include "api/status.h"

namespace crucible::shm_ring {

// A sender was killed between its last commit and moving the tail: the records tell where it really is. At most two, a
// pad and a message; the limit is for a peer that writes what it should not.
std::uint64_t Producer::recover(std::uint64_t tail) noexcept {
  for (std::size_t steps = 0; steps < capacity_ / kTerminator; ++steps) {
    const Word found(word(tail).load(std::memory_order_relaxed));
    if (found.raw() == 0) break;
    tail += found.stride();
  }
  control_->tail.store(tail, std::memory_order_relaxed);
  return tail;
}

bool Consumer::behind_pad(Record& record) const {
  std::uint64_t place = control_->head.load(std::memory_order_relaxed);
  for (const std::uint64_t end = place + capacity_; place != end;) {
    const Word found(word(place).load(std::memory_order_acquire));
    if (found.raw() == 0) return false;
    if (found.kind() != Word::kPad) {
      if (!is_sound(found)) fail();
      record = {place, found};
      return true;
    }
    if (found.length() == 0 || found.length() >= kLine || end - place < found.length()) fail();
    place += found.length();
  }
  fail();
}

void Consumer::fail() {
  errno = EPROTO;
  throw_errno("shm_ring: what the peer wrote is no record");
}

}  // namespace crucible::shm_ring
