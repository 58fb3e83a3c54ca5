// The speed of light of pipe(2): bare write and read loops over two pipes. No framing, no checks beyond errors.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "api/bytes.h"
#include "api/status.h"
#include "core/fd.h"
#include "limits/raw_setting.h"
#include "support/transfer.h"

namespace crucible::bench {

struct PipeRaw {
  static constexpr bool kBatches = false;

  static Link<PipeRaw> make(const RawSetting& setting);
  static std::vector<RawSetting> settings(std::size_t message_bytes, std::size_t subject_buffer);

  void send(ByteView message) {
    while (!message.empty()) {
      const ssize_t sent = ::write(out.get(), message.data(), std::min(message.size(), chunk));
      if (sent < 0) throw_errno("write");
      message = message.subspan(static_cast<std::size_t>(sent));
    }
  }
  std::size_t receive(ByteSpan buffer) {
    for (std::size_t filled = 0; filled < buffer.size();) {
      const ssize_t got = ::read(in.get(), buffer.data() + filled, buffer.size() - filled);
      if (got < 0) throw_errno("read");
      if (got == 0) return filled;
      filled += static_cast<std::size_t>(got);
    }
    return buffer.size();
  }

  Fd in, out;
  std::size_t chunk;
};

}  // namespace crucible::bench
