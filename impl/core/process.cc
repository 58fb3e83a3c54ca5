#include "core/process.h"

#include <fcntl.h>
#include <stdio_ext.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "core/family.h"
#include "core/wait.h"

extern "C" {  // glibc 2.36 declares these functions without it
#include <sys/pidfd.h>
}

namespace crucible {
namespace {

Fd open_sentinel(pid_t pid) {
  Fd sentinel(pidfd_open(pid, 0));
  if (!sentinel) throw_errno("pidfd_open");
  return sentinel;
}

bool ended_by(int sentinel, Deadline deadline) {
  while (true) {
    pollfd slot = {.fd = sentinel, .events = POLLIN, .revents = 0};
    if (sleep_on({&slot, 1}, deadline) == Wake::kReady) return true;
    if (deadline.has_passed()) return false;
  }
}

// Registered last, on_exit handlers run first: what the parent had registered never runs here, what the child itself
// registers later runs before this.
void end_child(int code, void* /*unused*/) {
  Family::get().dissolve();
  flush_standard_streams();
  _exit(code & 0xff);
}

}  // namespace

void flush_standard_streams() {
  // Not fflush(nullptr): it would wait for a thread that is blocked reading stdin.
  std::fflush(stdout);
  std::fflush(stderr);
  std::cout.flush();
  std::clog.flush();
}

void die_with(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) raise(SIGKILL);  // it died before the death signal was asked for
}

void live_as_child(const std::function<int()>& body) {
  // What another thread of the parent wrote to them after the flush is the parent's to write out.
  __fpurge(stdout);
  __fpurge(stderr);
  on_exit(end_child, nullptr);
  std::exit(outcome_of(Family::get().self.name, body));
}

Process::Process() : Process(std::unique_ptr<Target>()) {}

Process::Process(std::unique_ptr<Target> target) : target_(std::move(target)), creator_(getpid()) {
  Family& family = Family::get();
  const std::lock_guard lock(family.mutex);
  daemon_ = family.self.daemon;
  authkey_ = family.self.authkey;
  serial_ = ++family.constructed;
  name_ = "Process-" + family.identity + std::to_string(serial_);
}

Process::~Process() {
  if (creator_ != getpid()) return;
  if (life_ == Life::kRunning) {
    if (daemon_) kill();
    join();
  }
  Family::get().forget(this);
}

void Process::require_creator(const char* operation) const {
  if (creator_ != getpid()) throw StateError(std::string(operation) + ": the process was created by another one");
}

void Process::require_started(const char* operation) const {
  require_creator(operation);
  if (life_ == Life::kClosed) throw Closed(operation);
  if (life_ == Life::kUnstarted) throw StateError(std::string(operation) + ": the process was not started");
}

void Process::start() {
  Family& family = Family::get();
  std::unique_ptr<Target> given_away;  // destroyed after the lock is released, since arguments may be Process objects
  std::unique_lock family_lock(family.mutex);
  require_creator("start");
  if (life_ == Life::kClosed) throw Closed("start");
  if (life_ != Life::kUnstarted || starting_) throw StateError("start: the process was started before");
  if (family.self.daemon) throw StateError("start: a daemon may not have children");
  if (runs_before_init()) throw StateError("start: main() of a spawned process did not begin with crucible::init()");
  family.reap();
  if (!family.own_sentinel) family.own_sentinel = open_sentinel(getpid());
  family.dissolve_at_exit();
  flush_standard_streams();

  const bool spawned = start_method_.value_or(family.start_method) == "spawn";
  Started child = spawned ? start_by_spawn(family_lock) : start_by_fork();
  const bool gone = !child.sentinel;
  if (gone) child.sentinel = Fd(eventfd(1, EFD_CLOEXEC));  // readable for good
  {
    const std::lock_guard lock(mutex_);
    pid_ = child.pid;
    sentinel_ = std::make_shared<const Fd>(std::move(child.sentinel));
    life_ = gone ? Life::kEnded : Life::kRunning;
  }
  if (!gone) family.children.push_back(this);
  given_away = std::move(target_);
}

Process::Started Process::start_by_fork() {
  Family& family = Family::get();
  // A descriptor for the sentinel is set aside before there is a child that could run without one.
  Fd reserved(fcntl(family.own_sentinel.get(), F_DUPFD_CLOEXEC, 0));
  if (!reserved) throw_errno("fcntl(F_DUPFD_CLOEXEC)");
  const pid_t parent = getpid();
  Started child;
  if (daemon_ && gettid() != parent) {
    child.pid = fork_from_lasting_thread([&] {
      reserved.reset();
      run_child(parent);
    });
  } else {
    family.fork_delegate = gettid();
    child.pid = fork();
    if (child.pid == 0) {
      reserved.reset();
      run_child(parent);
    }
    family.fork_delegate = 0;
  }
  if (child.pid < 0) throw_errno("fork");
  reserved.reset();
  child.sentinel = Fd(pidfd_open(child.pid, 0));
  // ESRCH: SIGCHLD is ignored, the child has ended, nobody can be asked.
  if (!child.sentinel && errno != ESRCH) {
    const int error = errno;
    ::kill(child.pid, SIGKILL);
    waitpid(child.pid, nullptr, 0);
    errno = error;
    throw_errno("pidfd_open");
  }
  return child;
}

void Process::run_child(pid_t parent) {
  if (daemon_) die_with(parent);
  Family& family = Family::get();
  family.parent.reset();
  family.parent.emplace(parent, family.self.name, std::move(family.parent_sentinel));
  family.identity += std::to_string(serial_) + ":";
  family.constructed = 0;
  family.self = {.name = name_, .daemon = daemon_, .authkey = authkey_, .start_method = "fork"};
  live_as_child([this] { return run(); });
}

int Process::run() { return target_ ? target_->call() : 0; }

// True once the child has ended; reaps it.
bool Process::collect() {
  const std::lock_guard lock(mutex_);
  if (life_ != Life::kRunning) return true;
  siginfo_t info = {};
  if (waitid(P_PIDFD, static_cast<id_t>(sentinel_->get()), &info, WEXITED | WNOHANG) == 0) {
    if (info.si_pid == 0) return false;
    exit_code_ = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
  } else if (errno != ECHILD) {  // ECHILD: ended, but somebody else had the exit code
    throw_errno("waitid");
  }
  life_ = Life::kEnded;
  return true;
}

bool Process::join_until(Deadline deadline) {
  std::shared_ptr<const Fd> sentinel;
  {
    const std::lock_guard lock(mutex_);
    require_started("join");
    sentinel = sentinel_;
  }
  while (!collect()) {
    if (!ended_by(sentinel->get(), deadline)) return false;
  }
  Family::get().forget(this);
  return true;
}

bool Process::is_alive() {
  {
    const std::lock_guard lock(mutex_);
    require_creator("is_alive");
    if (life_ == Life::kClosed) throw Closed("is_alive");
    if (life_ == Life::kUnstarted) return false;
  }
  const bool ended = collect();
  if (ended) Family::get().forget(this);
  return !ended;
}

std::optional<int> Process::exit_code() {
  (void)is_alive();
  const std::lock_guard lock(mutex_);
  return exit_code_;
}

std::optional<pid_t> Process::pid() const {
  const std::lock_guard lock(mutex_);
  require_creator("pid");
  if (life_ == Life::kClosed) throw Closed("pid");
  if (life_ == Life::kUnstarted) return std::nullopt;
  return pid_;
}

int Process::sentinel() const {
  const std::lock_guard lock(mutex_);
  require_started("sentinel");
  return sentinel_->get();
}

void Process::send_signal(int signal, const char* operation) {
  const std::lock_guard lock(mutex_);
  require_started(operation);
  if (life_ == Life::kRunning && pidfd_send_signal(sentinel_->get(), signal, nullptr, 0) != 0 && errno != ESRCH) {
    throw_errno("pidfd_send_signal");
  }
}

void Process::terminate() { send_signal(SIGTERM, "terminate"); }
void Process::kill() { send_signal(SIGKILL, "kill"); }
void Process::interrupt() { send_signal(SIGINT, "interrupt"); }

void Process::close() {
  require_creator("close");
  if (!collect()) throw StateError("close: the process is still running");
  Family::get().forget(this);
  const std::lock_guard lock(mutex_);
  life_ = Life::kClosed;
  sentinel_.reset();
  target_.reset();
}

void Process::require_unstarted(const char* setter) const {
  if (life_ != Life::kUnstarted) throw StateError(std::string(setter) + ": the process was started");
}

void Process::set_name(std::string name) {
  require_unstarted("set_name");
  name_ = std::move(name);
}

void Process::set_daemon(bool daemon) {
  require_unstarted("set_daemon");
  daemon_ = daemon;
}

void Process::set_authkey(Bytes authkey) {
  require_unstarted("set_authkey");
  authkey_ = std::move(authkey);
}

bool Process::begin_wait(pollfd& slot) {
  const std::lock_guard lock(mutex_);
  require_started("wait");
  slot.fd = sentinel_->get();
  slot.events = POLLIN;
  return life_ == Life::kEnded;
}

bool Process::end_wait(short revents) { return revents != 0; }

bool ParentProcess::ended_by(Deadline deadline) const { return crucible::ended_by(sentinel_.get(), deadline); }

const CurrentProcess& current_process() { return Family::get().self; }

const ParentProcess* parent_process() {
  const std::optional<ParentProcess>& parent = Family::get().parent;
  return parent ? &*parent : nullptr;
}

std::vector<Process*> active_children() {
  Family& family = Family::get();
  const std::lock_guard lock(family.mutex);
  family.reap();
  return family.children;
}

unsigned cpu_count() {
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? static_cast<unsigned>(online) : 1;
}

}  // namespace crucible
