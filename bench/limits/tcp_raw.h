// The speed of light of TCP over loopback: bare send and recv loops. No framing, no checks beyond errors.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <vector>

#include "api/bytes.h"
#include "api/status.h"
#include "core/fd.h"
#include "limits/raw_setting.h"
#include "support/transfer.h"

namespace crucible::bench {

struct TcpRaw {
  static constexpr bool kBatches = false;

  static Link<TcpRaw> make(const RawSetting& setting);
  static std::vector<RawSetting> settings(std::size_t message_bytes, std::size_t subject_buffer);

  void send(ByteView message) {
    while (!message.empty()) {
      const ssize_t sent = ::send(socket.get(), message.data(), std::min(message.size(), chunk), MSG_NOSIGNAL);
      if (sent < 0) throw_errno("send");
      message = message.subspan(static_cast<std::size_t>(sent));
    }
  }
  std::size_t receive(ByteSpan buffer) {
    for (std::size_t filled = 0; filled < buffer.size();) {
      const ssize_t got = ::recv(socket.get(), buffer.data() + filled, buffer.size() - filled, 0);
      if (got < 0) throw_errno("recv");
      if (got == 0) return filled;
      filled += static_cast<std::size_t>(got);
    }
    return buffer.size();
  }

  Fd socket;
  std::size_t chunk;
};

}  // namespace crucible::bench
