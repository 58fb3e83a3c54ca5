#pragma once

#include <array>
#include <string_view>

#include "api/capabilities.h"
#include "shm_ring/connection.h"

namespace crucible {

struct ShmRing {
  static constexpr std::string_view kName = "shm_ring";
  static constexpr Capabilities kPipe = {.hands_over = true,
                                         .transferable = true,
                                         .zero_copy = true,
                                         .outlives_sender = true,
                                         .survives_kill = true,
                                         .max_message_bytes = ShmRingConnection::kMaxMessage,
                                         .storage_bytes = ShmRingConnection::kDefaultCapacity / 2 - 128};
  static constexpr std::array kWaits = {WaitStrategy::kAdaptive, WaitStrategy::kSpin, WaitStrategy::kBlock};
  using Connection = ShmRingConnection;
};

}  // namespace crucible
