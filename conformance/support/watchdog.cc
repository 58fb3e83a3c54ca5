#include "conformance/support/watchdog.h"

#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <limits>
#include <string_view>

#include "api/deadline.h"
#include "conformance/support/events.h"
#include "conformance/support/proc.h"

namespace crucible::testing::watchdog {
namespace {

struct Note {
  std::atomic<pid_t> pid;
  std::array<char, 108> text;
};

constexpr std::int64_t kDisarmed = std::numeric_limits<std::int64_t>::max();

struct Shared {
  std::atomic<std::uint32_t> changes;  // a futex: tells the watchdog of a new deadline
  std::atomic<std::int64_t> expires_ns;
  std::array<char, 256> test;
  std::array<Note, 512> notes;
};

// In every process of a test, by inheritance.
SharedBox<Shared>* shared = nullptr;
pid_t guarded = 0;
pid_t guardian = 0;

template <std::size_t kSize>
void copy_text(std::array<char, kSize>& to, std::string_view from) {
  const std::size_t length = std::min(from.size(), kSize - 1);
  std::copy_n(from.begin(), length, to.begin());
  to[length] = '\0';
}

[[noreturn]] void expire() {
  const pid_t self = ::getpid();
  std::vector<pid_t> processes = {guarded};
  for (const pid_t pid : proc::descendants_of(guarded)) {
    if (pid != self) processes.push_back(pid);
  }
  std::string report = "\nWATCHDOG: " + std::string((*shared)->test.data()) + " did not end in time; where it stood:\n";
  for (const pid_t pid : processes) {
    const std::string last = note_of(pid);
    report += proc::describe(pid) + (last.empty() ? "" : "      note: " + last + "\n");
  }
  for (std::size_t at = 0; at < report.size();) {
    const ssize_t written = ::write(STDERR_FILENO, report.data() + at, report.size() - at);
    if (written <= 0) break;
    at += static_cast<std::size_t>(written);
  }
  // The test itself first, so that it cannot take its peers' ends for results; this process must outlive it.
  ::prctl(PR_SET_PDEATHSIG, 0);
  for (const pid_t pid : processes) ::kill(pid, SIGKILL);
  ::_exit(1);
}

[[noreturn]] void watch() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != guarded) ::_exit(0);
  ::prctl(PR_SET_NAME, "watchdog");
  for (;;) {
    const std::uint32_t seen = (*shared)->changes.load();
    const std::int64_t expires = (*shared)->expires_ns.load();
    const std::int64_t left = expires == kDisarmed ? kDisarmed : expires - Deadline::now_ns();
    if (left <= 0) expire();
    const timespec timeout{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    ::syscall(SYS_futex, &(*shared)->changes, FUTEX_WAIT, seen, expires == kDisarmed ? nullptr : &timeout, nullptr, 0);
  }
}

void dismiss() {
  if (guarded != ::getpid()) return;  // an inherited exit handler
  ::kill(guardian, SIGKILL);
  ::waitpid(guardian, nullptr, __WCLONE);
}

void start() {
  if (guarded == ::getpid()) return;
  shared = new SharedBox<Shared>;  // a child that arms its own leaves its parent's alone
  (*shared)->expires_ns = kDisarmed;
  guarded = ::getpid();
  // Without an exit signal: invisible to the wait calls under test, and no SIGCHLD.
  const long child = ::syscall(SYS_clone, 0L, nullptr, nullptr, nullptr, nullptr);
  if (child < 0) throw_errno("clone");
  if (child == 0) watch();
  guardian = static_cast<pid_t>(child);
  std::atexit(dismiss);
}

void set_expiry(std::int64_t expires_ns) {
  (*shared)->expires_ns = expires_ns;
  ++(*shared)->changes;
  ::syscall(SYS_futex, &(*shared)->changes, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

}  // namespace

std::chrono::nanoseconds limit() {
  constexpr int kDefaultSeconds = 60;
  const char* const chosen = std::getenv("CRUCIBLE_WATCHDOG_SECONDS");
  const int seconds = chosen == nullptr ? kDefaultSeconds : std::atoi(chosen);
  return std::chrono::seconds(seconds > 0 ? seconds : kDefaultSeconds);
}

void arm(const std::string& test) {
  start();
  for (Note& note : (*shared)->notes) note.pid = 0;
  copy_text((*shared)->test, test);
  set_expiry(Deadline::now_ns() + limit().count());
}

void disarm() {
  if (guarded == ::getpid()) set_expiry(kDisarmed);
}

pid_t pid() { return guarded == ::getpid() ? guardian : 0; }

void note(const char* text) {
  if (shared == nullptr) return;
  const pid_t self = ::getpid();
  for (Note& note : (*shared)->notes) {
    pid_t holder = note.pid;
    if (holder == 0 && note.pid.compare_exchange_strong(holder, self)) holder = self;
    if (holder != self) continue;
    copy_text(note.text, text);
    return;
  }
}

std::string note_of(pid_t pid) {
  if (shared == nullptr) return "";
  const auto found = std::ranges::find_if((*shared)->notes, [pid](const Note& note) { return note.pid == pid; });
  return found == (*shared)->notes.end() ? "" : std::string(found->text.data());
}

void forget(pid_t pid) {
  if (shared == nullptr) return;
  for (Note& note : (*shared)->notes) {
    pid_t expected = pid;
    note.pid.compare_exchange_strong(expected, 0);
  }
}

}  // namespace crucible::testing::watchdog
