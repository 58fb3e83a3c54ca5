// How the rings of the limits are made: what is settled before the clock starts.
#include <algorithm>
#include <set>

#include "limits/ring_copy.h"
#include "limits/ring_u64.h"

namespace crucible::bench {

Link<RingU64> RingU64::make(const RawSetting& setting) {
  const RingMemory ring(setting.buffer_bytes);
  const std::uint64_t mask = setting.buffer_bytes / sizeof(std::uint64_t) - 1;
  return {RingU64{.ring = ring, .mask = mask},
          RingU64{.ring = ring, .mask = mask},
          {{"ring_bytes", setting.buffer_bytes}, {"messages_per_publication", 1}}};
}

std::vector<RawSetting> RingU64::settings(std::size_t /*message_bytes*/, std::size_t /*subject_buffer*/) {
  return {{.buffer_bytes = 16U << 10U}, {.buffer_bytes = 128U << 10U}, {.buffer_bytes = 1U << 20U}};
}

Link<RingCopy> RingCopy::make(const RawSetting& setting) {
  const RingMemory ring(setting.buffer_bytes);
  return {RingCopy{.ring = ring, .size = setting.buffer_bytes, .chunk = setting.chunk_bytes},
          RingCopy{.ring = ring, .size = setting.buffer_bytes, .chunk = setting.chunk_bytes},
          {{"ring_bytes", setting.buffer_bytes}, {"chunk_bytes", setting.chunk_bytes}}};
}

std::vector<RawSetting> RingCopy::settings(std::size_t message_bytes, std::size_t /*subject_buffer*/) {
  std::vector<RawSetting> settings;
  for (const std::size_t ring : {256U << 10U, 1U << 20U, 4U << 20U}) {
    for (const std::size_t most : {16U << 10U, 64U << 10U, 512U << 10U}) {
      const std::size_t chunk = std::min(message_bytes, most);
      const bool tried =
          !settings.empty() && settings.back().buffer_bytes == ring && settings.back().chunk_bytes == chunk;
      if (chunk <= ring / 2 && !tried) settings.push_back({.buffer_bytes = ring, .chunk_bytes = chunk});
    }
  }
  return settings;
}

}  // namespace crucible::bench
