// What /proc says about processes and their threads.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace crucible::testing::proc {

/// One thread, as /proc/<pid>/task/<tid> shows it.
struct Thread {
  pid_t pid = 0;
  pid_t tid = 0;
  std::string name;
  char state = '?';            ///< R, S, D, T, Z ...; '?' if it is gone
  pid_t parent = 0;            ///< of its process
  unsigned long flags = 0;     ///< the kernel's PF_ bits
  std::string system_call;     ///< number and arguments, or "running"
  std::string wait_channel;    ///< the kernel function it sleeps in
  unsigned long switches = 0;  ///< voluntary context switches
  unsigned long faults = 0;    ///< pages that came into its process's memory by it
  std::uint64_t cpu_ns = 0;    ///< time on a CPU

  bool gone() const noexcept { return state == '?' || state == 'Z' || state == 'X'; }
  bool exiting() const noexcept;
  bool sleeps_in_call() const;
};

/// Empty if there is no such file or it may not be read.
std::string read_file(const std::string& path);
std::vector<std::string> list_directory(const std::string& path);

Thread thread(pid_t pid, pid_t tid);
std::vector<pid_t> threads_of(pid_t pid);
/// Direct children, zombies included, ascending.
std::vector<pid_t> children_of(pid_t pid);
/// Children, their children and so on, in pre-order.
std::vector<pid_t> descendants_of(pid_t pid);

/// Returns when each is dead, though perhaps not reaped.
void await_gone(const std::vector<pid_t>& pids);

/// `1234 process_test: 1235 S poll_schedule_timeout, system call 7 ...`, a kernel stack where it can be read.
std::string describe(pid_t pid);

}  // namespace crucible::testing::proc
