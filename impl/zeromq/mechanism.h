#pragma once

#include <string_view>

#include "api/capabilities.h"
#include "zeromq/connection.h"

namespace crucible {

template <ZeromqTransport kTransport>
struct ZeromqOver {
  static constexpr std::string_view kLimit = "zmq_raw";
  static constexpr Capabilities kPipe = {.survives_kill = true,
                                         .max_message_bytes = ZeromqConnection::kMaxMessage,
                                         .storage_bytes = ZeromqConnection::kStorage};
  using Connection = ZeromqEnd<kTransport>;
};

struct ZeromqIpc : ZeromqOver<ZeromqTransport::kIpc> {
  static constexpr std::string_view kName = "zeromq_ipc";
};
struct ZeromqTcp : ZeromqOver<ZeromqTransport::kTcp> {
  static constexpr std::string_view kName = "zeromq_tcp";
};

}  // namespace crucible
