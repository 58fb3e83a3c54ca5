#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/capabilities.h"
#include "core/door.h"
#include "unix_socket/connection.h"

namespace crucible {

struct UnixSocket {
  static constexpr std::string_view kName = "unix_socket";
  static constexpr std::string_view kLimit = "unix_raw";
  static constexpr Capabilities kPipe = {.pollable = true,
                                         .hands_over = true,
                                         .outlives_sender = true,
                                         .survives_kill = true,
                                         .max_message_bytes = UnixSocketConnection::kMaxMessage,
                                         .storage_bytes = 16 * 1024};
  using Connection = UnixSocketConnection;

  static constexpr std::string_view kScheme = "unix";
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
