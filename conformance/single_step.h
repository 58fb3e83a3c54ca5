// A process that is stepped through a call, instruction by instruction, and killed at a chosen point of it.
#pragma once

#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>

#include "conformance/random.h"
#include "conformance/support/peer.h"

namespace crucible::testing {

/// Runs `call` in a child, behind what it does to `prepare`, and stops it before and after; lets it go `steps`
/// instructions far, or as far as the call is long, and kills it there. How far it came; nothing if this process may
/// not trace another.
template <class Call, class Prepare>
std::optional<std::size_t> step_and_kill(Call call, std::size_t steps, Prepare prepare) {
  Peer child([call, prepare] {
    prepare();
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) return;
    ::raise(SIGSTOP);
    call();
    ::raise(SIGSTOP);
  });
  siginfo_t seen = {};
  const auto pid = static_cast<id_t>(child.pid());
  if (::waitid(P_PID, pid, &seen, WEXITED | WSTOPPED | WNOWAIT) != 0 || seen.si_code != CLD_TRAPPED)
    return std::nullopt;
  const auto stopped_by = [&child] {
    int status = 0;
    EXPECT_EQ(::waitpid(child.pid(), &status, 0), child.pid());
    return WIFSTOPPED(status) ? WSTOPSIG(status) : -1;
  };
  EXPECT_EQ(stopped_by(), SIGSTOP);
  std::size_t done = 0;
  for (int signal = SIGTRAP; done < steps && signal != SIGSTOP; ++done) {
    if (::ptrace(PTRACE_SINGLESTEP, child.pid(), nullptr, nullptr) != 0) break;
    signal = stopped_by();
  }
  child.kill();
  child.join();
  return done;
}

/// `setup` before each kill, `call` in the victim, `check` afterwards; the points are spread over the whole call. What
/// the victim prepares in itself is not part of it.
template <class Setup, class Call, class Check, class Prepare>
void kill_everywhere(const char* what, Setup setup, Call call, Check check, Prepare prepare) {
  Random random;
  constexpr std::size_t kAll = 200'000;
  constexpr std::size_t kSteps = 400'000;  // a kill takes half a call of them, and a long call has more of the same
  setup();
  const std::optional<std::size_t> length = step_and_kill(call, kAll, prepare);
  if (!length) GTEST_SKIP() << "this process may not trace another";
  check();
  const std::size_t kills = std::clamp<std::size_t>(kSteps / (*length + 1), 10, 150);
  for (std::size_t kill = 0; kill < kills && !::testing::Test::HasFailure(); ++kill) {
    const std::size_t point = *length * kill / kills + random.between(0, *length / kills);
    SCOPED_TRACE("killed after instruction " + std::to_string(point) + " of " + std::to_string(*length));
    setup();
    (void)step_and_kill(call, point, prepare);
    check();
  }
  std::printf("[  kills   ] %s: survived %zu / %zu single steps of %zu\n", what, kills, kills, *length);
}

template <class Setup, class Call, class Check>
void kill_everywhere(const char* what, Setup setup, Call call, Check check) {
  kill_everywhere(what, setup, call, check, [] {});
}

}  // namespace crucible::testing
