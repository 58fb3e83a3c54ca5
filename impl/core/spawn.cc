#include "core/spawn.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "api/codec.h"
#include "core/family.h"
#include "core/process.h"
#include "core/wait.h"

extern "C" {  // glibc 2.36 declares these functions without it
#include <sys/pidfd.h>
}

namespace crucible {
namespace {

// A spawned process knows itself by its first argument. The variable tells whoever asks before init(), and is gone
// with it, since programs that the process runs inherit it.
constexpr const char* kFlag = "--crucible-spawned";
constexpr const char* kMarker = "CRUCIBLE_SPAWNED";

// Its descriptors: after the standard streams these three, then those of its arguments.
enum : int { kData = 3, kReport, kParent, kFirstArgument };

// What the child says of its beginning, one byte and a text: the parent throws the exception of that kind.
enum Report : char { kReady = 'r', kBadEncoding = 'e', kFailed = 'f' };
constexpr std::size_t kReportBytes = 2048;  // written in one piece

struct StartData {
  std::string name;
  bool daemon = false;
  Bytes authkey;
  std::string identity;
  pid_t parent = 0;
  std::string parent_name;
  std::string start_method;
  bool start_method_chosen = false;
  std::string function;
  PackedArguments arguments;
  MSGPACK_DEFINE(name, daemon, authkey, identity, parent, parent_name, start_method, start_method_chosen, function,
                 arguments)
};

// In memory of its own, so that nobody has to read while it is written: a child that dies early blocks nobody.
Fd write_down(const StartData& start) {
  const Encoded encoded = encode(start);
  Fd file(memfd_create("crucible start", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) throw_errno("memfd_create");
  for (ByteView left = encoded.view(); !left.empty();) {
    const ssize_t written = ::write(file.get(), left.data(), left.size());
    if (written < 0 && errno != EINTR) throw_errno("write");
    if (written > 0) left = left.subspan(static_cast<std::size_t>(written));
  }
  if (fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
    throw_errno("fcntl(F_ADD_SEALS)");
  }
  return file;
}

StartData read_back(const Fd& file) {
  struct stat status = {};
  if (fstat(file.get(), &status) != 0) throw_errno("fstat");
  Bytes bytes(static_cast<std::size_t>(status.st_size));
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t got = ::pread(file.get(), bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (got <= 0) throw_errno("pread");
    at += static_cast<std::size_t>(got);
  }
  return decode<StartData>(bytes);
}

std::string_view known_method(std::string_view method) {
  std::string known;
  for (const std::string_view name : start_methods()) {
    if (name == method) return name;
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  throw BadArgument("no start method named '" + std::string(method) + "'; there are: " + known);
}

// posix_spawn(3)'s objects.
class SpawnSettings {
 public:
  SpawnSettings() {
    check(posix_spawn_file_actions_init(&actions_));
    check(posix_spawnattr_init(&attributes_));
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  // The child gets these from descriptor 3 on, its standard streams, and nothing else.
  void hand_over(const std::vector<Fd>& descriptors) {
    int place = kData;
    for (const Fd& descriptor : descriptors) {
      check(posix_spawn_file_actions_adddup2(&actions_, descriptor.get(), place++));
    }
    check(posix_spawn_file_actions_addclosefrom_np(&actions_, place));
  }
  void set_mask(const sigset_t& mask) {
    check(posix_spawnattr_setsigmask(&attributes_, &mask));
    check(posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK));
  }
  // As posix_spawn(3): 0 or an error number.
  int run(pid_t& pid, char* const* arguments, char* const* environment) const {
    // The program that runs here, also if its file was renamed or replaced.
    return posix_spawn(&pid, "/proc/self/exe", &actions_, &attributes_, arguments, environment);
  }
  static void check(int error) {
    if (error == 0) return;
    errno = error;
    throw_errno("posix_spawn");
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// Copies beyond all places they will have in the child, so that none is overwritten before it is there.
std::vector<Fd> out_of_the_way(const std::vector<int>& descriptors) {
  std::vector<Fd> copies;
  for (const int descriptor : descriptors) {
    copies.emplace_back(fcntl(descriptor, F_DUPFD_CLOEXEC, kData + static_cast<int>(descriptors.size())));
    if (!copies.back()) throw_errno("fcntl(F_DUPFD_CLOEXEC)");
  }
  return copies;
}

pid_t run_program(const Family& family, const std::string& name, bool daemon, const std::vector<int>& descriptors) {
  SpawnSettings settings;
  const std::vector<Fd> copies = out_of_the_way(descriptors);
  settings.hand_over(copies);
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  settings.set_mask(mask);
  const std::array<const char*, 4> arguments = {family.program.c_str(), kFlag, name.c_str(), nullptr};
  const std::string marker = std::string(kMarker) + "=1";
  std::vector<const char*> variables = {marker.c_str()};
  for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
  variables.push_back(nullptr);
  pid_t pid = -1;
  int error = 0;
  const auto run = [&] {
    error = settings.run(pid, const_cast<char* const*>(arguments.data()), const_cast<char* const*>(variables.data()));
  };
  if (daemon && gettid() != getpid()) {
    run_on_lasting_thread(run);  // whose death its death signal will mean
  } else {
    run();
  }
  SpawnSettings::check(error);
  return pid;
}

// Waits for the child's report: empty if it ended without one. Without a sentinel it has ended.
std::string await_report(const Fd& reports, const Fd& sentinel) {
  const Deadline deadline = Deadline::after(Process::kPatience);
  while (true) {
    std::array<pollfd, 2> slots = {{{.fd = reports.get(), .events = POLLIN, .revents = 0},
                                    {.fd = sentinel.get(), .events = POLLIN, .revents = 0}}};
    if (sleep_on(slots, deadline) == Wake::kReady) {
      if (slots[0].revents == 0) return "";
      std::string report(kReportBytes, '\0');
      const ssize_t length = ::read(reports.get(), report.data(), report.size());
      if (length < 0 && errno == EINTR) continue;
      report.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
      return report;
    }
    if (deadline.has_passed()) {
      return std::string(1, kFailed) + "the child did not come to crucible::init() in " +
             std::to_string(Process::kPatience.count()) + " s";
    }
  }
}

// Its status as waitpid(2) gives it; nothing if somebody else had it.
std::optional<int> end_child_process(pid_t pid) {
  ::kill(pid, SIGKILL);
  int status = 0;
  pid_t ended = -1;
  while ((ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR) {
  }
  return ended == pid ? std::optional(status) : std::nullopt;
}

[[noreturn]] void throw_failure(const std::string& report, std::optional<int> status) {
  const std::string text = "start: " + report.substr(report.empty() ? 0 : 1);
  if (!report.empty() && report.front() == kBadEncoding) throw EncodingError(text);
  if (!report.empty()) throw StateError(text);
  std::string how;
  if (status && WIFSIGNALED(*status)) how = " by signal " + std::to_string(WTERMSIG(*status));
  if (status && WIFEXITED(*status)) how = " with " + std::to_string(WEXITSTATUS(*status));
  throw StateError("start: the child ended" + how + " before it came to crucible::init()");
}

[[noreturn]] void end_with_report(Report kind, const std::string& text) {
  const std::string report = (std::string(1, kind) + text).substr(0, kReportBytes);
  [[maybe_unused]] const ssize_t written = ::write(kReport, report.data(), report.size());
  _exit(1);
}

Body bind_function(StartData& start) {
  start.arguments.receive_descriptors(kFirstArgument);
  if (start.function.empty()) return [] { return 0; };
  const Unpacker* const unpack = find_function(start.function);
  if (unpack == nullptr) throw StateError("no function named '" + start.function + "' when init() is called");
  return (*unpack)(start.arguments);
}

void join_family(const StartData& start) {
  if (start.daemon) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != start.parent) raise(SIGKILL);  // it died before the death signal was asked for
  }
  Family& family = Family::get();
  family.parent.emplace(start.parent, start.parent_name, Fd(kParent));
  family.identity = start.identity;
  family.self = {.name = start.name, .daemon = start.daemon, .authkey = start.authkey, .start_method = "spawn"};
  family.start_method = known_method(start.start_method);
  family.start_method_chosen = start.start_method_chosen;
  family.dissolve_at_exit();
}

// The program's own exit handlers and destructors run in the end: they are this process's.
[[noreturn]] void run_spawned() {
  Body body;
  StartData start;
  try {
    for (const int own : {kData, kReport, kParent}) {
      if (fcntl(own, F_SETFD, FD_CLOEXEC) != 0) throw_errno("fcntl(F_SETFD)");
    }
    start = read_back(Fd(kData));
    body = bind_function(start);
    start.arguments = {};
    join_family(start);
  } catch (const EncodingError& error) {
    end_with_report(kBadEncoding, error.what());
  } catch (const std::exception& error) {
    end_with_report(kFailed, error.what());
  }
  Fd report(kReport);
  const char ready = kReady;
  if (::write(kReport, &ready, 1) != 1) _exit(1);  // nobody waits any more
  report.reset();
  std::exit(outcome_of(start.name, body));
}

}  // namespace

Process::Started Process::start_by_spawn(std::unique_lock<std::mutex>& family_lock) {
  Family& family = Family::get();
  if (!family.program_begun) throw StateError("start: a program that spawns calls crucible::init() first in main()");
  if (typeid(*this) != typeid(Process)) throw BadArgument("start: an object of a derived class can only be forked");
  StartData start = {.name = name_,
                     .daemon = daemon_,
                     .authkey = authkey_,
                     .identity = family.identity + std::to_string(serial_) + ":",
                     .parent = getpid(),
                     .parent_name = family.self.name,
                     .start_method = std::string(family.start_method),
                     .start_method_chosen = family.start_method_chosen,
                     .function = {},
                     .arguments = {}};
  if (target_ != nullptr) start.function = target_->pack(start.arguments);
  const Fd data = write_down(start);
  std::array<int, 2> ends = {};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
  const Fd reports(ends[0]);
  Fd report(ends[1]);
  std::vector<int> descriptors = {data.get(), report.get(), family.own_sentinel.get()};
  const std::vector<int>& given = start.arguments.descriptors();
  descriptors.insert(descriptors.end(), given.begin(), given.end());
  Started child;
  child.pid = run_program(family, name_, daemon_, descriptors);
  report.reset();
  child.sentinel = Fd(pidfd_open(child.pid, 0));
  if (!child.sentinel && errno != ESRCH) {
    const int error = errno;
    end_child_process(child.pid);
    errno = error;
    throw_errno("pidfd_open");
  }
  // Other threads may use this library while the child begins.
  starting_ = true;
  family_lock.unlock();
  const std::string said = await_report(reports, child.sentinel);
  family_lock.lock();
  starting_ = false;
  if (!said.empty() && said.front() == kReady) return child;
  throw_failure(said, end_child_process(child.pid));
}

void init(int argc, char** argv) {
  Family& family = Family::get();
  family.program = argc > 0 ? argv[0] : "";
  family.program_begun = true;
  const bool spawned = argc > 1 && std::strcmp(argv[1], kFlag) == 0 && getenv(kMarker) != nullptr;
  unsetenv(kMarker);
  if (spawned) run_spawned();
}

bool runs_before_init() { return getenv(kMarker) != nullptr; }

std::span<const std::string_view> start_methods() noexcept {
  static constexpr std::array<std::string_view, 2> kMethods = {"fork", "spawn"};
  return kMethods;
}

std::string_view start_method() {
  Family& family = Family::get();
  const std::lock_guard lock(family.mutex);
  return family.start_method;
}

void set_start_method(std::string_view method, bool force) {
  const std::string_view known = known_method(method);
  Family& family = Family::get();
  const std::lock_guard lock(family.mutex);
  if (family.start_method_chosen && !force) throw StateError("set_start_method: it was chosen before");
  family.start_method = known;
  family.start_method_chosen = true;
}

std::string_view Process::start_method() const { return start_method_ ? *start_method_ : crucible::start_method(); }

void Process::set_start_method(std::string_view method) {
  require_unstarted("set_start_method");
  start_method_ = known_method(method);
}

}  // namespace crucible
