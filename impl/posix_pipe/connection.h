// Connection over a pair of pipe(2). README.md in this folder explains how.
#pragma once

#include <memory>
#include <utility>

#include "core/stream_connection.h"

namespace crucible {

class PosixPipeConnection final : public StreamConnection {
 public:
  static constexpr std::size_t kDefaultCapacity = std::size_t{1024} * 1024;

  using Pair = std::pair<std::unique_ptr<PosixPipeConnection>, std::unique_ptr<PosixPipeConnection>>;

  static Pair pair(const PipeOptions& options);
  /// Two descriptors, to read from and to write to, of pipes that no end of a pair() uses; or a handle().
  static std::unique_ptr<PosixPipeConnection> adopt(const Handle& handle);
  static void check(const PipeOptions& options);
  /// The listener makes a pair and passes the other end through the door.
  static std::unique_ptr<Connection> admit(Fd socket, const PipeOptions& options);
  static std::unique_ptr<Connection> enter(Fd socket, const PipeOptions& options, Deadline deadline);
  std::string_view mechanism() const noexcept override { return "posix_pipe"; }

 private:
  using StreamConnection::StreamConnection;
  /// Each end decides for itself whether it reads ahead; the first one as the options say.
  static Pair make(const PipeOptions& options, bool second_reads_ahead);
};

}  // namespace crucible
