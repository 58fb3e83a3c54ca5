// Boost.Interprocess by itself: a message_queue per direction, made for this message size, and its plain blocking
// calls. As deep as the subject's; no deadline, no end of file, no notice of a peer's death.
#pragma once

#include <boost/interprocess/ipc/message_queue.hpp>
#include <memory>
#include <vector>

#include "api/bytes.h"
#include "limits/raw_setting.h"
#include "support/transfer.h"

namespace crucible::bench {

struct BoostRaw {
  static constexpr bool kBatches = false;
  using Queue = boost::interprocess::message_queue;

  static Link<BoostRaw> make(const RawSetting& setting);
  static std::vector<RawSetting> settings(std::size_t message_bytes, std::size_t subject_buffer);

  void send(ByteView message) { out->send(message.data(), message.size(), 0); }
  std::size_t receive(ByteSpan buffer) {
    std::size_t received = 0;
    unsigned priority = 0;
    in->receive(buffer.data(), buffer.size(), received, priority);
    return received;
  }

  std::shared_ptr<Queue> in, out;
};

/// Inherited; its name is gone.
std::shared_ptr<BoostRaw::Queue> make_boost_queue(std::size_t depth, std::size_t bytes);

}  // namespace crucible::bench
