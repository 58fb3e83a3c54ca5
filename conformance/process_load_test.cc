// Processes in adverse surroundings: X40 to X43 of SPEC.md.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "api/status.h"
#include "conformance/process_fixture.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"
#include "core/lifeline.h"
#include "core/process.h"
#include "core/wait.h"

namespace crucible::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A 1 kHz signal whose handler was installed without SA_RESTART, directed at the calling thread's process.
class SignalStorm {
 public:
  SignalStorm() {
    struct sigaction action = {};
    action.sa_handler = [](int) { ++count_; };
    ::sigaction(SIGALRM, &action, &before_);
    const itimerval millisecond = {.it_interval = {.tv_sec = 0, .tv_usec = 1000},
                                   .it_value = {.tv_sec = 0, .tv_usec = 1000}};
    ::setitimer(ITIMER_REAL, &millisecond, nullptr);
  }
  SignalStorm(const SignalStorm&) = delete;
  SignalStorm& operator=(const SignalStorm&) = delete;
  ~SignalStorm() {
    const itimerval off = {};
    ::setitimer(ITIMER_REAL, &off, nullptr);
    ::sigaction(SIGALRM, &before_, nullptr);
  }
  static int count() { return count_; }

 private:
  static inline std::atomic<int> count_ = 0;
  struct sigaction before_ = {};
};

TEST_F(Process, X40_SignalStormShowsInNoCall) {
  const SignalStorm storm;
  Event may_end;
  Child child([&] { may_end.wait(); });
  child.start();
  auto begin = steady_clock::now();
  EXPECT_FALSE(child.join_for(milliseconds(50)));
  EXPECT_GE(steady_clock::now() - begin, milliseconds(50));
  begin = steady_clock::now();
  EXPECT_TRUE(wait({child.sentinel()}, Deadline::after(milliseconds(50))).empty());
  EXPECT_GE(steady_clock::now() - begin, milliseconds(50));
  begin = steady_clock::now();
  EXPECT_TRUE(wait(std::span<const WaitItem>(), Deadline::after(milliseconds(50))).empty());
  EXPECT_GE(steady_clock::now() - begin, milliseconds(50));
  begin = steady_clock::now();
  const auto [here, there] = Lifeline::pair();
  EXPECT_FALSE(here.severed_by(Deadline::after(milliseconds(50))));
  EXPECT_GE(steady_clock::now() - begin, milliseconds(50));
  std::thread ender([&, before = SignalStorm::count()] {
    while (SignalStorm::count() < before + 20) std::this_thread::yield();
    may_end.set();
  });
  EXPECT_EQ(wait({child}), std::vector<std::size_t>{0});
  ender.join();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
  EXPECT_GT(SignalStorm::count(), 100);
}

TEST_F(Process, X41_StartWithoutDescriptorsFailsCleanlyOrWorks) {
  Peer poor([] {
    const int next = ::dup(STDIN_FILENO);
    ASSERT_GE(next, 0);
    ::close(next);
    rlimit usual = {};
    ::getrlimit(RLIMIT_NOFILE, &usual);
    // A sanitizer opens a pipe to check the first object of a type.
    EXPECT_THROW(throw_errno("as a start"), std::system_error);
    int failures = 0;
    for (int attempt = 0; attempt < 100; ++attempt) {
      const int spare = attempt % 5;
      SharedBox<std::atomic<int>> runs(0);
      Child child([&] { ++*runs; });
      const std::size_t before = proc::list_directory("/proc/self/fd").size();
      const rlimit tight = {.rlim_cur = static_cast<rlim_t>(next + spare), .rlim_max = usual.rlim_max};
      ::setrlimit(RLIMIT_NOFILE, &tight);
      std::exception_ptr refusal;
      try {
        child.start();
      } catch (...) {
        refusal = std::current_exception();
      }
      ::setrlimit(RLIMIT_NOFILE, &usual);
      if (refusal) {
        ++failures;
        EXPECT_THROW(std::rethrow_exception(refusal), std::system_error) << spare;
        EXPECT_EQ(proc::list_directory("/proc/self/fd").size(), before) << spare;
        EXPECT_EQ(child.pid(), std::nullopt) << spare;
        EXPECT_FALSE(child.is_alive()) << spare;
        EXPECT_TRUE(active_children().empty()) << spare;
        child.start();
      }
      child.join();
      EXPECT_EQ(child.exit_code(), 0) << spare;
      EXPECT_EQ(*runs, 1) << spare;
    }
    EXPECT_GT(failures, 0);
  });
  poor.join();
}

std::size_t resident_kilobytes() {
  const std::string status = proc::read_file("/proc/self/status");
  return std::stoul(status.substr(status.find("VmRSS:") + 6));
}

TEST_F(Process, X42_ThousandStartsCostNothingLasting) {
  constexpr std::size_t kSlackKilobytes = 1024;
  std::size_t half_way = 0;
  for (int i = 0; i < 1000; ++i) {
    Child child([] {});
    child.start();
    child.join();
    if (child.exit_code() != 0) ADD_FAILURE() << "child " << i;
    if (i == 500) half_way = resident_kilobytes();
  }
  EXPECT_LE(resident_kilobytes(), half_way + kSlackKilobytes);
}

TEST_F(Process, X43_ThreadsStartAndJoinAtTheSameTime) {
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&right, t] {
      for (int i = 0; i < 25; ++i) {
        Child child([t, i] { return t * 25 + i; });
        child.start();
        (void)active_children();
        child.join();
        if (child.exit_code() == t * 25 + i) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 100);
}

}  // namespace
}  // namespace crucible::testing
