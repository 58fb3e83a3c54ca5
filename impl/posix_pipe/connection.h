// Connection over a pair of pipe(2). README.md in this folder explains how.
#pragma once

#include <memory>
#include <utility>

#include "core/stream_connection.h"

namespace crucible {

class PosixPipeConnection final : public StreamConnection {
 public:
  static constexpr std::size_t kDefaultCapacity = std::size_t{1024} * 1024;

  static std::pair<std::unique_ptr<PosixPipeConnection>, std::unique_ptr<PosixPipeConnection>> pair(
      const PipeOptions& options);
  /// Two descriptors, to read from and to write to, of new pipes; or what handle() gave.
  static std::unique_ptr<PosixPipeConnection> adopt(const Handle& handle);
  std::string_view mechanism() const noexcept override { return "posix_pipe"; }

 private:
  using StreamConnection::StreamConnection;
};

}  // namespace crucible
