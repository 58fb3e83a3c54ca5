// What spawning survives, and what it refuses: X28, X29, X41, X43 and the H clauses.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "api/object.h"
#include "conformance/pipe_support.h"
#include "conformance/spawn_support.h"
#include "conformance/support/children.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"
#include "core/wait.h"

namespace crucible::testing {
namespace {

const Function quick{"quick", +[] { return 4; }};
const Function taking{"taking", +[](const Object& object) { return object.is_list() ? 3 : 2; }};
const Function taking_text{"taking_text", +[](const std::string& text) { return text.empty() ? 1 : 0; }};
const Function sleepy{"sleepy", +[] { sleep_without_parent_watch(); }};

std::string refusal(Child& child) {
  try {
    child.start();
  } catch (const Error& error) {
    EXPECT_EQ(child.pid(), std::nullopt);
    EXPECT_FALSE(child.is_alive());
    EXPECT_TRUE(active_children().empty());
    return error.what();
  }
  ADD_FAILURE() << "it was started";
  return "";
}

TEST_F(Spawn, X28_ArgumentsThatCannotBeEncodedAreRefusedAndForkWorks) {
  Object deep = 1;
  for (std::size_t i = 0; i < 2 * kMaxDepth; ++i) deep = Object::list(std::move(deep));
  Child child(taking, deep);
  make_spawned(child);
  EXPECT_THROW(child.start(), EncodingError);
  EXPECT_FALSE(refusal(child).empty());
  EXPECT_TRUE(children().empty());
  child.set_start_method("fork");
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 3);
}

TEST_F(Spawn, X28_ClosuresAndDerivedClassesAreRefusedAndForkWorks) {
  class Derived final : public crucible::Process {
    int run() override { return 6; }
  };
  Child closure([] { return 5; });
  Derived derived;
  for (Child* child : {&closure, static_cast<Child*>(&derived)}) {
    make_spawned(*child);
    EXPECT_THROW(child->start(), BadArgument);
    EXPECT_NE(refusal(*child).find("can only be forked"), std::string::npos);
    child->set_start_method("fork");
    child->start();
    child->join();
  }
  EXPECT_EQ(closure.exit_code(), 5);
  EXPECT_EQ(derived.exit_code(), 6);
}

TEST_F(Spawn, X28_FunctionsThatAreRegisteredTooLateAreRefused) {
  static const Function late{"registered by a test", +[] { return 5; }};
  Child child(late);
  make_spawned(child);
  EXPECT_NE(refusal(child).find("registered by a test"), std::string::npos);
  child.set_start_method("fork");
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 5);
}

TEST_F(Spawn, X28_NullEndsAndClosedDescriptorsAreRefused) {
  static const Function with_end{"with_end", +[](Connection&) {}};
  static const Function with_descriptor{"with_descriptor", +[](const Fd&) {}};
  Child null(with_end, std::unique_ptr<Connection>());
  Child closed(with_descriptor, Fd());
  Child not_open(with_descriptor, Fd(987));
  for (Child* child : {&null, &closed}) {
    make_spawned(*child);
    EXPECT_THROW(child->start(), BadArgument);
  }
  make_spawned(not_open);
  EXPECT_THROW(not_open.start(), std::system_error);
  EXPECT_EQ(not_open.pid(), std::nullopt);
}

TEST_F(Spawn, X29_ArgumentsAreGivenAwayByStartAndKeptByItsFailure) {
  auto [here, there] = make_wire();
  static const Function holding{"holding", +[](const Fd& wire) { (void)hear(wire); }};
  Child child(holding, std::move(there));
  make_spawned(child);
  EXPECT_FALSE(refusal(child).empty());  // registered too late
  EXPECT_TRUE(wait({here.get()}, Deadline::immediate()).empty());
  child.set_start_method("fork");
  child.start();
  child.kill();
  child.join();
  EXPECT_EQ(hear(here), "");
}

TEST_F(Spawn, X30_WithoutTargetTheChildEndsWithZero) {
  Child child;
  start_spawned(child);
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_F(Spawn, X41_ExhaustedDescriptorsFailCleanly) {
  rlimit before = {};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const std::size_t used = proc::list_directory("/proc/self/fd").size() - 1;
  int failures = 0;
  for (std::size_t more = 0; more < 16; ++more) {
    Child child(quick);
    make_spawned(child);
    const rlimit tight = {.rlim_cur = used + more, .rlim_max = before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &tight);
    try {
      child.start();
    } catch (const std::exception&) {
      ++failures;
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
    if (!child.pid()) {
      EXPECT_TRUE(children().empty());
      child.start();
    }
    child.join();
    EXPECT_EQ(child.exit_code(), 4);
  }
  EXPECT_GT(failures, 2);
  EXPECT_LT(failures, 16);
}

TEST_F(Spawn, X43_ThreadsSpawnListAndForkAtTheSameTime) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i] {
      for (int round = 0; round < 5; ++round) {
        Child child(quick);
        child.set_start_method(i == 3 ? "fork" : "spawn");
        child.start();
        (void)active_children();
        child.join();
        EXPECT_EQ(child.exit_code(), 4);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

const Function leaving_grandchild{"leaving_grandchild", +[](const Fd& wire) {
                                    if (::fork() != 0) return 4;
                                    (void)hear(wire);
                                    ::_exit(0);
                                  }};

TEST_F(Spawn, H20_GrandchildDoesNotHideTheEnd) {
  auto [here, there] = make_wire();
  Child child(leaving_grandchild, std::move(there));
  start_spawned(child);
  EXPECT_EQ(wait({child.sentinel()}), std::vector<std::size_t>{0});
  child.join();
  EXPECT_EQ(child.exit_code(), 4);
  EXPECT_TRUE(wait({here.get()}, Deadline::immediate()).empty()) << "the grandchild was to live on";
  here.reset();
  await_orphans();
}

const Function keeping_daemons{"keeping_daemons", +[](const Fd& wire) {
                                 auto* const first = new Child(sleepy);
                                 auto* const second = new Child(sleepy);
                                 for (Child* daemon : {first, second}) daemon->set_daemon(true);
                                 start_spawned(*first);
                                 pid_t starter = 0;
                                 std::thread([&] {
                                   starter = thread_id();
                                   start_spawned(*second);
                                 }).join();
                                 while (proc::thread(::getpid(), starter).state != '?') std::this_thread::yield();
                                 say(wire, first->is_alive() && second->is_alive() ? "alive" : "dead");
                                 say(wire, std::to_string(*first->pid()));
                                 say(wire, std::to_string(*second->pid()));
                                 sleep_forever();
                               }};

TEST_F(Spawn, H29_DaemonsDieWithAKilledParentWhicheverThreadStartedThem) {
  auto [here, there] = make_wire();
  Child parent(keeping_daemons, std::move(there));
  start_spawned(parent);
  EXPECT_EQ(hear(here), "alive");
  const std::array<pid_t, 2> daemons = {std::stoi(hear(here)), std::stoi(hear(here))};
  for (const pid_t daemon : daemons) EXPECT_FALSE(is_forgotten(daemon));
  parent.kill();
  parent.join();
  await_orphans();
  for (const pid_t daemon : daemons) EXPECT_TRUE(is_forgotten(daemon));
}

TEST_F(Spawn, H35_IgnoredSigchldHidesTheCodeButNotTheEnd) {
  Peer ignoring([] {
    std::signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 5; ++i) {
      Child child(quick);
      start_spawned(child);
      child.join();
      EXPECT_FALSE(child.is_alive());
      EXPECT_EQ(child.exit_code(), std::nullopt);
    }
    const Variable dying(kBeginning, "die");
    Child dead(quick);
    make_spawned(dead);
    EXPECT_FALSE(refusal(dead).empty());
  });
  ignoring.join();
}

TEST_F(Spawn, H36_ChildrenOfABusyProcessAllEndWell) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&stop] {
      for (unsigned n = 1; !stop; ++n) {
        std::vector<std::string>(n % 64).resize(n % 128, std::string(n % 512, 'x'));
        (void)active_children();
      }
    });
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(code_of_spawned(quick), 4);
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(Spawn, H37_ChildThatDiesInItsBeginningIsAFailureOfStart) {
  Child child(taking_text, std::string(1'000'000, 'x'));
  make_spawned(child);
  {
    const Variable dying(kBeginning, "die");
    EXPECT_THROW(child.start(), StateError);
    EXPECT_NE(refusal(child).find("ended with 9"), std::string::npos);
  }
  EXPECT_TRUE(children().empty());
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_F(SpawnTiming, H37_EarlyDeathIsNoticedWithinTwoSeconds) {
  const Variable dying(kBeginning, "die");
  Child child(taking_text, std::string(1'000'000, 'x'));
  make_spawned(child);
  const Stopwatch waited;
  EXPECT_THROW(child.start(), StateError);
  EXPECT_LT(waited.elapsed(), 2s);
}

TEST_F(Spawn, H37_ChildThatIsKilledInItsBeginningIsAFailureOfStart) {
  const Variable hanging(kBeginning, "hang");
  Child child(taking_text, std::string(1'000'000, 'x'));
  make_spawned(child);
  std::thread killer([] {
    while (children().empty()) std::this_thread::yield();
    const pid_t begun = children().front();
    EXPECT_TRUE(active_children().empty()) << "the library is in use meanwhile";
    await_blocked(begun);
    ::kill(begun, SIGKILL);
  });
  EXPECT_THROW(child.start(), StateError);
  killer.join();
  EXPECT_EQ(child.pid(), std::nullopt);
}

// Its parent would otherwise be a program that starts itself for ever.
TEST_F(Spawn, X45_WhatASpawnedProgramStartsBeforeInitIsRefused) {
  const Variable forking(kBeginning, "fork");
  Child child(quick);
  make_spawned(child);
  EXPECT_NE(refusal(child).find("ended with 77"), std::string::npos);
}

}  // namespace
}  // namespace crucible::testing
