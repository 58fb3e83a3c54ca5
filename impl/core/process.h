// Process: a child of this process, started by fork or as a fresh copy of the program.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "api/bytes.h"
#include "api/deadline.h"
#include "api/status.h"
#include "api/waitable.h"
#include "core/fd.h"
#include "core/function.h"

namespace crucible {

/// Runs a function, or an override of run(), in a child process. Except where said, members belong to the process that
/// created the object (StateError elsewhere) and any thread may call them. Ready in wait() once ended.
///
/// Started by "fork", the default, the child inherits memory and descriptors as of start(), and only the calling
/// thread. By "spawn" this program is run anew (core/spawn.h): the child has the standard streams and what stands among
/// its arguments, nothing else, and whatever threads are running here are no danger to it.
///
/// It ends by returning from its body or by std::exit: then its own atexit handlers run, its daemons are ended, its
/// other children joined, its standard streams flushed; nothing inherited (handlers, buffers, static destructors) is
/// run or flushed. Its exit code
/// is the body's result or std::exit's argument modulo 256, 1 after an uncaught exception (reported on stderr behind
/// the process's name), -N after signal N. At a normal end of this process daemons get SIGTERM (SIGKILL a second later)
/// and are joined; the other children are waited for.
class Process : public Waitable {
 public:
  /// Without a target the child does nothing and ends with 0.
  Process();
  /// `target(args...)` runs in the child; void counts as 0. Arguments are decay-copied or moved in here and destroyed
  /// in this process once the child has them: ends of pipes are given away so. A std::unique_ptr<T> argument also fits
  /// a target that takes T&. Any callable can be forked; what is spawned must be a Function.
  template <class F, class... Args>
    requires(!std::derived_from<std::remove_cvref_t<F>, Process>)
  explicit Process(F&& target, Args&&... args)
      : Process(std::unique_ptr<Target>(std::make_unique<Call<std::decay_t<F>, std::decay_t<Args>...>>(
            std::forward<F>(target), std::forward<Args>(args)...))) {}
  /// Joins a running child; a daemon is killed first. A running child of another process is left alone.
  ~Process() override;

  /// Starts the child. Once only (StateError afterwards); StateError in a daemon. Flushes stdio and std::cout first;
  /// reaps ended siblings. Throws std::system_error (fork, descriptors), and is then as before, so that it may be
  /// tried again or by another method.
  ///
  /// By spawn it returns once the child has its arguments. Throws BadArgument unless the target is a Function,
  /// EncodingError for arguments that the codec cannot write or the child not read, Unsupported for an end whose
  /// mechanism is not transferable, StateError if crucible::init() was not called here, or if the child ends before
  /// it calls it or does not call it in kPatience.
  void start();
  static constexpr std::chrono::seconds kPatience{30};
  /// Waits for the end. Any number of threads and times. StateError before start().
  void join() { (void)join_until(Deadline::never()); }
  /// Whether it ended within `duration`.
  template <class R, class P>
  bool join_for(std::chrono::duration<R, P> duration) {
    return join_until(Deadline::after(duration));
  }
  /// False before start() and from the moment its end is seen, which also reaps it.
  bool is_alive();
  /// Nothing before the end, and for good if somebody else reaped the child, which is seen as ended nevertheless.
  std::optional<int> exit_code();
  /// Nothing before start(); kept after the end.
  std::optional<pid_t> pid() const;
  /// A pidfd: polls readable from the child's end on, whatever its own children hold. Owned by the object. StateError
  /// before start().
  int sentinel() const;
  /// Send SIGTERM, SIGKILL, SIGINT. No effect on an ended child; StateError before start(). They do not wait.
  void terminate();
  void kill();
  void interrupt();
  /// Frees what the object holds. StateError while the child runs. Idempotent; afterwards all but name, daemon and
  /// authkey throw Closed.
  void close();

  /// "fork", "spawn"; by default what crucible::start_method() is then. BadArgument for another.
  std::string_view start_method() const;
  void set_start_method(std::string_view method);
  /// `Process-1`, its children `Process-1:1`, unless set. The four setters: StateError after start().
  const std::string& name() const noexcept { return name_; }
  void set_name(std::string name);
  /// A daemon ends with its parent, however that ends, and may not have children. Default: the creator's.
  bool daemon() const noexcept { return daemon_; }
  void set_daemon(bool daemon);
  /// The secret that connections between related processes are authenticated with: inherited; 32 random bytes in the
  /// first process.
  const Bytes& authkey() const noexcept { return authkey_; }
  void set_authkey(Bytes authkey);

  bool begin_wait(pollfd& slot) override;
  bool end_wait(short revents) override;

 protected:
  /// The child's body; returns its exit code. By default calls the target. Runs in the child.
  virtual int run();

 private:
  struct Target {
    Target() = default;
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;
    virtual ~Target() = default;
    virtual int call() = 0;
    /// The name of the function; its arguments in `to`. BadArgument if it has none.
    virtual std::string pack(PackedArguments& to) const = 0;
  };
  template <class F, class... Args>
  struct Call;
  enum class Life { kUnstarted, kRunning, kEnded, kClosed };
  struct Started {
    pid_t pid = -1;
    Fd sentinel;  ///< nothing: the child has ended and nobody can be asked
  };

  explicit Process(std::unique_ptr<Target> target);
  bool join_until(Deadline deadline);
  bool collect();
  void require_creator(const char* operation) const;
  void require_started(const char* operation) const;
  void require_unstarted(const char* setter) const;
  void send_signal(int signal, const char* operation);
  Started start_by_fork();
  Started start_by_spawn(std::unique_lock<std::mutex>& family_lock);
  [[noreturn]] void run_child(pid_t parent);
  friend struct Family;

  std::string name_;
  bool daemon_;
  Bytes authkey_;
  std::unique_ptr<Target> target_;
  pid_t creator_;
  unsigned serial_;
  std::optional<std::string_view> start_method_;
  bool starting_ = false;  // guarded by the family's mutex

  mutable std::mutex mutex_;  // guards what follows
  Life life_ = Life::kUnstarted;
  pid_t pid_ = 0;
  std::shared_ptr<const Fd> sentinel_;  // shared with the joins under way, lest close() free what they sleep on
  std::optional<int> exit_code_;
};

/// This process as its parent named it.
struct CurrentProcess {
  std::string name;  ///< `MainProcess` in the first one
  bool daemon = false;
  Bytes authkey;
  std::string_view start_method = {};  ///< how it was started; empty in the first one
};
const CurrentProcess& current_process();

/// The process that started this one.
class ParentProcess {
 public:
  ParentProcess(pid_t pid, std::string name, Fd sentinel) noexcept
      : pid_(pid), name_(std::move(name)), sentinel_(std::move(sentinel)) {}
  pid_t pid() const noexcept { return pid_; }
  const std::string& name() const noexcept { return name_; }
  bool is_alive() const { return !ended_by(Deadline::immediate()); }
  /// Whether it ended within `duration`.
  template <class R, class P>
  bool join_for(std::chrono::duration<R, P> duration) const {
    return ended_by(Deadline::after(duration));
  }
  /// A pidfd, as Process::sentinel().
  int sentinel() const noexcept { return sentinel_.get(); }

 private:
  bool ended_by(Deadline deadline) const;

  pid_t pid_;
  std::string name_;
  Fd sentinel_;
};
/// Null in a process that no Process started.
const ParentProcess* parent_process();

/// The running children of this process that Process objects started, in order of start; reaps those that ended.
std::vector<Process*> active_children();

/// Online CPUs of the machine, at least 1.
unsigned cpu_count();

/// stdout, stderr, std::cout and std::clog. Before a fork, lest the child write out what the parent wrote.
void flush_standard_streams();

template <class F, class... Args>
struct Process::Call final : Process::Target {
  template <class G, class... A>
  explicit Call(G&& target, A&&... args) : function(std::forward<G>(target)), arguments(std::forward<A>(args)...) {}

  template <class T>
  static T&& open(T& argument) {
    return std::move(argument);
  }
  template <class T, class D>
  static T& open(std::unique_ptr<T, D>& argument) {
    return *argument;
  }

  int call() override {
    return std::apply(
        [this](Args&... args) {
          if constexpr (kIsFunction<F>) {
            return function.call(args...);
          } else if constexpr (std::is_invocable_v<F&, Args&&...>) {
            return exit_code_of([&] { return std::invoke(function, std::move(args)...); });
          } else {
            return exit_code_of([&] { return std::invoke(function, open(args)...); });
          }
        },
        arguments);
  }

  std::string pack(PackedArguments& to) const override {
    if constexpr (kIsFunction<F>) {
      std::apply([this, &to](const Args&... args) { function.pack(to, args...); }, arguments);
      return function.name();
    } else {
      throw BadArgument("start: what is spawned must be a crucible::Function; a closure can only be forked");
    }
  }

  F function;
  std::tuple<Args...> arguments;
};

}  // namespace crucible
