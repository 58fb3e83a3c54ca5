#pragma once

#include <string_view>

#include "api/capabilities.h"
#include "core/door.h"
#include "unix_socket/connection.h"
#include "unix_socket/queue.h"

namespace crucible {

struct UnixSocket : HasDoor<UnixSocket> {
  static constexpr std::string_view kName = "unix_socket";
  static constexpr std::string_view kLimit = "unix_raw";
  static constexpr bool kReadsAhead = true;
  static constexpr Capabilities kPipe = {.local_names = true,
                                         .pollable = true,
                                         .hands_over = true,
                                         .transferable = true,
                                         .passes_descriptors = true,
                                         .outlives_sender = true,
                                         .survives_kill = true,
                                         .max_message_bytes = UnixSocketConnection::kMaxMessage,
                                         .storage_bytes = 16 * 1024};
  using Connection = UnixSocketConnection;
  static constexpr Capabilities kQueue = {.local_names = true,
                                          .outlives_sender = true,
                                          .total_order = true,
                                          .survives_kill = true,
                                          .max_message_bytes = UnixSocketQueue::kMaxMessage,
                                          .storage_bytes = 16 * 1024};
  using Queue = UnixSocketQueue;

  static constexpr std::string_view kScheme = "unix";
  static constexpr DoorKind kDoor = {.mechanism = kName,
                                     .scheme = kScheme,
                                     .check = &Connection::check,
                                     .admit = &Connection::admit,
                                     .enter = &Connection::enter};
};

}  // namespace crucible
