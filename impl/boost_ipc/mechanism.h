#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/capabilities.h"
#include "boost_ipc/connection.h"
#include "core/door.h"

namespace crucible {

struct BoostIpc {
  static constexpr std::string_view kName = "boost_ipc";
  static constexpr std::string_view kLimit = "boost_raw";
  static constexpr Capabilities kPipe = {.hands_over = true,
                                         .max_message_bytes = BoostIpcConnection::kMaxMessage,
                                         .storage_bytes = BoostIpcShape::kDefaultDepth * 64};
  using Connection = BoostIpcConnection;

  static constexpr std::string_view kScheme = "boost";
  static constexpr DoorKind kDoor = {
      .mechanism = kName, .scheme = kScheme, .admit = &Connection::admit, .enter = &Connection::enter};
  static std::unique_ptr<Listener> listen(const std::string& address, const DoorOptions& options) {
    return open_door(kDoor, address, options);
  }
  static std::unique_ptr<crucible::Connection> connect(const std::string& address, const DoorOptions& options,
                                                       Deadline deadline) {
    return enter_door(kDoor, address, options, deadline);
  }
};

}  // namespace crucible
