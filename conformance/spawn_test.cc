// The life of a spawned child: clauses of Process that hold for every start method, in the order of SPEC.md.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/object.h"
#include "conformance/spawn_support.h"
#include "conformance/support/capture.h"
#include "conformance/support/children.h"
#include "conformance/support/events.h"
#include "core/process.h"
#include "core/wait.h"

namespace crucible::testing {
namespace {

using std::chrono::milliseconds;
using Nested = std::vector<std::vector<std::string>>;

Nested nested() { return {{"a", ""}, {}, {std::string(100'000, 'x')}}; }

int compare(int number, const std::string& word, Nested lists, std::unique_ptr<int> owned, std::string literal,
            std::optional<double> nothing, const Object& object, std::string& reference) {
  const bool equal = number == -42 && word == "text with a \0 inside" && lists == nested() && *owned == 7 &&
                     literal == "literal" && !nothing && object == Object::list(42, nullptr, "hello") &&
                     reference == "owned";
  return equal ? 0 : 1;
}
const Function comparing{"compare", &compare};
const Function nothing{"nothing", +[] {}};
const Function no{"no", +[] { return false; }};
const Function yes{"yes", +[] { return true; }};
const Function giving{"giving", +[](int code) { return code; }};
const Function exiting{"exiting", +[](int code) { std::exit(code); }};
const Function leaving{"leaving", +[](int code) { ::_exit(code); }};
const Function sleeping{"sleeping", +[] { sleep_forever(); }};
const Function waiting{"waiting", +[](const Fd& wire) { (void)hear(wire); }};
const Function answering{"answering", +[](const Fd& wire, const std::string& text) { say(wire, text); }};

TEST_F(Spawn, X3_ArgumentsArriveEqual) {
  std::string text = "text with a \0 inside";
  Child child(comparing, -42, text, nested(), std::make_unique<int>(7), "literal", std::nullopt,
              Object::list(42, nullptr, "hello"), std::make_unique<std::string>("owned"));
  text = "changed before start, hence not seen";
  start_spawned(child);
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_F(Spawn, X3_MegabytesOfArgumentsArrive) {
  auto [here, there] = make_wire();
  static constexpr std::size_t kLong = std::size_t{5} << 20U;
  Child child(answering, std::move(there), std::string(4'000, 'y'));
  start_spawned(child);
  EXPECT_EQ(hear(here), std::string(4'000, 'y'));
  child.join();
  Child large(comparing, 0, std::string(kLong, 'z'), nested(), nullptr, "", std::nullopt, Object(),
              std::make_unique<std::string>());
  start_spawned(large);
  large.join();
  EXPECT_EQ(large.exit_code(), 1);
}

const Function describing{"describing", +[](const Fd& wire, const Bytes& key) {
                            const CurrentProcess& self = current_process();
                            say(wire, std::to_string(::getpid()) + " " + self.name + " " + (self.daemon ? "d" : "n") +
                                          (self.authkey == key ? " same key" : " other key"));
                            (void)hear(wire);
                          }};

TEST_F(Spawn, X4_RunningChildIsWhatItsParentSees) {
  const Bytes key(40, std::byte{3});
  auto [here, there] = make_wire();
  Child child(describing, std::move(there), key);
  child.set_name("a name of its own");
  child.set_authkey(key);
  start_spawned(child);
  EXPECT_EQ(hear(here), std::to_string(*child.pid()) + " a name of its own n same key");
  EXPECT_TRUE(child.is_alive());
  EXPECT_EQ(child.exit_code(), std::nullopt);
  EXPECT_EQ(active_children(), std::vector<Child*>{&child});
  here.reset();
  child.join();
}

TEST_F(Spawn, X5_ReturningEndsWithZero) {
  Child child(nothing);
  start_spawned(child);
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
  EXPECT_FALSE(child.is_alive());
  EXPECT_TRUE(active_children().empty());
  EXPECT_TRUE(child.pid().has_value());
}

const Function throwing{"throwing", +[](const Fd& errors, const std::string& message) {
                          ::dup2(errors.get(), STDERR_FILENO);
                          if (message.empty()) throw 17;  // NOLINT(hicpp-exception-baseclass)
                          throw std::out_of_range(message);
                        }};

TEST_F(Spawn, X6_UncaughtExceptionIsPrintedWholeAndEndsWithOne) {
  for (const std::string& message : {"begin " + std::string(20'000, 'm') + " end", std::string()}) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const Fd reader(ends[0]);
    Child child(throwing, Fd(ends[1]), message);
    child.set_name("the unlucky one");
    start_spawned(child);
    std::string text;
    std::array<char, 4096> part = {};
    for (ssize_t length = 0; (length = ::read(reader.get(), part.data(), part.size())) > 0;) {
      text.append(part.data(), static_cast<std::size_t>(length));
    }
    child.join();
    EXPECT_EQ(child.exit_code(), 1);
    EXPECT_LT(text.find("the unlucky one"), text.size());
    EXPECT_NE(text.find(message), std::string::npos);
    EXPECT_NE(text.find(message.empty() ? "int" : "std::out_of_range"), std::string::npos);
  }
}

TEST_F(Spawn, X7_ExitCodeIsTheResultOrTheArgumentOfExitModulo256) {
  EXPECT_EQ(code_of_spawned(nothing), 0);
  EXPECT_EQ(code_of_spawned(no), 0);
  EXPECT_EQ(code_of_spawned(yes), 1);
  EXPECT_EQ(code_of_spawned(giving, 8), 8);
  EXPECT_EQ(code_of_spawned(giving, -1), 255);
  EXPECT_EQ(code_of_spawned(giving, 256), 0);
  EXPECT_EQ(code_of_spawned(exiting, 257), 1);
  EXPECT_EQ(code_of_spawned(exiting, -300), 212);
  EXPECT_EQ(code_of_spawned(leaving, 7), 7);
}

TEST_F(Spawn, X8_TerminateAndKillShowAsMinusTheirSignal) {
  Child terminated(sleeping);
  Child killed(sleeping);
  start_spawned(terminated);
  start_spawned(killed);
  terminated.terminate();
  killed.kill();
  terminated.join();
  killed.join();
  EXPECT_EQ(terminated.exit_code(), -SIGTERM);
  EXPECT_EQ(killed.exit_code(), -SIGKILL);
}

const Function dying{"dying", +[](int signal) {
                       const rlimit no_core = {.rlim_cur = 0, .rlim_max = 0};
                       ::setrlimit(RLIMIT_CORE, &no_core);
                       std::signal(signal, SIG_DFL);
                       std::raise(signal);
                     }};

TEST_F(Spawn, X8_TerminatedBySignalN) {
  for (const int signal : {SIGABRT, SIGSEGV, SIGHUP, SIGUSR1}) EXPECT_EQ(code_of_spawned(dying, signal), -signal);
}

const Function deciding{"deciding", +[](const Fd& wire) {
                          static volatile std::sig_atomic_t interrupted = 0;
                          sigset_t interrupts;
                          sigset_t before;
                          sigemptyset(&interrupts);
                          sigaddset(&interrupts, SIGINT);
                          sigprocmask(SIG_BLOCK, &interrupts, &before);
                          std::signal(SIGINT, [](int) { interrupted = 1; });
                          say(wire, "ready");
                          while (interrupted == 0) sigsuspend(&before);
                          return 33;
                        }};

TEST_F(Spawn, X9_InterruptEndsAChildThatDoesNotHandleIt) {
  Child child(sleeping);
  start_spawned(child);
  child.interrupt();
  child.join();
  EXPECT_EQ(child.exit_code(), -SIGINT);
  auto [here, there] = make_wire();
  Child handling(deciding, std::move(there));
  start_spawned(handling);
  EXPECT_EQ(hear(here), "ready");
  handling.interrupt();
  handling.join();
  EXPECT_EQ(handling.exit_code(), 33);
}

TEST_F(Spawn, X10_JoinWithATimeoutLeavesARunningChildAlone) {
  Child child(sleeping);
  start_spawned(child);
  EXPECT_FALSE(child.join_for(milliseconds(0)));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(child.join_for(milliseconds(30)));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(30));
  child.kill();
  EXPECT_TRUE(child.join_for(std::chrono::hours(1)));
}

TEST_F(Spawn, X11_StartedAgainRefuses) {
  Child child(giving, 5);
  start_spawned(child);
  EXPECT_THROW(child.start(), StateError);
  child.join();
  child.join();
  EXPECT_THROW(child.start(), StateError);
  EXPECT_EQ(child.exit_code(), 5);
}

TEST_F(Spawn, X13_ClosingWaitsForTheEndAndThenAnswersNothing) {
  Child child(sleeping);
  start_spawned(child);
  EXPECT_THROW(child.close(), StateError);
  child.kill();
  child.join();
  child.close();
  EXPECT_NO_THROW(child.close());
  EXPECT_THROW((void)child.is_alive(), Closed);
  EXPECT_THROW((void)child.exit_code(), Closed);
  EXPECT_THROW((void)child.sentinel(), Closed);
  EXPECT_THROW(child.start(), Closed);
}

TEST_F(Spawn, X14_SentinelIsReadyFromTheEndOn) {
  auto [here, there] = make_wire();
  Child child(waiting, std::move(there));
  start_spawned(child);
  EXPECT_TRUE(wait({child.sentinel()}, Deadline::immediate()).empty());
  EXPECT_TRUE(wait({child}, Deadline::immediate()).empty());
  here.reset();
  EXPECT_EQ(wait({child.sentinel()}), std::vector<std::size_t>{0});
  EXPECT_EQ(wait({child}), std::vector<std::size_t>{0});
  child.join();
  EXPECT_EQ(wait({child.sentinel(), child}, Deadline::immediate()), (std::vector<std::size_t>{0, 1}));
}

TEST_F(Spawn, X16_FiveChildrenEndWithZeroAndFiveSleepersAreTerminated) {
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < 5; ++i) children.push_back(std::make_unique<Child>(nothing));
  for (int i = 0; i < 5; ++i) children.push_back(std::make_unique<Child>(sleeping));
  for (const auto& child : children) start_spawned(*child);
  for (std::size_t i = 5; i < 10; ++i) children[i]->terminate();
  for (std::size_t i = 0; i < 10; ++i) {
    children[i]->join();
    EXPECT_EQ(children[i]->exit_code(), i < 5 ? 0 : -SIGTERM);
  }
}

}  // namespace
}  // namespace crucible::testing
