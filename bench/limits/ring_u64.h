// The speed of light of small messages in shared memory: a ring of words, each published on its own. Either side looks
// at the other's index only when the one it remembers no longer suffices.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "api/bytes.h"
#include "limits/raw_setting.h"
#include "limits/ring_memory.h"
#include "support/transfer.h"

namespace crucible::bench {

struct RingU64 {
  static constexpr bool kBatches = false;

  static Link<RingU64> make(const RawSetting& setting);
  static std::vector<RawSetting> settings(std::size_t message_bytes, std::size_t subject_buffer);

  void send(ByteView message) {
    if (tail - head_seen > mask) {
      head_seen = await_index(ring.indices[0].head, [this](std::uint64_t now) { return tail - now <= mask; });
    }
    std::memcpy(slot(tail), message.data(), sizeof(std::uint64_t));
    ring.indices[0].tail.store(++tail, std::memory_order_release);
  }
  std::size_t receive(ByteSpan buffer) {
    if (head == tail_seen) {
      tail_seen = await_index(ring.indices[0].tail, [this](std::uint64_t now) { return now != head; });
    }
    std::memcpy(buffer.data(), slot(head), sizeof(std::uint64_t));
    ring.indices[0].head.store(++head, std::memory_order_release);
    return sizeof(std::uint64_t);
  }
  std::byte* slot(std::uint64_t index) const { return ring.bytes.get() + (index & mask) * sizeof(std::uint64_t); }

  RingMemory ring;
  std::uint64_t mask;  ///< slots, a power of two, less one
  std::uint64_t head = 0, tail_seen = 0;
  std::uint64_t tail = 0, head_seen = 0;
};

}  // namespace crucible::bench
