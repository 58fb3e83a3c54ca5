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
  /// One descriptor, of a connected TCP socket; or what handle() gave.
  static std::unique_ptr<TcpSocketConnection> adopt(const Handle& handle);
  std::string_view mechanism() const noexcept override { return "tcp_socket"; }

 private:
  using StreamConnection::StreamConnection;
};

}  // namespace crucible
