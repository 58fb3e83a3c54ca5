// Worker: the second process of a side, parked on a pipe between blocks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>

#include "core/fd.h"
#include "support/usage.h"

namespace crucible::bench {

/// What the worker says about a block.
struct Answer {
  Usage usage;
  std::int64_t cpu_ns = 0;  ///< the same exactly, where CPU time is what is compared
  std::int64_t end_ns = 0;  ///< CLOCK_MONOTONIC when the last message had been verified
};

/// The worker's end of the control pipes.
class Post {
 public:
  Post(int orders, int answers) noexcept : orders_(orders), answers_(answers) {}
  /// Sleeps until the parent wants a block; its operations, or 0 at the end.
  std::uint64_t next_block();
  void answer(const Answer& answer = {});

 private:
  int orders_;
  int answers_;
};

/// Forks in its constructor; the child runs `serve`, then ends. It dies with its parent, and ends with
/// kVerificationStatus, having said why on stderr, when serve throws VerificationError.
class Worker {
 public:
  Worker(std::optional<int> cpu, const std::function<void(Post&)>& serve);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  /// Ends it; kills it if it is busy.
  ~Worker();

  void order(std::uint64_t operations);
  Answer await();
  /// Readable when await() would not wait, and when the worker has ended.
  int descriptor() const noexcept { return answers_.get(); }
  /// Kills it: nobody wants to know any more.
  void abandon() noexcept;
  /// CPU time that it has used until now.
  std::int64_t cpu_ns() const;
  /// Of an exception that came while the worker had something to do: if the worker died of wrong bytes, that is the
  /// true cause, and VerificationError is thrown. Call in a catch block and rethrow.
  void blame();

 private:
  /// Whether the worker has ended, which may take a moment after a descriptor of it was seen closed.
  bool hangs_up() const;
  [[noreturn]] void report_death();

  pid_t pid_ = -1;
  Fd orders_;
  Fd answers_;
};

}  // namespace crucible::bench
