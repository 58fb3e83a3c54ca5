// The speed of light of a queue in the kernel or in Boost: the same kernel object, shared by all, and what it takes
// that each message comes whole to one consumer. No capacity in messages, no deadlines, no notice of a death beyond
// what the robust mutexes give.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "api/bytes.h"
#include "api/status.h"
#include "core/fd.h"
#include "limits/bare_mutex.h"
#include "limits/boost_raw.h"
#include "limits/raw_setting.h"
#include "support/inherited.h"

namespace crucible::bench {

/// A mutex per end, for messages of several parts.
struct QueueLocks {
  alignas(128) BareRobustMutex puts;
  alignas(128) BareRobustMutex gets;
};
inline std::shared_ptr<QueueLocks[]> make_queue_locks() {
  return make_inherited<QueueLocks>(1, [](QueueLocks* at) { new (at) QueueLocks; });
}

/// One socket pair of packets that everybody has: a packet is a message, longer ones are parts under a lock.
struct UnixQueueRaw {
  static constexpr bool kBatches = false;
  static constexpr const char* kName = "unix_queue_raw";
  static std::vector<RawSetting> settings(std::size_t message_bytes);
  static UnixQueueRaw make(std::size_t message_bytes, const RawSetting& setting);

  void put(ByteView message) {
    if (message.size() <= chunk) return send(message);
    const std::lock_guard lock(locks[0].puts);
    for (; !message.empty(); message = message.subspan(std::min(chunk, message.size()))) {
      send(message.first(std::min(chunk, message.size())));
    }
  }
  std::size_t get(ByteSpan buffer) {
    if (buffer.size() <= chunk) return receive(buffer);
    const std::lock_guard lock(locks[0].gets);
    std::size_t filled = 0;
    while (filled < buffer.size()) filled += receive(buffer.subspan(filled));
    return filled;
  }

  std::shared_ptr<Fd> in, out;
  std::shared_ptr<QueueLocks[]> locks;
  std::size_t chunk;
  nlohmann::json fairness;

 private:
  void send(ByteView part) const {
    if (::send(out->get(), part.data(), part.size(), MSG_NOSIGNAL) < 0) throw_errno("send");
  }
  std::size_t receive(ByteSpan part) const {
    const ssize_t got = ::recv(in->get(), part.data(), part.size(), 0);
    if (got <= 0) throw_errno("recv");
    return static_cast<std::size_t>(got);
  }
};

/// One pipe that everybody has. Up to PIPE_BUF a message is written in one piece without a lock; readers lock, since
/// they must know its length before they can take it.
struct PipeQueueRaw {
  static constexpr bool kBatches = false;
  static constexpr const char* kName = "pipe_queue_raw";
  static std::vector<RawSetting> settings(std::size_t message_bytes);
  static PipeQueueRaw make(std::size_t message_bytes, const RawSetting& setting);

  void put(ByteView message) {
    if (message.size() + sizeof(std::uint32_t) <= kAtomic) return write_all(message);
    const std::lock_guard lock(locks[0].puts);
    write_all(message);
  }
  std::size_t get(ByteSpan buffer) {
    const std::lock_guard lock(locks[0].gets);
    std::uint32_t length = 0;
    read_all({reinterpret_cast<std::byte*>(&length), sizeof length});
    read_all(buffer.first(std::min<std::size_t>(length, buffer.size())));
    return length;
  }

  std::shared_ptr<Fd> in, out;
  std::shared_ptr<QueueLocks[]> locks;
  nlohmann::json fairness;

 private:
  static constexpr std::size_t kAtomic = 4096;  // PIPE_BUF

  void write_all(ByteView message) const;
  void read_all(ByteSpan buffer) const;
};

/// Boost's message_queue by its own calls, made for this message size.
struct BoostQueueRaw {
  static constexpr bool kBatches = false;
  static constexpr const char* kName = "boost_message_queue";
  static std::vector<RawSetting> settings(std::size_t message_bytes);
  static BoostQueueRaw make(std::size_t message_bytes, const RawSetting& setting);

  void put(ByteView message) { queue->send(message.data(), message.size(), 0); }
  std::size_t get(ByteSpan buffer) {
    std::size_t received = 0;
    unsigned priority = 0;
    queue->receive(buffer.data(), buffer.size(), received, priority);
    return received;
  }

  std::shared_ptr<BoostRaw::Queue> queue;
  nlohmann::json fairness;
};

}  // namespace crucible::bench
