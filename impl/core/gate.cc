#include "core/gate.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <mutex>
#include <thread>

namespace crucible {
namespace {

// SIGURG: ignored by default, so that a stray one is harmless, and little used (out-of-band data on sockets).
constexpr int kWakeSignal = SIGURG;

thread_local pid_t cached_thread = 0;

// Without SA_RESTART, or the interrupted call would go on.
void install_wake_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigaction(kWakeSignal, &action, nullptr);
  });
}

}  // namespace

int wake_signal() noexcept { return kWakeSignal; }

bool wake_thread(pid_t thread) noexcept {
  install_wake_handler();
  return syscall(SYS_tgkill, getpid(), thread, kWakeSignal) == 0;
}

pid_t this_thread() noexcept {
  if (cached_thread == 0) {
    static std::once_flag once;
    std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { cached_thread = 0; }); });
    cached_thread = static_cast<pid_t>(syscall(SYS_gettid));
  }
  return cached_thread;
}

bool Gate::occupied(const std::atomic<pid_t>& inside) noexcept {
  const pid_t thread = inside.load(std::memory_order_relaxed);
  return thread != 0 && syscall(SYS_tgkill, getpid(), thread, 0) == 0;
}

bool Gate::close() noexcept {
  if (closed_.exchange(true, std::memory_order_seq_cst)) return false;
  heavy_fence();
  auto pause = std::chrono::microseconds(20);
  constexpr auto kLongestPause = std::chrono::microseconds(1000);
  for (std::atomic<pid_t>& inside : inside_) {
    for (pid_t thread = 0; (thread = inside.load(std::memory_order_seq_cst)) != 0;) {
      if (!wake_thread(thread)) break;  // a fork's copy of an object that another thread of the parent was using
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, kLongestPause);
    }
  }
  return true;
}

}  // namespace crucible
