#pragma once

#include <string_view>

#include "api/capabilities.h"
#include "boost_ipc/connection.h"

namespace crucible {

struct BoostIpc {
  static constexpr std::string_view kName = "boost_ipc";
  static constexpr std::string_view kLimit = "boost_raw";
  static constexpr Capabilities kPipe = {.hands_over = true,
                                         .max_message_bytes = BoostIpcConnection::kMaxMessage,
                                         .storage_bytes = BoostIpcShape::kDefaultDepth * 64};
  using Connection = BoostIpcConnection;
};

}  // namespace crucible
