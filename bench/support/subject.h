// A mechanism as the workloads see it.
#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "api/connection.h"
#include "api/mechanism.h"
#include "api/status.h"
#include "support/transfer.h"

namespace crucible::bench {

/// The choice of the wait strategy that a cell is about; nothing where the mechanism has none.
using Wait = std::optional<WaitStrategy>;
inline std::string_view to_string(Wait wait) noexcept { return wait ? crucible::to_string(*wait) : "kernel"; }

/// An end as the workloads see it. C is a mechanism's final class, whose calls are direct, or Connection.
template <class C>
class ConnectionEnd {
 public:
  static constexpr bool kBatches = true;

  explicit ConnectionEnd(std::unique_ptr<C> connection) : connection_(std::move(connection)) {}

  void send(ByteView message) { check(connection_->send_bytes(message), "send_bytes"); }
  void send_many(std::span<const ByteView> messages) {
    std::size_t sent = 0;
    check(connection_->send_many(messages, sent), "send_many");
  }
  std::size_t receive(ByteSpan buffer) {
    std::size_t received = 0;
    const Status status = connection_->recv_bytes_into(buffer, received);
    // Too long a message is wrong bytes: the length tells.
    if (status != Status::kTooShort) check(status, "recv_bytes_into");
    return received;
  }

  ByteSpan reserve(std::size_t bytes) {
    ByteSpan room;
    check(connection_->reserve(bytes, room), "reserve");
    return room;
  }
  void commit(std::size_t bytes) { check(connection_->commit(bytes), "commit"); }
  ByteView peek() {
    ByteView message;
    check(connection_->peek(message), "peek");
    return message;
  }
  void release() { check(connection_->release(), "release"); }

 private:
  static void check(Status status, const char* operation) {
    if (status != Status::kOk) [[unlikely]]
      throw_status(status, operation);
  }

  std::unique_ptr<C> connection_;
};

/// The strategies that cells are measured with, the default first, of what offers these.
inline std::vector<Wait> waits_of(std::span<const WaitStrategy> offered) {
  if (offered.empty()) return {std::nullopt};
  return {offered.begin(), offered.end()};
}

/// Those of a mechanism's pipes.
template <class M>
std::vector<Wait> waits_of() {
  if constexpr (requires { M::kWaits; }) {
    return waits_of(M::kWaits);
  } else {
    return waits_of(std::span<const WaitStrategy>());
  }
}

template <class M>
constexpr bool reads_ahead() {
  return requires { M::kReadsAhead; };
}

/// The name of its limit, or of the family of limits from which strategy and placement choose (limits/pairing.h).
template <class M>
constexpr std::string_view limit_of() {
  if constexpr (requires {
                  { M::kLimit } -> std::convertible_to<std::string_view>;
                }) {
    return M::kLimit;
  } else {
    return "unix_raw";
  }
}

template <class M>
constexpr int copies_per_message() {
  if constexpr (requires {
                  { M::kCopiesPerMessage } -> std::convertible_to<int>;
                }) {
    return M::kCopiesPerMessage;
  } else {
    return 2;  // into the transport and out of it, which byte calls cannot do without
  }
}

/// What the kernel holds per direction, read back; 0 where no descriptor tells.
std::size_t kernel_buffer(const Connection& connection, const Capabilities& capabilities, const PipeOptions& options);

/// A pipe of mechanism M. C is M::Connection, or Connection to make every call virtual.
template <class M, class C>
Link<ConnectionEnd<C>> subject_link(const PipeOptions& options) {
  // By name, as a program that chooses at run time has it: no compiler sees through that.
  auto [here, there] = [&options] {
    if constexpr (std::same_as<C, Connection>) {
      return context(M::kName).pipe(options);
    } else {
      return M::Connection::pair(options);
    }
  }();
  nlohmann::json fairness = {{"kernel_buffer_bytes", kernel_buffer(*here, M::kPipe, options)},
                             {"storage_bytes", M::kPipe.storage_bytes},
                             {"copies_per_message", copies_per_message<M>()},
                             {"sender_may_reuse_buffer", true},
                             {"read_ahead", options.read_ahead},
                             {"outlives_sender", M::kPipe.outlives_sender}};
  return {ConnectionEnd<C>(std::move(here)), ConnectionEnd<C>(std::move(there)), std::move(fairness)};
}

}  // namespace crucible::bench
