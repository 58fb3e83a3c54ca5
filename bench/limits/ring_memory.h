// What the rings of the limits share: memory, indices, patience.
#pragma once

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>

#include "api/deadline.h"
#include "core/inherited.h"

namespace crucible::bench {

/// Each index in a pair of cache lines of its own, since the prefetcher fetches them in pairs.
struct RingIndices {
  alignas(128) std::atomic<std::uint64_t> head = 0;  ///< what the reader has taken
  alignas(128) std::atomic<std::uint64_t> tail = 0;  ///< what the writer has put
};

/// Shared by both processes; every page has been written to.
struct RingMemory {
  explicit RingMemory(std::size_t size)
      : indices(make_inherited<RingIndices>(1, [](RingIndices* at) { new (at) RingIndices; })),
        bytes(make_inherited<std::byte>(size, [](std::byte* at) { *at = std::byte{0}; })) {}

  std::shared_ptr<RingIndices[]> indices;
  std::shared_ptr<std::byte[]> bytes;
};

/// Loads `index` until `enough(value)`. Pauses while the peer is probably at work on another CPU, then gives this one
/// away, for the peer may need it. Throws std::runtime_error when it has not moved for `patience`.
template <class Enough>
std::uint64_t await_index(const std::atomic<std::uint64_t>& index, Enough enough,
                          std::chrono::milliseconds patience = std::chrono::seconds(10)) {
  constexpr unsigned kPauses = 256;
  auto overdue = [patience, deadline = Deadline::never()]() mutable {
    if (deadline.is_never()) deadline = Deadline::after(patience);
    return deadline.has_passed();
  };
  for (unsigned tries = 0;; ++tries) {
    const std::uint64_t now = index.load(std::memory_order_acquire);
    if (enough(now)) return now;
    if (tries < kPauses) {
      __builtin_ia32_pause();
    } else {
      if (tries % (64 * kPauses) == 0 && overdue()) throw std::runtime_error("the other side of a ring stands still");
      sched_yield();
    }
  }
}

}  // namespace crucible::bench
