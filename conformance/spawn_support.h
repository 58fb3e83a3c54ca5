// What the tests of spawned processes share. Their children share no memory with the test: what they have to say to
// each other goes over a wire.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "api/status.h"
#include "conformance/support/fixture.h"
#include "conformance/support/proc.h"
#include "conformance/support/watchdog.h"
#include "core/fd.h"
#include "core/function.h"
#include "core/process.h"
#include "core/spawn.h"

namespace crucible::testing {

using Child = crucible::Process;

class Spawn : public CleanFixture {};
class SpawnTiming : public CleanFixture {};

/// Texts by a socket of the kernel's, which keeps their boundaries.
inline void say(const Fd& wire, const std::string& text) {
  if (::send(wire.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) throw_errno("send");
}
/// Empty once nobody can say anything any more.
inline std::string hear(const Fd& wire) {
  std::string text(4096, '\0');
  const ssize_t length = ::recv(wire.get(), text.data(), text.size(), 0);
  if (length < 0) throw_errno("recv");
  text.resize(static_cast<std::size_t>(length));
  return text;
}
inline std::pair<Fd, Fd> make_wire() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("socketpair");
  return {Fd(ends[0]), Fd(ends[1])};
}

inline Fd copy_of(const Fd& descriptor) { return Fd(::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, 0)); }

/// The children of the test itself.
inline std::vector<pid_t> children() {
  std::vector<pid_t> all = proc::children_of(::getpid());
  std::erase(all, watchdog::pid());
  return all;
}
inline void make_spawned(Child& child) { child.set_start_method("spawn"); }
inline void start_spawned(Child& child) {
  make_spawned(child);
  child.start();
}
template <class... T>
int code_of_spawned(const T&... call) {
  Child child(call...);
  start_spawned(child);
  child.join();
  return child.exit_code().value();
}

/// Set while it lives, for the children too.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { ::unsetenv(name_); }

 private:
  const char* name_;
};
/// What the program does before crucible::init(), see spawn_main.cc: `die`, `hang`, `fork`.
inline constexpr const char* kBeginning = "CRUCIBLE_TEST_BEGINNING";

}  // namespace crucible::testing
