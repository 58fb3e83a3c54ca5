// What this process knows of its parent, itself and its children. Internal to core/process.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/process.h"

namespace crucible {

/// One per process, never destroyed, emptied in a forked child. Lock order: this mutex before that of a Process.
struct Family {
  std::mutex mutex;
  CurrentProcess self;
  std::string identity;  ///< the numbers of the creation path: "2:1"
  unsigned constructed = 0;
  std::optional<ParentProcess> parent;
  std::vector<Process*> children;  ///< started and not seen to have ended
  Fd own_sentinel;                 ///< a pidfd of this process, for its children to inherit
  Fd parent_sentinel;              ///< in a forked child: what own_sentinel was before the fork
  bool exit_handler_registered = false;
  std::string_view start_method = "fork";
  bool start_method_chosen = false;
  bool program_begun = false;  ///< init() was called
  /// What this process holds open are other processes' ends of file: none of it is for its zygotes.
  bool is_broker = false;
  std::string program;  ///< argv[0]
  /// The thread that forks while it, or one that waits for it, holds the mutex; 0: none does.
  std::atomic<pid_t> fork_delegate = 0;

  static Family& get();
  /// Drops those that ended from `children`. The mutex is held.
  void reap();
  void forget(const Process* process);
  /// In a forked child that is to be nobody's: is_broker, and close_others(). Two descriptors are kept.
  void become_broker(int first, int second);
  /// In a forked child: they are the parent's, and so are their sentinels.
  void abandon_children() noexcept;
  /// At a normal end: ends the daemons, waits for the others.
  void dissolve();
  void dissolve_at_exit();

 private:
  Family();
};

/// Runs `job` on a thread that lasts as long as this process, so that a death signal tied to the thread that makes a
/// child means the process. The family's mutex is held.
void run_on_lasting_thread(const std::function<void()>& job);
/// fork() on that thread. `in_child` runs in the child and must not return. Returns as fork() does, errno included.
pid_t fork_from_lasting_thread(const std::function<void()>& in_child);

/// What a forked child that is to live as a Process does begins and ends with, in the child: nothing inherited is
/// flushed, and what it ends by is the family's (see Process). Does not return.
[[noreturn]] void live_as_child(const std::function<int()>& body);
/// Asks the kernel for SIGKILL when `parent`, which forked this process, ends.
void die_with(pid_t parent);

/// The exit code of a child's body: its result, or 1 after an exception, which is reported on stderr.
int outcome_of(const std::string& name, const std::function<int()>& body);

/// In a forked child: closes everything but the standard descriptors and two others. The objects that it inherited,
/// which still have the numbers, take no part in its own forks.
void close_others(int first, int second) noexcept;

/// Whether this is a spawned process that has not come to init().
bool runs_before_init();

}  // namespace crucible
