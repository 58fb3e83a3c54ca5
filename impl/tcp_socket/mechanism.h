#pragma once

#include <string_view>

#include "api/capabilities.h"
#include "core/door.h"
#include "tcp_socket/connection.h"

namespace crucible {

struct TcpSocket : HasDoor<TcpSocket> {
  static constexpr std::string_view kName = "tcp_socket";
  static constexpr std::string_view kLimit = "tcp_raw";
  static constexpr bool kReadsAhead = true;
  static constexpr Capabilities kPipe = {.cross_host = true,
                                         .pollable = true,
                                         .hands_over = true,
                                         .transferable = true,
                                         .survives_kill = true,
                                         .max_message_bytes = TcpSocketConnection::kMaxMessage,
                                         .storage_bytes = 64 * 1024};
  using Connection = TcpSocketConnection;

  static constexpr std::string_view kScheme = "tcp";
  static constexpr DoorKind kDoor = {.mechanism = kName,
                                     .scheme = kScheme,
                                     .tcp = true,
                                     .check = &Connection::check,
                                     .admit = &Connection::admit,
                                     .enter = &Connection::enter};
};

}  // namespace crucible
