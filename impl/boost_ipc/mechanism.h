#pragma once

#include <string_view>

#include "api/capabilities.h"
#include "boost_ipc/connection.h"
#include "boost_ipc/shared_queue.h"
#include "boost_ipc/store_manager.h"
#include "core/door.h"

namespace crucible {

struct BoostIpc : HasDoor<BoostIpc> {
  static constexpr std::string_view kName = "boost_ipc";
  static constexpr std::string_view kLimit = "boost_raw";
  static constexpr Capabilities kPipe = {.local_names = true,
                                         .hands_over = true,
                                         .max_message_bytes = BoostIpcConnection::kMaxMessage,
                                         .storage_bytes = BoostIpcShape::kDefaultDepth * 64};
  using Connection = BoostIpcConnection;
  static constexpr Capabilities kQueue = {.local_names = true,
                                          .total_order = true,
                                          .max_message_bytes = BoostIpcSharedQueue::kMaxMessage,
                                          .storage_bytes = 512 * 64};
  using Queue = BoostIpcSharedQueue;
  using Store = BoostIpcStoreManager;

  static constexpr std::string_view kScheme = "boost";
  static constexpr DoorKind kDoor = {
      .mechanism = kName, .scheme = kScheme, .admit = &Connection::admit, .enter = &Connection::enter};
};

}  // namespace crucible
