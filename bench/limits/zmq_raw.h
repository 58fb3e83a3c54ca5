// libzmq by itself: one PAIR socket per end, blocking zmq_send and zmq_recv, its default settings (1,000 messages of
// high water). No deadline, no end of file, no notice of a peer's death.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "api/bytes.h"
#include "core/fd.h"
#include "limits/raw_setting.h"
#include "support/transfer.h"

namespace crucible::bench {

/// One end. Its context and socket are made at its first use, in the process that uses it, since neither survives fork.
struct ZmqRaw {
  static constexpr bool kBatches = false;

  static std::vector<RawSetting> settings(std::size_t message_bytes, std::size_t subject_buffer);

  void send(ByteView message);
  std::size_t receive(ByteSpan buffer);

  std::string endpoint;
  Fd listener;  // of the end that binds

 private:
  struct Open;
  void* socket();

  std::shared_ptr<Open> open_;
};

struct ZmqRawIpc : ZmqRaw {
  static Link<ZmqRawIpc> make(const RawSetting& setting);
};
struct ZmqRawTcp : ZmqRaw {
  static Link<ZmqRawTcp> make(const RawSetting& setting);
};

}  // namespace crucible::bench
