#pragma once

#include <string_view>

#include "api/capabilities.h"
#include "core/door.h"
#include "zeromq/connection.h"

namespace crucible {

struct ZeromqIpc : HasDoor<ZeromqIpc> {
  static constexpr std::string_view kName = "zeromq_ipc";
  static constexpr std::string_view kLimit = "zmq_raw";
  static constexpr Capabilities kPipe = {.local_names = true,
                                         .survives_kill = true,
                                         .max_message_bytes = ZeromqConnection::kMaxMessage,
                                         .storage_bytes = ZeromqConnection::kStorage};
  using Connection = ZeromqEnd<ZeromqTransport::kIpc>;

  static constexpr std::string_view kScheme = "zmq+ipc";
  static constexpr DoorKind kDoor = {.mechanism = kName,
                                     .scheme = kScheme,
                                     .check = &Connection::check,
                                     .admit = &Connection::admit,
                                     .enter = &Connection::enter};
};

struct ZeromqTcp : HasDoor<ZeromqTcp> {
  static constexpr std::string_view kName = "zeromq_tcp";
  static constexpr std::string_view kLimit = "zmq_raw_tcp";
  static constexpr Capabilities kPipe = {.cross_host = true,
                                         .survives_kill = true,
                                         .max_message_bytes = ZeromqConnection::kMaxMessage,
                                         .storage_bytes = ZeromqConnection::kStorage};
  using Connection = ZeromqEnd<ZeromqTransport::kTcp>;

  static constexpr std::string_view kScheme = "zmq+tcp";
  static constexpr DoorKind kDoor = {.mechanism = kName,
                                     .scheme = kScheme,
                                     .tcp = true,
                                     .check = &Connection::check,
                                     .admit = &Connection::admit,
                                     .enter = &Connection::enter};
};

}  // namespace crucible
