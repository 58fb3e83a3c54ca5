#include "conformance/support/events.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>

#include "api/deadline.h"
#include "conformance/support/proc.h"

namespace crucible::testing {
namespace {

// The word is shared between processes, hence not the private forms.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t seen, const timespec* timeout) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, timeout, nullptr, 0);
}

}  // namespace

void Event::set() noexcept {
  word_->store(1, std::memory_order_release);
  ::syscall(SYS_futex, &*word_, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr, nullptr, 0);
}

void Event::wait() noexcept {
  while (!is_set()) futex_wait(*word_, 0, nullptr);
}

bool Event::wait_for(std::chrono::nanoseconds duration) noexcept {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const Deadline deadline = Deadline::after(duration);
  while (!is_set()) {
    if (deadline.has_passed()) return false;
    const std::int64_t left = deadline.left().count();
    const timespec timeout{.tv_sec = left / kSecond, .tv_nsec = left % kSecond};
    futex_wait(*word_, 0, &timeout);
  }
  return true;
}

bool blocked_in_kernel(pid_t tid) { return proc::thread(tid, tid).sleeps_in_call(); }

void await_blocked(pid_t pid, pid_t tid) {
  constexpr std::uint64_t kSpun = 100'000'000;
  proc::Thread busy = proc::thread(pid, tid);
  for (proc::Thread before = busy;;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const proc::Thread now = proc::thread(pid, tid);
    if (now.gone()) throw std::runtime_error("thread " + std::to_string(tid) + " ended instead of blocking");
    const bool stayed = now.switches == before.switches && now.system_call == before.system_call;
    if (stayed && before.sleeps_in_call() && now.sleeps_in_call()) return;
    if (now.faults != busy.faults || now.switches != busy.switches) busy = now;
    if (now.cpu_ns - busy.cpu_ns >= kSpun) return;
    before = now;
  }
}

pid_t thread_id() noexcept { return static_cast<pid_t>(::syscall(SYS_gettid)); }

}  // namespace crucible::testing
