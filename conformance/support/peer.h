// Peer: another process of a test, made by plain fork, so that what is under test is not also what runs the test.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace crucible::testing {

/// Runs `body` in a child forked by the constructor. Failed assertions and uncaught exceptions in the child become
/// failures of the test in this process, with their own file and line. The child ends by _exit, and by SIGKILL when
/// the thread that made it ends.
class Peer {
 public:
  /// `body` is destroyed in this process once the child has it: what it captured by move is given away. The child
  /// destroys it when it has run, so that what it was given is closed before it ends.
  template <class F>
  explicit Peer(F body) : Peer() {
    if (fork_child()) run_child([&body] { F(std::move(body))(); });
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  /// Joins; kills first when the test has already failed, since the child may wait for what will not come.
  ~Peer();

  pid_t pid() const noexcept { return pid_; }
  /// Waits for the end and reports what failed in the child; a failure unless it ended with 0. Idempotent.
  void join();
  /// An end by signal is then no failure; what failed in the child still is one.
  void kill(int signal = SIGKILL);
  /// Waits for the end; the status as waitpid(2) gives it. Reports only what failed in the child.
  int wait_status();
  /// The child's last note.
  std::string phase() const;
  /// In any process of the test: where it stands, for phase() and for the watchdog's report.
  static void set_phase(const char* phase);

 private:
  struct Journal;

  Peer();
  bool fork_child();
  [[noreturn]] void run_child(const std::function<void()>& body);
  void collect();

  Journal* journal_;  // shared with the child
  pid_t pid_ = -1;
  int status_ = 0;
  bool collected_ = false;
  bool killed_ = false;
  bool reported_failures_ = false;
  bool joined_ = false;
};

}  // namespace crucible::testing
