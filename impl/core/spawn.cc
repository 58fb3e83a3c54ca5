// What happens in a spawned process, and the choice of start methods.
#include "core/spawn.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "core/family.h"
#include "core/process.h"
#include "core/start_data.h"

namespace crucible {
namespace {

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
