// Zygote: a process of one thread that forks children on request, so that a process with threads need not.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "api/deadline.h"
#include "api/waitable.h"
#include "core/fd.h"
#include "core/process.h"

namespace crucible {

/// Its children are forks of this process as it was when the Zygote was made: same code, memory, descriptors and
/// working directory, but no other thread. They are daemons (Process), ignore SIGINT, have the default handlers of all
/// other signals, and end by SIGKILL when the zygote or this process ends, however that ends. The zygote reaps them.
/// One user at a time in the process that made it; a forked copy is of no use. Ready in wait() when next() has news.
class Zygote final : public Waitable {
 public:
  /// Runs in a child; returns its exit code.
  using Body = std::function<int(std::uint64_t id)>;

  struct News {
    enum Kind : std::uint8_t {
      kStarted,     ///< number: its pid
      kNotStarted,  ///< number: the errno of fork(2)
      kEnded,       ///< number: its exit code as Process::exit_code() has it
    };
    Kind kind;
    std::uint64_t id;
    std::int32_t number;
  };

  /// Forks the zygote, called `name` (15 characters), whose child `id` is `<child>-<id>`. Flushes the standard streams.
  /// Throws StateError in a daemon, std::system_error.
  /// `let_go` runs in the zygote first, for what it has no use for.
  Zygote(const char* name, std::string child, const std::function<void()>& let_go, Body body);
  /// One that is this program, run anew: `start` makes and starts a daemon that serve()s at the socket it is given.
  using Start = std::function<std::unique_ptr<Process>(Fd socket)>;
  explicit Zygote(const Start& start);
  /// In that daemon: forks its children, until nobody wants more.
  [[noreturn]] static void serve(Fd socket, const char* name, std::string child, const Body& body);
  ~Zygote() override { end(); }

  /// Asks for a child. `id` is the caller's, and not used before. Does not wait; the answer is news. A zygote that is
  /// gone is asked in vain.
  void start(std::uint64_t id) { ask({.kind = kStart, .signal = 0, .id = id}); }
  /// Asks it to send a signal to a child, if that has not ended.
  void kill(std::uint64_t id, int signal) { ask({.kind = kKill, .signal = signal, .id = id}); }
  /// What happened, in order. Does not wait. Nothing: no news now, or is_gone().
  std::optional<News> next();
  /// Whether the zygote, and with it all its children, has been told to end, was killed or died. As of the last next().
  bool is_gone() const noexcept { return gone_; }
  /// Kills its children, waits until they and the zygote have ended and are reaped, and frees what this holds. Takes
  /// two seconds where the zygote was stopped; then it is killed as well. Idempotent.
  void end() noexcept;
  /// In a forked child: the zygote is the parent's.
  void become_copy() noexcept;
  pid_t pid() const noexcept { return pid_; }

  bool begin_wait(pollfd& slot) override;
  bool end_wait(short revents) override { return revents != 0; }

 private:
  enum OrderKind : std::int32_t { kStart, kKill };
  struct Order {
    OrderKind kind;
    std::int32_t signal;
    std::uint64_t id;
  };
  class Duty;

  void ask(const Order& order);
  void flush_orders();

  Fd socket_;
  Fd process_;                        // a pidfd
  std::unique_ptr<Process> spawned_;  // the same, where it is no fork
  pid_t pid_ = 0;
  bool gone_ = false;
  std::deque<Order> unsent_;  // while the zygote is stopped and the socket full
};

}  // namespace crucible
