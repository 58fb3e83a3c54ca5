#include "shm_ring/blocks.h"

#include <algorithm>

#include "core/liveness.h"

namespace crucible::shm_ring {
namespace {

enum Phase : std::uint64_t { kFilling = 1, kQueued = 2, kReading = 3 };
constexpr unsigned kPhaseShift = 62;  // the kernel's clock ticks, above the pid, take a few hundred years to get there

constexpr std::uint64_t state(Phase phase, std::uint64_t identity) {
  return std::uint64_t{phase} << kPhaseShift | identity;
}
constexpr std::uint64_t phase(std::uint64_t state) { return state >> kPhaseShift; }
bool is_dead(std::uint64_t state) {
  return !alive(ProcessIdentity::unpacked(state & ((std::uint64_t{1} << kPhaseShift) - 1)));
}
bool is_before(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

}  // namespace

// First fit, so that a queue that is kept short goes on using the same, cached, memory.
std::optional<std::uint32_t> Blocks::find(std::uint32_t chunks) const noexcept {
  const Block* const blocks = memory_.blocks();
  const std::uint32_t backed = memory_.header().backed.load(std::memory_order_relaxed);
  std::optional<std::uint32_t> found;
  std::uint32_t used = 0;
  std::uint32_t run = 0;  // free ones in a row
  for (std::uint32_t at = 0; at < backed;) {
    if (blocks[at].state.load(std::memory_order_acquire) != 0) {
      const std::uint32_t size = std::max(1U, blocks[at].chunks.load(std::memory_order_relaxed));
      used += size;
      at += size;
      run = 0;
    } else {
      ++at;
      if (++run == chunks && !found) found = at - chunks;
    }
  }
  if (used != 0 && used + chunks > memory_.shape().usual_chunks) return std::nullopt;
  if (!found) found = backed - run;
  if (*found + chunks > memory_.shape().chunks) return std::nullopt;
  return found;
}

void Blocks::allocate(std::uint32_t first, std::uint32_t chunks, std::uint64_t identity, int descriptor) {
  memory_.back(descriptor, first + chunks);
  Block& block = memory_.blocks()[first];
  block.chunks.store(chunks, std::memory_order_relaxed);
  block.state.store(state(kFilling, identity), std::memory_order_release);
}

void Blocks::enqueue(std::uint32_t first, Place place, std::uint64_t identity) noexcept {
  memory_.blocks()[first].message.store(place.count(), std::memory_order_relaxed);
  memory_.blocks()[first].state.store(state(kQueued, identity), std::memory_order_release);
}

bool Blocks::reap(const QueueRing& ring) noexcept {
  bool any = false;
  const std::uint32_t backed = memory_.header().backed.load(std::memory_order_relaxed);
  for (std::uint32_t at = 0; at < backed; ++at) {
    Block& block = memory_.blocks()[at];
    std::uint64_t seen = block.state.load(std::memory_order_acquire);
    if (seen == 0) continue;
    const std::uint32_t message = block.message.load(std::memory_order_relaxed);
    bool is_lost = false;
    if (phase(seen) == kFilling) {
      is_lost = is_dead(seen);
    } else if (phase(seen) == kQueued) {
      is_lost = !is_before(message, ring.tail().count());  // killed before its commit
    } else {
      // Claimed and not taken, it is the next one's in the head's role, who then says so in the state.
      is_lost = is_dead(seen) && is_before(message, ring.head().count());
    }
    any |= is_lost && block.state.compare_exchange_strong(seen, 0, std::memory_order_acq_rel);
  }
  return any;
}

bool Blocks::claim(std::uint64_t first, std::uint64_t length, std::uint64_t identity) noexcept {
  if (first >= memory_.shape().chunks) return false;
  Block& block = memory_.blocks()[first];
  const std::uint64_t chunks = block.chunks.load(std::memory_order_relaxed);
  if (chunks > memory_.shape().chunks - first || length > chunks * QueueMemory::kChunk) return false;
  block.state.store(state(kReading, identity), std::memory_order_release);
  return true;
}

}  // namespace crucible::shm_ring
