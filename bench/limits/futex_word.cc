#include "limits/futex_word.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <stdexcept>

#include "api/status.h"

namespace crucible::bench {
namespace {

std::array<std::atomic<FutexWord*>, 16> alarms;

void on_child(int /*signal*/, siginfo_t* info, void* /*context*/) {
  if (info->si_code == CLD_EXITED && info->si_status == 0) return;
  const int before = errno;
  for (const auto& slot : alarms) {
    FutexWord* const word = slot.load();
    if (word == nullptr) continue;
    word->store(Alarm::kNobody);
    futex_wake(*word);
  }
  errno = before;
}

}  // namespace

Alarm::Alarm(FutexWord& word) {
  struct sigaction action = {};
  action.sa_sigaction = on_child;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP;
  if (sigaction(SIGCHLD, &action, nullptr) != 0) throw_errno("sigaction");
  for (auto& slot : alarms) {
    FutexWord* vacant = nullptr;
    slot_ = &slot;
    if (slot.compare_exchange_strong(vacant, &word)) return;
  }
  throw std::length_error("too many bare loops at a time");
}

Alarm::~Alarm() { *slot_ = nullptr; }

}  // namespace crucible::bench
