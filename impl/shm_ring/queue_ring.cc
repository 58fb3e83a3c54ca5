#include "shm_ring/queue_ring.h"

namespace crucible::shm_ring {

void QueueRing::forget() noexcept {
  const Place place = tail();
  const Place first = head();
  limit_ = Place(first.grain() + grains_, first.count() + most_);
  cleared_ = place.grain();
}

void QueueRing::repair_tail() noexcept {
  Place place = tail();
  for (std::uint32_t steps = 0; steps < grains_; ++steps) {
    const QueueWord found(word(place.grain()).load(std::memory_order_relaxed));
    if (found.raw() == 0) break;
    place = place.after(found.grains(place.grain()));
  }
  header_->tail.place.store(place.raw(), std::memory_order_release);
  forget();
}

}  // namespace crucible::shm_ring
