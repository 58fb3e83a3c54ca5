// Parents, children and what passes between them: X16 to X19 and X22 to X27 of SPEC.md.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/mechanism.h"
#include "conformance/process_fixture.h"
#include "conformance/support/children.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"
#include "core/process.h"
#include "core/wait.h"

namespace crucible::testing {
namespace {

using std::chrono::milliseconds;

TEST_F(Process, X16_HundredChildrenEndWithZero) {
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < 100; ++i) children.push_back(std::make_unique<Child>([] {}));
  for (const auto& child : children) child->start();
  for (const auto& child : children) child->join();
  for (const auto& child : children) EXPECT_EQ(child->exit_code(), 0);
  EXPECT_TRUE(active_children().empty());
}

TEST_F(Process, X16_HundredSleepersAreTerminated) {
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < 100; ++i) children.push_back(std::make_unique<Child>(sleep_forever));
  for (const auto& child : children) child->start();
  EXPECT_EQ(active_children().size(), 100U);
  for (const auto& child : children) child->terminate();
  for (const auto& child : children) child->join();
  for (const auto& child : children) EXPECT_EQ(child->exit_code(), -SIGTERM);
}

TEST_F(Process, X17_ChildrenOfChildrenReportInPreOrder) {
  struct Reports {
    std::atomic<std::size_t> count;
    std::array<std::atomic<int>, 16> path;
  };
  const SharedBox<Reports> reports;
  std::function<void(int, int)> visit = [&](int path, int depth) {
    reports->path.at(reports->count++) = path;
    for (int i = 1; i <= 2 && depth < 2; ++i) {
      Child child(visit, path * 10 + i, depth + 1);
      child.start();
      child.join();
    }
  };
  Child root(visit, 1, 0);
  root.start();
  root.join();
  const std::vector<int> seen(reports->path.begin(), reports->path.begin() + 7);
  EXPECT_EQ(reports->count, 7U);
  EXPECT_EQ(seen, (std::vector<int>{1, 11, 111, 112, 12, 121, 122}));
}

TEST_F(Process, X18_DaemonFlagIsTheCreatorsUnlessSetBeforeStart) {
  Child plain([] { return Child().daemon() ? 1 : 0; });
  Child daemon([] { return Child().daemon() ? 1 : 0; });
  daemon.set_daemon(true);
  EXPECT_FALSE(plain.daemon());
  EXPECT_TRUE(daemon.daemon());
  for (Child* child : {&plain, &daemon}) child->start();
  for (Child* child : {&plain, &daemon}) child->join();
  EXPECT_EQ(plain.exit_code(), 0);
  EXPECT_EQ(daemon.exit_code(), 1);
}

TEST_F(Process, X18_SettingsAreFixedByStart) {
  Child child([] {});
  child.start();
  EXPECT_THROW(child.set_daemon(true), StateError);
  EXPECT_THROW(child.set_name("late"), StateError);
  EXPECT_THROW(child.set_authkey(Bytes(32)), StateError);
  child.join();
  EXPECT_THROW(child.set_daemon(true), StateError);
  EXPECT_FALSE(child.daemon());
}

TEST_F(Process, X19_DaemonMayNotHaveChildren) {
  SharedBox<std::atomic<bool>> grandchild_ran(false);
  Child daemon([&] {
    Child grandchild([&] { *grandchild_ran = true; });
    grandchild.set_daemon(false);
    EXPECT_THROW(grandchild.start(), StateError);
    const bool untouched = !grandchild.pid() && proc::children_of(::getpid()).empty();
    return untouched && !::testing::Test::HasFailure() ? 0 : 1;
  });
  daemon.set_daemon(true);
  daemon.start();
  daemon.join();
  EXPECT_EQ(daemon.exit_code(), 0);
  EXPECT_FALSE(*grandchild_ran);
}

TEST_F(Process, X22_FirstProcessHasNoParent) { EXPECT_EQ(parent_process(), nullptr); }

TEST_F(Process, X22_ChildKnowsItsParent) {
  const pid_t here = ::getpid();
  Child outer([&] {
    const ParentProcess* const parent = parent_process();
    if (parent == nullptr || parent->pid() != here || parent->name() != "MainProcess" || !parent->is_alive()) return 1;
    Child inner([middle = ::getpid()] {
      const ParentProcess* const next = parent_process();
      return next != nullptr && next->pid() == middle && next->name() == "the one in the middle" ? 0 : 1;
    });
    inner.start();
    inner.join();
    return inner.exit_code().value();
  });
  outer.set_name("the one in the middle");
  outer.start();
  outer.join();
  EXPECT_EQ(outer.exit_code(), 0);
}

TEST_F(Process, X22_GrandchildSeesItsParentsDeath) {
  Event saw_alive;
  Event saw_end;
  SharedBox<std::atomic<bool>> was_alive(false);
  SharedBox<std::atomic<bool>> is_dead(false);
  Child middle([&] {
    Child grandchild([&] {
      *was_alive = parent_process()->is_alive() && !parent_process()->join_for(milliseconds(1));
      saw_alive.set();
      const bool joined = parent_process()->join_for(std::chrono::hours(1));
      const bool polls = !wait({parent_process()->sentinel()}, Deadline::immediate()).empty();
      *is_dead = joined && polls && !parent_process()->is_alive();
      saw_end.set();
    });
    grandchild.start();
    sleep_forever();
  });
  middle.start();
  saw_alive.wait();
  middle.terminate();
  middle.join();
  saw_end.wait();
  await_orphans();
  EXPECT_TRUE(*was_alive);
  EXPECT_TRUE(*is_dead);
}

TEST_F(Process, X23_FiveSiblingsSeeTheSameDescriptors) {
  const Fd high(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 200));
  ASSERT_TRUE(high);
  const SharedBox<std::array<std::atomic<std::size_t>, 5>> counts;
  SharedBox<std::atomic<int>> open(0);
  Event may_end;
  std::vector<std::unique_ptr<Child>> siblings;
  for (std::size_t i = 0; i < 5; ++i) {
    siblings.push_back(std::make_unique<Child>([&, i] {
      counts->at(i) = proc::list_directory("/proc/self/fd").size();
      if (::fcntl(200, F_GETFD) >= 0) ++*open;
      may_end.wait();
    }));
    siblings.back()->start();
  }
  may_end.set();
  for (const auto& sibling : siblings) sibling->join();
  for (const auto& count : *counts) EXPECT_EQ(count, counts->front());
  EXPECT_EQ(*open, 5);
}

TEST_F(Process, X23_ChildHoldsOneDescriptorMoreThanItInherited) {
  SharedBox<std::atomic<std::size_t>> in_child(0U);
  Child child([&] { *in_child = proc::list_directory("/proc/self/fd").size(); });
  const std::size_t before = proc::list_directory("/proc/self/fd").size();
  child.start();
  child.join();
  // The one by which this process knows itself is in the child the one by which it knows its parent.
  EXPECT_EQ(*in_child, before);
}

TEST_F(Process, X24_ClosedStandardStreamsDoNoHarm) {
  Child child([] {
    std::fclose(stdout);
    ::close(STDERR_FILENO);
  });
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
  Peer parent([] {
    ::close(STDOUT_FILENO);
    ::close(STDERR_FILENO);
    Child in_silence([] { std::printf("to nobody"); });
    in_silence.start();
    in_silence.join();
    EXPECT_EQ(in_silence.exit_code(), 0);
  });
  parent.join();
}

TEST_F(Process, X24_ExitHandlersOfTheChildRunAtItsNormalEndOnly) {
  static std::atomic<int>* runs = nullptr;
  const SharedBox<std::atomic<int>> box(0);
  runs = &*box;
  const auto count = [] { ++*runs; };
  Child returning([&] { std::atexit(count); });
  Child exiting([&] {
    std::atexit(count);
    std::exit(3);
  });
  Event registered;
  Child terminated([&] {
    std::atexit(count);
    registered.set();
    sleep_forever();
  });
  for (Child* child : {&returning, &exiting, &terminated}) child->start();
  registered.wait();
  terminated.terminate();
  for (Child* child : {&returning, &exiting, &terminated}) child->join();
  EXPECT_EQ(exiting.exit_code(), 3);
  EXPECT_EQ(*runs, 2);
}

TEST_F(Process, X24_ExitHandlersOfTheParentDoNotRunInTheChild) {
  static std::atomic<int>* runs = nullptr;
  const SharedBox<std::atomic<int>> box(0);
  runs = &*box;
  Peer parent([] {
    std::atexit([] { ++*runs; });
    Child returning([] {});
    Child exiting([] { std::exit(0); });
    for (Child* child : {&returning, &exiting}) child->start();
    for (Child* child : {&returning, &exiting}) child->join();
    EXPECT_EQ(*runs, 0);
  });
  parent.join();
  EXPECT_EQ(*runs, 0);
}

TEST_F(Process, X25_HandledSignalsDoNotEndAJoin) {
  static volatile std::sig_atomic_t handled = 0;
  struct sigaction action = {};
  action.sa_handler = [](int) { handled = handled + 1; };  // without SA_RESTART
  struct sigaction before = {};
  ::sigaction(SIGUSR2, &action, &before);
  Child child([parent = ::getpid()] {
    for (int i = 0; i < 20; ++i) {
      await_blocked(parent);
      ::kill(parent, SIGUSR2);
    }
  });
  child.start();
  child.join();
  ::sigaction(SIGUSR2, &before, nullptr);
  EXPECT_GT(handled, 0);
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_F(Process, X27_UnknownContextIsRefusedWithTheNamesThereAre) {
  try {
    (void)context("no such mechanism");
    FAIL() << "an unknown name was accepted";
  } catch (const BadArgument& error) {
    for (const Mechanism& mechanism : mechanisms()) {
      EXPECT_NE(std::string(error.what()).find(mechanism.name), std::string::npos) << error.what();
    }
  }
}

// The main() of this program is GoogleTest's.
TEST_F(Process, X27_ProgramsThatDoNotCallInitCannotSpawn) {
  static const Function nothing{"nothing", +[] {}};
  Child child(nothing);
  child.set_start_method("spawn");
  EXPECT_THROW(child.start(), StateError);
  EXPECT_EQ(child.pid(), std::nullopt);
  child.set_start_method("fork");
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_F(Process, X27_EveryContextReportsItsOwnName) {
  EXPECT_FALSE(mechanisms().empty());
  for (const Mechanism& mechanism : mechanisms()) {
    const Context here = context(mechanism.name);
    EXPECT_EQ(here.name(), mechanism.name);
    EXPECT_EQ(&here.mechanism(), &mechanism);
    Child child([&here, name = mechanism.name] { return here.name() == name && context(name).name() == name ? 0 : 1; });
    child.start();
    child.join();
    EXPECT_EQ(child.exit_code(), 0) << mechanism.name;
  }
}

}  // namespace
}  // namespace crucible::testing
