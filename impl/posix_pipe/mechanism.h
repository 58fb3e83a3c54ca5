#pragma once

#include <string_view>

#include "api/capabilities.h"
#include "core/door.h"
#include "posix_pipe/connection.h"
#include "posix_pipe/queue.h"

namespace crucible {

struct PosixPipe : HasDoor<PosixPipe> {
  static constexpr std::string_view kName = "posix_pipe";
  static constexpr std::string_view kLimit = "pipe_raw";
  static constexpr bool kReadsAhead = true;
  static constexpr Capabilities kPipe = {.local_names = true,
                                         .pollable = true,
                                         .hands_over = true,
                                         .transferable = true,
                                         .outlives_sender = true,
                                         .survives_kill = true,
                                         .max_message_bytes = PosixPipeConnection::kMaxMessage,
                                         .storage_bytes = 32 * 1024};
  using Connection = PosixPipeConnection;
  static constexpr Capabilities kQueue = {.local_names = true,
                                          .outlives_sender = true,
                                          .total_order = true,
                                          .max_message_bytes = PosixPipeQueue::kMaxMessage,
                                          .storage_bytes = 16 * 1024};
  using Queue = PosixPipeQueue;

  static constexpr std::string_view kScheme = "pipe";
  static constexpr DoorKind kDoor = {.mechanism = kName,
                                     .scheme = kScheme,
                                     .check = &Connection::check,
                                     .admit = &Connection::admit,
                                     .enter = &Connection::enter};
};

}  // namespace crucible
