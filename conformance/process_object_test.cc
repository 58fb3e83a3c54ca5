// What C++ adds to the contract of a process: X29 to X39 of SPEC.md.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "conformance/process_fixture.h"
#include "conformance/support/capture.h"
#include "conformance/support/children.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/lifeline.h"
#include "core/process.h"
#include "core/wait.h"

namespace crucible::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST_F(Process, X29_ArgumentsAreGivenAwayByStart) {
  auto given = std::make_shared<int>(11);
  const std::weak_ptr<int> watch = given;
  Child child([](const std::shared_ptr<int>& number) { return *number; }, std::move(given));
  EXPECT_FALSE(watch.expired());
  child.start();
  EXPECT_TRUE(watch.expired());
  child.join();
  EXPECT_EQ(child.exit_code(), 11);
}

TEST_F(Process, X29_OwnedArgumentFitsATargetThatTakesAReference) {
  Child child([](std::string& text) { return text == "owned" ? 0 : 1; }, std::make_unique<std::string>("owned"));
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

class Derived final : public crucible::Process {
 public:
  explicit Derived(int code) : code_(code) {}

 private:
  int run() override { return code_; }

  int code_;
};

TEST_F(Process, X30_OverriddenRunIsTheBody) {
  Derived child(300);
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 300 % 256);
}

TEST_F(Process, X30_WithoutTargetTheChildEndsWithZero) {
  Child child;
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_F(Process, X31_OnlyTheCreatorUsesAProcess) {
  static_assert(!std::is_copy_constructible_v<Child> && !std::is_move_constructible_v<Child>);
  Child unstarted([] {});
  Child running(sleep_forever);
  running.start();
  Peer stranger([&] {
    EXPECT_THROW(unstarted.start(), StateError);
    EXPECT_THROW(running.join(), StateError);
    EXPECT_THROW((void)running.is_alive(), StateError);
    EXPECT_THROW((void)running.exit_code(), StateError);
    EXPECT_THROW((void)running.pid(), StateError);
    EXPECT_THROW((void)running.sentinel(), StateError);
    EXPECT_THROW(running.terminate(), StateError);
    EXPECT_THROW(running.kill(), StateError);
    EXPECT_THROW(running.close(), StateError);
    EXPECT_TRUE(active_children().empty());
  });
  stranger.join();
  EXPECT_TRUE(running.is_alive());
  running.kill();
  running.join();
}

TEST_F(Process, X32_DestructorJoins) {
  SharedBox<std::atomic<bool>> done(false);
  Event may_end;
  pid_t pid = 0;
  {
    Child child([&, parent = ::getpid()] {
      may_end.wait();
      await_blocked(parent);
      *done = true;
    });
    child.start();
    pid = child.pid().value();
    may_end.set();
  }
  EXPECT_TRUE(*done);
  EXPECT_TRUE(is_forgotten(pid));
}

TEST_F(Process, X32_DestructorKillsADaemon) {
  pid_t pid = 0;
  {
    Child child(sleep_forever);
    child.set_daemon(true);
    child.start();
    pid = child.pid().value();
  }
  EXPECT_TRUE(is_forgotten(pid));
}

TEST_F(Process, X33_NamesFollowTheCreationPath) {
  Child outer([] {
    const Child first;
    const Child second;
    if (first.name() != current_process().name + ":1" || second.name() != current_process().name + ":2") return 1;
    Child inner([name = second.name()] { return Child().name() == current_process().name + ":1" ? 0 : 1; });
    inner.start();
    inner.join();
    return inner.exit_code().value();
  });
  const Child next;
  EXPECT_TRUE(outer.name().starts_with("Process-"));
  EXPECT_EQ(std::stoi(next.name().substr(8)), std::stoi(outer.name().substr(8)) + 1);
  EXPECT_EQ(current_process().name, "MainProcess");
  EXPECT_FALSE(current_process().daemon);
  outer.start();
  outer.join();
  EXPECT_EQ(outer.exit_code(), 0);
}

TEST_F(Process, X34_KeyIsRandomAndInherited) {
  const Bytes& key = current_process().authkey;
  EXPECT_EQ(key.size(), 32U);
  EXPECT_NE(key, Bytes(32));
  Child child([key] { return current_process().authkey == key && Child().authkey() == key ? 0 : 1; });
  EXPECT_EQ(child.authkey(), key);
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_F(Process, X35_BufferedOutputIsWrittenOnce) {
  Capture capture;
  Peer parent([&] {
    capture.replace(STDOUT_FILENO);
    std::setvbuf(stdout, nullptr, _IOFBF, 4096);
    std::printf("before;");
    Child returning([] { std::printf("returning;"); });
    returning.start();
    returning.join();
    Child exiting([] {
      std::printf("exiting;");
      std::exit(0);
    });
    exiting.start();
    exiting.join();
    std::printf("after;");
  });
  EXPECT_EQ(capture.text(), "before;returning;exiting;after;");
  parent.join();
}

TEST_F(Process, X36_StoppedChildIsAlive) {
  Child child(sleep_forever);
  child.start();
  const pid_t pid = child.pid().value();
  ::kill(pid, SIGSTOP);
  siginfo_t info = {};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED | WNOWAIT), 0);
  EXPECT_TRUE(child.is_alive());
  EXPECT_FALSE(child.join_for(milliseconds(20)));
  EXPECT_EQ(child.exit_code(), std::nullopt);
  EXPECT_TRUE(wait({child.sentinel()}, Deadline::immediate()).empty());
  ::kill(pid, SIGCONT);
  EXPECT_TRUE(child.is_alive());
  child.terminate();
  child.join();
  EXPECT_EQ(child.exit_code(), -SIGTERM);
}

TEST_F(Process, X37_MachineHasCpus) {
  EXPECT_GE(cpu_count(), 1U);
  EXPECT_EQ(cpu_count(), static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN)));
}

TEST_F(Process, X38_LifelineIsSeveredByWhateverDeath) {
  const std::vector<void (*)()> deaths = {[] {}, [] { ::_exit(3); }, [] { std::raise(SIGKILL); },
                                          [] {
                                            std::signal(SIGTERM, SIG_DFL);
                                            std::raise(SIGTERM);
                                          }};
  for (const auto death : deaths) {
    auto [here, there] = Lifeline::pair();
    Event may_die;
    Peer holder([&may_die, death, held = std::move(there)] {
      may_die.wait();
      death();
    });
    EXPECT_FALSE(here.severed());
    may_die.set();
    EXPECT_TRUE(here.severed_by(Deadline::never()));
    EXPECT_TRUE(here.severed());
    EXPECT_EQ(wait({here, here.descriptor()}), (std::vector<std::size_t>{0, 1}));
    (void)holder.wait_status();
  }
}

TEST_F(Process, X38_LifelineHoldsWhileOneCopyOfItsEndIsLeft) {
  auto [here, there] = Lifeline::pair();
  std::optional<Lifeline> mine(std::move(there));
  Event may_end;
  Peer holder([&] { may_end.wait(); });
  mine.reset();
  const auto begin = steady_clock::now();
  EXPECT_FALSE(here.severed_by(Deadline::after(milliseconds(30))));
  EXPECT_GE(steady_clock::now() - begin, milliseconds(30));
  EXPECT_TRUE(wait({here}, Deadline::immediate()).empty());
  may_end.set();
  EXPECT_TRUE(here.severed_by(Deadline::never()));
  holder.join();
}

TEST_F(Process, X39_WaitTakesProcessesSentinelsAndDescriptors) {
  Event may_end;
  Child waiting([&] { may_end.wait(); });
  Child ended([] {});
  waiting.start();
  ended.start();
  auto [here, there] = Lifeline::pair();
  EXPECT_EQ(wait({waiting, ended, waiting.sentinel(), here.descriptor()}), std::vector<std::size_t>{1});
  {
    const Lifeline gone = std::move(there);
  }
  EXPECT_EQ(wait({waiting, ended.sentinel(), here.descriptor()}, Deadline::immediate()),
            (std::vector<std::size_t>{1, 2}));
  EXPECT_THROW((void)wait({ended, ended}), BadArgument);
  EXPECT_THROW((void)wait({-1}), BadArgument);
  may_end.set();
  waiting.join();
  ended.join();
}

// Those that need not be asked of the kernel are no earlier in the answer.
TEST_F(Process, X39_PositionsAscend) {
  Child joined([] {});
  Child unjoined([] {});
  for (Child* child : {&joined, &unjoined}) child->start();
  joined.join();
  await_zombie(unjoined.pid().value());
  auto [here, there] = Lifeline::pair();
  {
    const Lifeline gone = std::move(there);
  }
  EXPECT_EQ(wait({unjoined, here.descriptor(), joined}), (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_EQ(wait({here.descriptor(), joined, unjoined.sentinel()}), (std::vector<std::size_t>{0, 1, 2}));
  unjoined.join();
}

}  // namespace
}  // namespace crucible::testing
