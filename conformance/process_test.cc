// The life of one child: X1 to X15 of SPEC.md.
#include "core/process.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "conformance/process_fixture.h"
#include "conformance/support/capture.h"
#include "conformance/support/children.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/wait.h"

namespace crucible::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

bool is_active(const Child& child) {
  const std::vector<Child*> active = active_children();
  return std::ranges::find(active, &child) != active.end();
}

int code_of(std::function<int()> body) {
  Child child(std::move(body));
  child.start();
  child.join();
  return child.exit_code().value();
}

// As the kernel has it for a new program, whatever a sanitizer or this test installed; and without a core file.
void die_of(int signal) {
  const rlimit no_core = {.rlim_cur = 0, .rlim_max = 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

TEST_F(Process, X1_UnstartedHasNoTraceAndMayBeClosed) {
  Child child([] { return 0; });
  EXPECT_FALSE(child.is_alive());
  EXPECT_EQ(child.pid(), std::nullopt);
  EXPECT_EQ(child.exit_code(), std::nullopt);
  EXPECT_FALSE(is_active(child));
  EXPECT_NO_THROW(child.close());
}

TEST_F(Process, X2_UnstartedCannotBeJoinedNorWatchedNorSignalled) {
  Child child([] { return 0; });
  EXPECT_THROW((void)child.sentinel(), StateError);
  EXPECT_THROW(child.join(), StateError);
  EXPECT_THROW((void)child.join_for(milliseconds(0)), StateError);
  EXPECT_THROW((void)wait({child}), StateError);
  EXPECT_THROW(child.terminate(), StateError);
  EXPECT_THROW(child.kill(), StateError);
  EXPECT_THROW(child.interrupt(), StateError);
}

TEST_F(Process, X3_ArgumentsArriveEqual) {
  using Nested = std::vector<std::vector<std::string>>;
  std::string text = "text with a \0 inside";
  const Nested nested = {{"a", ""}, {}, {std::string(100'000, 'x')}};
  Child child(
      [](int number, const std::string& word, const Nested& lists, std::unique_ptr<int> owned, const char* literal) {
        const Nested expected = {{"a", ""}, {}, {std::string(100'000, 'x')}};
        const bool equal = number == -42 && word == "text with a \0 inside" && lists == expected && *owned == 7 &&
                           std::string(literal) == "literal";
        return equal ? 0 : 1;
      },
      -42, text, nested, std::make_unique<int>(7), "literal");
  text = "changed before start, hence not seen";
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_F(Process, X4_RunningChildIsWhatItsParentSees) {
  struct Report {
    std::atomic<pid_t> pid;
    std::atomic<bool> same_name;
    std::atomic<bool> same_key;
  };
  const SharedBox<Report> report;
  const Bytes key(40, std::byte{3});
  Event reported;
  Event may_end;
  Child child([&] {
    report->pid = ::getpid();
    report->same_name = current_process().name == "a name of its own";
    report->same_key = current_process().authkey == key;
    reported.set();
    may_end.wait();
  });
  child.set_name("a name of its own");
  child.set_authkey(key);
  child.start();
  reported.wait();
  EXPECT_TRUE(child.is_alive());
  EXPECT_EQ(child.exit_code(), std::nullopt);
  EXPECT_TRUE(is_active(child));
  EXPECT_EQ(child.pid(), report->pid.load());
  EXPECT_EQ(child.name(), "a name of its own");
  EXPECT_TRUE(report->same_name);
  EXPECT_EQ(child.authkey(), key);
  EXPECT_TRUE(report->same_key);
  may_end.set();
  child.join();
}

TEST_F(Process, X5_ReturningEndsWithZero) {
  Child child([] {});
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
  EXPECT_FALSE(child.is_alive());
  EXPECT_FALSE(is_active(child));
  EXPECT_TRUE(child.pid().has_value());
}

TEST_F(Process, X6_UncaughtExceptionIsPrintedWholeAndEndsWithOne) {
  const std::string message = "begin " + std::string(20'000, 'm') + " end";
  Capture capture;
  Child child([&] {
    capture.replace(STDERR_FILENO);
    throw std::out_of_range(message);
  });
  child.set_name("the unlucky one");
  child.start();
  child.join();
  const std::string text = capture.text();
  EXPECT_EQ(child.exit_code(), 1);
  EXPECT_NE(text.find("the unlucky one"), std::string::npos);
  EXPECT_NE(text.find("std::out_of_range"), std::string::npos);
  EXPECT_NE(text.find(message), std::string::npos);
  EXPECT_LT(text.find("the unlucky one"), text.find(message));
}

TEST_F(Process, X6_ThrownThingsThatAreNoExceptionsEndWithOneToo) {
  Capture capture;
  Child child([&] {
    capture.replace(STDERR_FILENO);
    throw 17;  // NOLINT(hicpp-exception-baseclass)
  });
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 1);
  EXPECT_NE(capture.text().find(child.name()), std::string::npos);
}

TEST_F(Process, X7_ExitCodeIsTheResultModulo256) {
  EXPECT_EQ(code_of([] { return 0; }), 0);
  EXPECT_EQ(code_of([] { return 8; }), 8);
  EXPECT_EQ(code_of([] { return -1; }), 255);
  EXPECT_EQ(code_of([] { return 256; }), 0);
  EXPECT_EQ(code_of([] { return 257; }), 1);
  EXPECT_EQ(code_of([] { return -300; }), 212);
}

TEST_F(Process, X7_ExitEndsWithItsArgumentModulo256) {
  EXPECT_EQ(code_of([]() -> int { std::exit(0); }), 0);
  EXPECT_EQ(code_of([]() -> int { std::exit(8); }), 8);
  EXPECT_EQ(code_of([]() -> int { std::exit(-1); }), 255);
  EXPECT_EQ(code_of([]() -> int { std::exit(256); }), 0);
  EXPECT_EQ(code_of([]() -> int { std::exit(257); }), 1);
  EXPECT_EQ(code_of([]() -> int { ::_exit(7); }), 7);
}

TEST_F(Process, X7_TargetsMayReturnNothingOrABool) {
  Child nothing([] {});
  Child no([] { return false; });
  Child yes([] { return true; });
  for (Child* child : {&nothing, &no, &yes}) child->start();
  for (Child* child : {&nothing, &no, &yes}) child->join();
  EXPECT_EQ(nothing.exit_code(), 0);
  EXPECT_EQ(no.exit_code(), 0);
  EXPECT_EQ(yes.exit_code(), 1);
}

TEST_F(Process, X8_TerminateAndKillShowAsMinusTheirSignal) {
  Child terminated(sleep_forever);
  Child killed(sleep_forever);
  terminated.start();
  killed.start();
  terminated.terminate();
  killed.kill();
  terminated.join();
  killed.join();
  EXPECT_EQ(terminated.exit_code(), -SIGTERM);
  EXPECT_EQ(killed.exit_code(), -SIGKILL);
}

TEST_F(Process, X8_TerminatedBySignalN) {
  for (const int signal : {SIGABRT, SIGSEGV, SIGHUP, SIGUSR1, SIGFPE, SIGPIPE}) {
    Child child(die_of, signal);
    child.start();
    child.join();
    EXPECT_EQ(child.exit_code(), -signal) << signal;
    EXPECT_FALSE(child.is_alive());
  }
}

TEST_F(Process, X9_InterruptEndsAChildThatDoesNotHandleIt) {
  Child child(sleep_forever);
  child.start();
  child.interrupt();
  child.join();
  EXPECT_EQ(child.exit_code(), -SIGINT);
}

TEST_F(Process, X9_ChildThatHandlesInterruptsDecidesItself) {
  static volatile std::sig_atomic_t interrupted = 0;
  Event ready;
  Child child([&] {
    sigset_t interrupts;
    sigset_t before;
    sigemptyset(&interrupts);
    sigaddset(&interrupts, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupts, &before);
    std::signal(SIGINT, [](int) { interrupted = 1; });
    ready.set();
    while (interrupted == 0) sigsuspend(&before);
    return 33;
  });
  child.start();
  ready.wait();
  child.interrupt();
  child.join();
  EXPECT_EQ(child.exit_code(), 33);
}

TEST_F(Process, X10_JoinWithATimeoutLeavesARunningChildAlone) {
  Child child(sleep_forever);
  child.start();
  EXPECT_FALSE(child.join_for(milliseconds(0)));
  EXPECT_FALSE(child.join_for(milliseconds(-1)));
  EXPECT_TRUE(child.is_alive());
  const auto begin = steady_clock::now();
  EXPECT_FALSE(child.join_for(milliseconds(60)));
  EXPECT_GE(steady_clock::now() - begin, milliseconds(60));
  EXPECT_EQ(child.exit_code(), std::nullopt);
  child.kill();
  child.join();
}

TEST_F(Process, X10_JoinWithATimeoutSeesTheEnd) {
  Event may_end;
  Child child([&] { may_end.wait(); });
  child.start();
  may_end.set();
  EXPECT_TRUE(child.join_for(std::chrono::hours(1)));
  EXPECT_TRUE(child.join_for(milliseconds(0)));
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_F(ProcessTiming, X10_JoinThatMayNotWaitReturnsAtOnce) {
  Child child(sleep_forever);
  child.start();
  const auto begin = steady_clock::now();
  EXPECT_FALSE(child.join_for(milliseconds(0)));
  EXPECT_FALSE(child.join_for(milliseconds(-1)));
  EXPECT_LT(steady_clock::now() - begin, milliseconds(400));
  child.kill();
  child.join();
}

TEST_F(Process, X11_JoinedAgainReturnsAndStartedAgainRefuses) {
  Child child([] { return 5; });
  child.start();
  EXPECT_THROW(child.start(), StateError);
  child.join();
  child.join();
  child.join();
  EXPECT_THROW(child.start(), StateError);
  EXPECT_EQ(child.exit_code(), 5);
}

TEST_F(Process, X12_SignalsToAnEndedChildHaveNoEffect) {
  Child joined([] { return 6; });
  Child unjoined([] { return 7; });
  joined.start();
  unjoined.start();
  joined.join();
  await_zombie(unjoined.pid().value());
  for (Child* child : {&joined, &unjoined}) {
    EXPECT_NO_THROW(child->terminate());
    EXPECT_NO_THROW(child->kill());
    EXPECT_NO_THROW(child->interrupt());
  }
  EXPECT_EQ(joined.exit_code(), 6);
  EXPECT_EQ(unjoined.exit_code(), 7);
}

TEST_F(Process, X13_RunningChildCannotBeClosed) {
  Child child(sleep_forever);
  child.start();
  EXPECT_THROW(child.close(), StateError);
  EXPECT_TRUE(child.is_alive());
  child.kill();
  child.join();
  EXPECT_NO_THROW(child.close());
}

TEST_F(Process, X13_ClosedAnswersNothingButItsSettings) {
  Child child([] {});
  child.set_name("closed soon");
  child.start();
  child.join();
  child.close();
  EXPECT_NO_THROW(child.close());
  EXPECT_THROW((void)child.is_alive(), Closed);
  EXPECT_THROW(child.join(), Closed);
  EXPECT_THROW((void)child.join_for(milliseconds(0)), Closed);
  EXPECT_THROW(child.terminate(), Closed);
  EXPECT_THROW(child.kill(), Closed);
  EXPECT_THROW(child.interrupt(), Closed);
  EXPECT_THROW((void)child.exit_code(), Closed);
  EXPECT_THROW((void)child.pid(), Closed);
  EXPECT_THROW((void)child.sentinel(), Closed);
  EXPECT_THROW((void)wait({child}), Closed);
  EXPECT_EQ(child.name(), "closed soon");
  EXPECT_FALSE(child.daemon());
  EXPECT_EQ(child.authkey(), current_process().authkey);
}

TEST_F(Process, X14_SentinelIsReadyFromTheEndOn) {
  Event may_end;
  Child child([&] { may_end.wait(); });
  child.start();
  EXPECT_TRUE(wait({child.sentinel()}, Deadline::immediate()).empty());
  EXPECT_TRUE(wait({child}, Deadline::immediate()).empty());
  may_end.set();
  EXPECT_EQ(wait({child.sentinel()}), std::vector<std::size_t>{0});
  EXPECT_EQ(wait({child.sentinel()}, Deadline::immediate()), std::vector<std::size_t>{0});
  EXPECT_EQ(wait({child}, Deadline::immediate()), std::vector<std::size_t>{0});
  child.join();
  EXPECT_EQ(wait({child.sentinel()}, Deadline::immediate()), std::vector<std::size_t>{0});
  EXPECT_EQ(wait({child}, Deadline::immediate()), std::vector<std::size_t>{0});
}

TEST_F(ProcessTiming, X14_SentinelIsReadyWithinASecond) {
  SharedBox<std::atomic<std::int64_t>> ended_ns(0);
  Child child([&] { *ended_ns = Deadline::now_ns(); });
  child.start();
  EXPECT_EQ(wait({child.sentinel()}), std::vector<std::size_t>{0});
  EXPECT_LT(Deadline::now_ns() - *ended_ns, 1'000'000'000);
  child.join();
}

TEST_F(Process, X15_EndedChildIsAZombieUntilSomebodyLooks) {
  const std::array<std::function<void(Child&)>, 5> looks = {
      [](Child&) { (void)active_children(); }, [](Child& child) { EXPECT_FALSE(child.is_alive()); },
      [](Child& child) { child.join(); }, [](Child& child) { EXPECT_EQ(child.exit_code(), 9); },
      [](Child&) {
        Child next([] {});
        next.start();
      }};
  for (std::size_t i = 0; i < looks.size(); ++i) {
    Child child([] { return 9; });
    child.start();
    const pid_t pid = child.pid().value();
    await_zombie(pid);
    EXPECT_TRUE(is_zombie(pid)) << i;
    looks.at(i)(child);
    EXPECT_TRUE(is_forgotten(pid)) << i;
    EXPECT_EQ(child.exit_code(), 9) << i;
  }
}

}  // namespace
}  // namespace crucible::testing
