#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/capabilities.h"
#include "core/door.h"
#include "posix_pipe/connection.h"

namespace crucible {

struct PosixPipe {
  static constexpr std::string_view kName = "posix_pipe";
  static constexpr std::string_view kLimit = "pipe_raw";
  static constexpr Capabilities kPipe = {.pollable = true,
                                         .hands_over = true,
                                         .transferable = true,
                                         .outlives_sender = true,
                                         .survives_kill = true,
                                         .max_message_bytes = PosixPipeConnection::kMaxMessage,
                                         .storage_bytes = 32 * 1024};
  using Connection = PosixPipeConnection;

  static constexpr std::string_view kScheme = "pipe";
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
