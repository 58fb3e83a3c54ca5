// ExecPeer: a peer that is no fork of the test but a program of its own, which knows an address and nothing else.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/fd.h"

namespace crucible::testing {

/// What the program (exec_peer.cc) is told, one text per order, and what it answers when it has obeyed: the status of
/// the call, or what went wrong.
///   connect <capacity> <us>               by the mechanism and address that it was started with; with a time it
///                                         SIGKILLs itself after that, wherever it is then
///   send <size> <seed> <count>            pattern(size, seed), pattern(size, seed + 1), ...
///   many <size> <count>                   the same from seed 0 by send_many
///   receive <size> <seed> <count>         and compares
///   look                                  receives one message: its status and length
///   echo                                  until the end of file, its last status
///   storm                                 a thousand handled signals a second from now on
///   flood <us>, drain <us>                sends and receives a Flood, noting progress, until it SIGKILLs itself
///   run                                   runs a program, which lives as long as this object: its pid
///   close, exit
class ExecPeer {
 public:
  /// Shared with the program: calls begun and returned by `flood` and `drain`.
  struct Progress {
    std::atomic<std::uint64_t> begun;
    std::atomic<std::uint64_t> returned;
    bool inside() const noexcept { return begun != returned; }
  };

  /// Throws std::system_error. The program ends with this thread.
  ExecPeer(std::string_view mechanism, const std::string& address);
  ExecPeer(const ExecPeer&) = delete;
  ExecPeer& operator=(const ExecPeer&) = delete;
  /// Kills it.
  ~ExecPeer();

  pid_t pid() const noexcept { return pid_; }
  void tell(const std::string& order);
  /// The next answer; empty once the program has ended.
  std::string hear();
  std::string ask(const std::string& order) {
    tell(order);
    return hear();
  }
  const Progress& progress() const noexcept { return *progress_; }
  /// Waits for the end; the status as waitpid(2) gives it.
  int wait_status();
  void kill(int signal);

 private:
  Fd wire_;
  Progress* progress_ = nullptr;
  pid_t pid_ = -1;
  int status_ = 0;
  bool collected_ = false;
};

}  // namespace crucible::testing
