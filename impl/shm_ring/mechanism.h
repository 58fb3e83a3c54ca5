#pragma once

#include <array>
#include <string_view>

#include "api/capabilities.h"
#include "core/door.h"
#include "shm_ring/connection.h"
#include "shm_ring/queue.h"

namespace crucible {

struct ShmRing : HasDoor<ShmRing> {
  static constexpr std::string_view kName = "shm_ring";
  static constexpr std::string_view kLimit = "shared_memory";
  static constexpr Capabilities kPipe = {.local_names = true,
                                         .hands_over = true,
                                         .transferable = true,
                                         .zero_copy = true,
                                         .outlives_sender = true,
                                         .survives_kill = true,
                                         .max_message_bytes = ShmRingConnection::kMaxMessage,
                                         .storage_bytes = ShmRingConnection::kDefaultCapacity / 2 - 128};
  static constexpr Capabilities kQueue = {.local_names = true,
                                          .outlives_sender = true,
                                          .total_order = true,
                                          .survives_kill = true,
                                          .max_message_bytes = ShmRingQueue::kMaxMessage,
                                          .storage_bytes = ShmRingQueue::kStorage};
  static constexpr std::array kWaits = {WaitStrategy::kAdaptive, WaitStrategy::kSpin, WaitStrategy::kBlock};
  using Connection = ShmRingConnection;
  using Queue = ShmRingQueue;

  static constexpr std::string_view kScheme = "shm";
  static constexpr DoorKind kDoor = {
      .mechanism = kName, .scheme = kScheme, .admit = &Connection::admit, .enter = &Connection::enter};
};

}  // namespace crucible
