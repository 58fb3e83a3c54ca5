#include "support/system_calls.h"

#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/status.h"
#include "support/payload.h"

namespace crucible::bench {
namespace {

constexpr int kRounds = 5;
constexpr std::uint64_t kShort = 100;  // operations; what a block costs whatever its length is in both
constexpr std::uint64_t kLong = 1100;
constexpr int kMayNotBeTraced = 77;
constexpr long kMark = 0x43525543;  // an offset that nobody seeks in no file

void mark() { (void)syscall(SYS_lseek, -1, kMark, 0); }

[[noreturn]] void run_traced(const std::function<std::unique_ptr<Side>()>& make) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(kMayNotBeTraced);
  raise(SIGSTOP);
  int status = EXIT_SUCCESS;
  try {
    const auto side = make();
    (void)side->run(kLong);
    for (int round = 0; round < kRounds; ++round) {
      for (const std::uint64_t operations : {kShort, kLong}) {
        mark();
        (void)side->run(operations);
      }
    }
    mark();
  } catch (const VerificationError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    status = kVerificationStatus;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "traced benchmark: %s\n", error.what());
    status = EXIT_FAILURE;
  }
  _exit(status);
}

/// Lets a process and all that it starts go on from call to call until they have ended.
class Tracer {
 public:
  explicit Tracer(pid_t first) : first_(first) {
    int status = 0;
    if (waitpid(first, &status, 0) != first) throw_errno("waitpid");
    if (!WIFSTOPPED(status)) {
      ended_ = status;
      return;
    }
    constexpr long kOptions =
        PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SETOPTIONS, first, nullptr, kOptions) != 0) throw_errno("ptrace");
    known_.insert(first);
    go_on(first, 0);
    follow();
  }

  /// Calls between each two marks.
  const std::vector<double>& counts() const noexcept { return counts_; }
  int wait_status() const noexcept { return ended_; }

 private:
  void follow() {
    int status = 0;
    for (pid_t pid = waitpid(-1, &status, __WALL); pid > 0 || errno == EINTR; pid = waitpid(-1, &status, __WALL)) {
      if (pid < 0) continue;
      if (!WIFSTOPPED(status)) {
        if (pid == first_) ended_ = status;
        continue;
      }
      const bool fresh = known_.insert(pid).second;  // begins with a stop that is nobody's signal
      if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
        look_at_call(pid);
        go_on(pid, 0);
      } else {
        go_on(pid, fresh || status >> 16 != 0 ? 0 : WSTOPSIG(status));
      }
    }
  }

  void look_at_call(pid_t pid) {
    __ptrace_syscall_info call{};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof call, &call) <= 0) return;  // it was killed
    if (call.op != PTRACE_SYSCALL_INFO_ENTRY) return;
    if (call.entry.nr == SYS_lseek && call.entry.args[1] == kMark) {
      if (begun_) counts_.push_back(count_);
      begun_ = true;
      count_ = 0;
    } else {
      ++count_;
    }
  }

  // Of a process that was killed meanwhile the end is seen next.
  static void go_on(pid_t pid, int signal) noexcept { ptrace(PTRACE_SYSCALL, pid, nullptr, static_cast<long>(signal)); }

  pid_t first_;
  int ended_ = 0;
  bool begun_ = false;
  double count_ = 0;
  std::set<pid_t> known_;
  std::vector<double> counts_;
};

void check_end(int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kMayNotBeTraced) {
    throw UnsupportedCell("a process may not trace its own children here");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == kVerificationStatus) {
    throw VerificationError("verification failed in a traced process");
  }
  throw std::runtime_error("the traced process ended with wait status " + std::to_string(status));
}

}  // namespace

Json count_system_calls(const std::function<std::unique_ptr<Side>()>& make, double messages_per_operation) {
  const pid_t traced = fork();
  if (traced < 0) throw_errno("fork");
  if (traced == 0) run_traced(make);
  const Tracer tracer(traced);
  check_end(tracer.wait_status());
  std::vector<double> per_message;
  for (std::size_t i = 0; i + 1 < tracer.counts().size(); i += 2) {
    const double calls = tracer.counts()[i + 1] - tracer.counts()[i];
    per_message.push_back(calls / (static_cast<double>(kLong - kShort) * messages_per_operation));
  }
  if (per_message.size() != kRounds) throw std::runtime_error("the traced process did not do all its blocks");
  // A call of the waiting for the next block may fall to either side of a mark, and none is less than nothing.
  const double calls = std::max(0.0, median(per_message));
  return {{"metrics", {{"system_calls_per_message", calls}, {"samples", kRounds * (kShort + kLong)}}},
          {"fairness", {{"counted_by", "ptrace"}, {"processes", "both"}}}};
}

}  // namespace crucible::bench
