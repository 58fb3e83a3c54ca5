// Connection over a TCP socket. README.md in this folder explains how, and the bytes.
#pragma once

#include <memory>
#include <utility>

#include "core/stream_connection.h"

namespace crucible {

class TcpSocketConnection final : public StreamConnection {
 public:
  static std::pair<std::unique_ptr<TcpSocketConnection>, std::unique_ptr<TcpSocketConnection>> pair(
      const PipeOptions& options);
  /// One descriptor, of a connected TCP socket; or a handle().
  static std::unique_ptr<TcpSocketConnection> adopt(const Handle& handle);
  static void check(const PipeOptions& options);
  /// The door's socket is the connection.
  static std::unique_ptr<Connection> admit(Fd socket, const PipeOptions& options);
  static std::unique_ptr<Connection> enter(Fd socket, const PipeOptions& options, Deadline deadline);
  std::string_view mechanism() const noexcept override { return "tcp_socket"; }

 private:
  using StreamConnection::StreamConnection;
};

}  // namespace crucible
