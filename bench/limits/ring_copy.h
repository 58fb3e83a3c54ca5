// The speed of light of copying through shared memory: memcpy into a ring, memcpy out of it, in chunks, so that
// messages of any length go through. Either side looks at the other's index only when the one it remembers no longer
// suffices.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "api/bytes.h"
#include "limits/raw_setting.h"
#include "limits/ring_memory.h"
#include "support/transfer.h"

namespace crucible::bench {

struct RingCopy {
  static constexpr bool kBatches = false;

  static Link<RingCopy> make(const RawSetting& setting);
  static std::vector<RawSetting> settings(std::size_t message_bytes, std::size_t subject_buffer);

  void send(ByteView message) {
    for (std::size_t n = 0; !message.empty(); message = message.subspan(n)) {
      n = std::min(message.size(), chunk);
      if (tail + n - head_seen > size) {
        head_seen = await_index(ring.indices[0].head, [&](std::uint64_t now) { return tail + n - now <= size; });
      }
      const std::size_t at = tail & (size - 1), first = std::min(n, size - at);
      std::memcpy(ring.bytes.get() + at, message.data(), first);
      if (first < n) std::memcpy(ring.bytes.get(), message.data() + first, n - first);
      ring.indices[0].tail.store(tail += n, std::memory_order_release);
    }
  }
  std::size_t receive(ByteSpan buffer) {
    for (std::size_t filled = 0, n = 0; filled < buffer.size(); filled += n) {
      if (head == tail_seen) {
        tail_seen = await_index(ring.indices[0].tail, [&](std::uint64_t now) { return now != head; });
      }
      n = std::min({buffer.size() - filled, tail_seen - head, chunk});
      const std::size_t at = head & (size - 1), first = std::min(n, size - at);
      std::memcpy(buffer.data() + filled, ring.bytes.get() + at, first);
      if (first < n) std::memcpy(buffer.data() + filled + first, ring.bytes.get(), n - first);
      ring.indices[0].head.store(head += n, std::memory_order_release);
    }
    return buffer.size();
  }

  RingMemory ring;
  std::size_t size;   ///< a power of two
  std::size_t chunk;  ///< most between two publications
  std::uint64_t head = 0, tail_seen = 0;
  std::uint64_t tail = 0, head_seen = 0;
};

}  // namespace crucible::bench
