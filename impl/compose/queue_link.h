// QueueLink: one client's connection to the broker of a composed queue.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "api/bytes.h"
#include "api/connection.h"
#include "api/deadline.h"
#include "api/status.h"
#include "compose/wire.h"
#include "core/destination.h"

namespace crucible {

/// One request at a time, by one thread; outcomes as those of Queue. After kBroken or kClosed it is of no further use.
/// A deadline, or `closing`, withdraws the request, and the broker's answer to that is waited for, so that what came of
/// the request is known exactly.
class QueueLink {
 public:
  /// `confirms`: what a sender that is killed has sent may be lost, so that what matters is confirmed. `longest`: no
  /// message is longer.
  QueueLink(std::unique_ptr<Connection> connection, bool confirms, std::uint64_t longest,
            const std::atomic<bool>& closing) noexcept
      : connection_(std::move(connection)), confirms_(confirms), longest_(longest), closing_(closing) {}

  /// First of all. kAuth: the peer is no broker, or another queue's.
  Status greet(const wire::QueueId& id, bool of_the_family, wire::Welcome& welcome, Deadline deadline);

  Status put(ByteView message, Deadline deadline);
  /// As many of the first messages as one request carries, at least one. `put`: those handed over.
  Status put_some(std::span<const ByteView> messages, std::size_t& put, Deadline deadline);
  Status get(Destination& to, Deadline deadline);
  Status get_many(std::vector<Bytes>& messages, std::size_t most, Deadline deadline);
  /// kCount, kFull, kTaskDone (kBadArgument: too many).
  Status ask(wire::Request request, std::uint64_t& number);
  Status join(Deadline deadline);

  /// From another thread: withdraws what is waited for. False: the link is in the middle of sending.
  bool interrupt() noexcept;
  /// From another thread: whoever is in a call returns kClosed, and the broker takes its request back.
  void sever() noexcept { connection_->close(); }

 private:
  Status request(wire::Request kind, std::uint64_t number, std::uint8_t flags, ByteView body = {});
  Status send_request(ByteView message);
  Status await(wire::Header& answer, Deadline deadline);
  Status await_done(std::uint64_t& number, Deadline deadline);
  template <class Receive>
  Status receive(const Receive& receive_once, Deadline deadline);
  Status put_long(ByteView message, Deadline deadline);
  Status send_pieces(ByteView message, Deadline deadline);
  Status take_long(std::uint64_t length, Destination& to, Deadline deadline);
  Status take_many(std::uint64_t count, std::vector<Bytes>& messages);
  Status withdraw();
  void prepare(wire::Request kind, std::uint64_t number, std::uint8_t flags);
  static Status lost(Status status) noexcept;

  const std::unique_ptr<Connection> connection_;
  const bool confirms_;
  const std::uint64_t longest_;
  const std::atomic<bool>& closing_;
  std::mutex sending_;       // two threads may send: the one that asks, and one that interrupts it
  bool is_waiting_ = false;  // for an answer that can be withdrawn; guarded by sending_
  std::uint32_t id_ = 0;
  std::atomic<bool> is_withdrawn_ = false;
  Bytes out_;
  Bytes in_;
};

}  // namespace crucible
