#include "limits/boost_raw.h"

#include <unistd.h>

#include <algorithm>
#include <string>

namespace crucible::bench {

std::shared_ptr<BoostRaw::Queue> make_boost_queue(std::size_t depth, std::size_t bytes) {
  namespace bip = boost::interprocess;
  const std::string name = "boost_raw." + std::to_string(getpid());
  BoostRaw::Queue::remove(name.c_str());
  auto queue = std::make_shared<BoostRaw::Queue>(bip::create_only, name.c_str(), depth, bytes, bip::permissions(0600));
  BoostRaw::Queue::remove(name.c_str());  // the mapping is inherited
  return queue;
}

Link<BoostRaw> BoostRaw::make(const RawSetting& setting) {
  const std::size_t depth = setting.buffer_bytes / setting.chunk_bytes;
  const auto forth = make_boost_queue(depth, setting.chunk_bytes);
  const auto back = make_boost_queue(depth, setting.chunk_bytes);
  return {BoostRaw{.in = back, .out = forth},
          BoostRaw{.in = forth, .out = back},
          {{"kernel_buffer_bytes", 0}, {"depth", depth}, {"max_message_bytes", setting.chunk_bytes}}};
}

// The subject holds 32 parts or 2 MiB, whichever is less.
std::vector<RawSetting> BoostRaw::settings(std::size_t message_bytes, std::size_t /*subject_buffer*/) {
  constexpr std::size_t kDepth = 32;
  constexpr std::size_t kMemory = 2U << 20U;
  const std::size_t depth = std::clamp<std::size_t>(kMemory / message_bytes, 2, kDepth);
  return {{.buffer_bytes = depth * message_bytes, .chunk_bytes = message_bytes}};
}

}  // namespace crucible::bench
