// What processes survive: the H clauses of SPEC.md that concern them.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/mechanism.h"
#include "conformance/process_fixture.h"
#include "conformance/support/children.h"
#include "conformance/support/events.h"
#include "conformance/support/fixture.h"
#include "conformance/support/peer.h"
#include "core/process.h"
#include "core/wait.h"

namespace crucible::testing {
namespace {

using std::chrono::milliseconds;

class ProcessWithPipe : public MechanismTest {};

// A child that has ended although its own child, which inherited all it had, lives on.
class Survived {
 public:
  Survived()
      : child_([this] {
          if (::fork() == 0) {
            may_end_.wait();
            ::_exit(0);
          }
          *ended_ns_ = Deadline::now_ns();
          return 4;
        }) {
    child_.start();
  }
  Child& child() { return child_; }
  std::int64_t ended_ns() const { return *ended_ns_; }
  void end_grandchild() { may_end_.set(); }

 private:
  Event may_end_;
  SharedBox<std::atomic<std::int64_t>> ended_ns_{0};
  Child child_;
};

TEST_F(Process, H20_GrandchildDoesNotHideTheEnd) {
  Survived family;
  EXPECT_EQ(wait({family.child().sentinel()}), std::vector<std::size_t>{0});
  EXPECT_TRUE(family.child().join_for(std::chrono::hours(1)));
  EXPECT_EQ(family.child().exit_code(), 4);
  family.end_grandchild();
  await_orphans();
}

TEST_F(ProcessTiming, H20_SentinelIsReadyWithin200MsOfTheEnd) {
  Survived family;
  EXPECT_EQ(wait({family.child().sentinel()}), std::vector<std::size_t>{0});
  EXPECT_LT(Deadline::now_ns() - family.ended_ns(), 200'000'000);
  family.child().join();
  family.end_grandchild();
  await_orphans();
}

TEST_F(Process, H20_ProgramRunInTheChildDoesNotShowAsItsEnd) {
  Child child([] {
    ::execl("/bin/sh", "sh", "-c", "kill -STOP $$; exit 6", nullptr);
    return 1;
  });
  child.start();
  siginfo_t info = {};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(*child.pid()), &info, WSTOPPED | WEXITED | WNOWAIT), 0);
  EXPECT_EQ(info.si_code, CLD_STOPPED);
  EXPECT_FALSE(child.join_for(milliseconds(10)));
  ::kill(*child.pid(), SIGCONT);
  child.join();
  EXPECT_EQ(child.exit_code(), 6);
}

TEST_F(Process, H29_DaemonsDieWithAKilledParent) {
  SharedBox<std::array<std::atomic<pid_t>, 2>> daemons;
  Event started;
  Child parent([&] {
    for (auto& pid : *daemons) {
      auto* daemon = new Child(sleep_without_parent_watch);
      daemon->set_daemon(true);
      daemon->start();
      pid = daemon->pid().value();
    }
    started.set();
    sleep_forever();
  });
  parent.start();
  started.wait();
  for (const auto& daemon : *daemons) EXPECT_FALSE(is_forgotten(daemon));
  parent.kill();
  parent.join();
  await_orphans();
  for (const auto& daemon : *daemons) EXPECT_TRUE(is_forgotten(daemon));
}

// A thread that was joined may still be on its way out of the kernel, which then sends the death signals.
void await_end_of_thread(pid_t tid) {
  while (::syscall(SYS_tgkill, ::getpid(), tid, 0) == 0) std::this_thread::yield();
}

TEST_F(Process, H29_DaemonOutlivesTheThreadThatStartedItButNotTheProcess) {
  SharedBox<std::atomic<pid_t>> pid(0);
  Event daemon_runs;
  Event thread_is_gone;
  Event daemon_outlived_it;
  Child parent([&] {
    auto* daemon = new Child([&] {
      daemon_runs.set();
      thread_is_gone.wait();
      daemon_outlived_it.set();
      sleep_without_parent_watch();
    });
    daemon->set_daemon(true);
    std::atomic<pid_t> starter = 0;
    std::thread([&] {
      starter = thread_id();
      daemon->start();
      daemon_runs.wait();  // what it has to ask of the kernel it has asked
    }).join();
    *pid = daemon->pid().value();
    await_end_of_thread(starter);
    thread_is_gone.set();
    sleep_forever();
  });
  parent.start();
  daemon_outlived_it.wait();
  parent.kill();
  parent.join();
  await_orphans();
  EXPECT_TRUE(is_forgotten(*pid));
}

TEST_F(Process, H35_CodeThatSomebodyElseTookIsUnknownButTheEndIsNot) {
  Child child([] { return 3; });
  child.start();
  int status = 0;
  ASSERT_EQ(::waitpid(*child.pid(), &status, 0), *child.pid());
  EXPECT_FALSE(child.is_alive());
  EXPECT_EQ(child.exit_code(), std::nullopt);
  child.join();
  EXPECT_TRUE(child.join_for(milliseconds(0)));
  EXPECT_NO_THROW(child.terminate());
  EXPECT_TRUE(active_children().empty());
  EXPECT_EQ(wait({child.sentinel()}, Deadline::immediate()), std::vector<std::size_t>{0});
}

TEST_F(Process, H35_CodeIsTakenByAThreadWhileAnotherJoins) {
  Event may_end;
  Child child([&] { may_end.wait(); });
  child.start();
  std::thread joiner([&] { child.join(); });
  may_end.set();
  ::waitpid(*child.pid(), nullptr, 0);  // may come first or second
  joiner.join();
  EXPECT_FALSE(child.is_alive());
  EXPECT_TRUE(!child.exit_code() || child.exit_code() == 0);
}

TEST_F(Process, H35_IgnoredSigchldHidesTheCodeButNotTheEnd) {
  Peer ignoring([] {
    std::signal(SIGCHLD, SIG_IGN);
    Event may_end;
    Child child([&] { may_end.wait(); });
    child.start();
    EXPECT_TRUE(child.is_alive());
    may_end.set();
    child.join();
    EXPECT_FALSE(child.is_alive());
    EXPECT_EQ(child.exit_code(), std::nullopt);
    for (int i = 0; i < 50; ++i) {  // some have ended and are forgotten before start() returns
      Child quick([] {});
      quick.start();
      quick.join();
      EXPECT_FALSE(quick.is_alive());
      EXPECT_EQ(wait({quick}), std::vector<std::size_t>{0});
      EXPECT_EQ(wait({quick.sentinel()}), std::vector<std::size_t>{0});
    }
  });
  ignoring.join();
}

TEST_F(Process, H35_EightJoinersSeeTheSameCode) {
  for (int round = 0; round < 20; ++round) {
    Event may_end;
    Child child([&] {
      may_end.wait();
      return 77;
    });
    child.start();
    std::array<std::optional<int>, 8> codes;
    std::vector<std::thread> joiners;
    for (auto& code : codes) {
      joiners.emplace_back([&child, &code] {
        child.join();
        code = child.exit_code();
      });
    }
    may_end.set();
    for (std::thread& joiner : joiners) joiner.join();
    for (const auto& code : codes) EXPECT_EQ(code, 77);
  }
}

// The libraries below a sanitizer do not make their allocator's locks safe for a fork.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kAllocatorSurvivesFork = false;
#else
constexpr bool kAllocatorSurvivesFork = true;
#endif

// What other threads of a program do while one of them starts children.
void be_busy(std::FILE* log, std::mutex& mutex, const std::atomic<bool>& stop) {
  for (unsigned i = 1; !stop; ++i) {
    if (kAllocatorSurvivesFork) std::vector<std::string>(i % 64).resize(i % 128, std::string(i % 512, 'x'));
    std::fprintf(log, "line %u\n", i);
    std::fprintf(stdout, "line %u\n", i);
    const std::lock_guard lock(mutex);
    (void)current_process();
    (void)active_children();
  }
}

TEST_F(Process, H36_ChildrenOfABusyProcessAllEndWell) {
  Peer parent([] {
    ASSERT_NE(std::freopen("/dev/null", "w", stdout), nullptr);
    std::FILE* const log = std::fopen("/dev/null", "w");
    std::mutex mutex;
    std::atomic<bool> stop = false;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { be_busy(log, mutex, stop); });
    for (int i = 0; i < 200; ++i) {
      Child child([log] {
        if (kAllocatorSurvivesFork) std::string(10'000, 'c').append("d");
        std::fprintf(log, "from the child\n");
        std::printf("from the child\n");
        return current_process().name.empty() ? 1 : 0;
      });
      child.start();
      child.join();
      EXPECT_EQ(child.exit_code(), 0);
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
    std::fclose(log);
  });
  parent.join();
}

TEST_P(ProcessWithPipe, H38_HundredKillsLeaveNothing) {
  for (int i = 0; i < 100; ++i) {
    auto [here, there] = pipe();
    Child child(
        [](Connection& end) {
          const Bytes message(10'000, std::byte{1});
          while (end.send_bytes(message) == Status::kOk) {
          }
        },
        std::move(there));
    child.start();
    Bytes first;
    EXPECT_EQ(here->recv_bytes(first), Status::kOk);
    child.kill();
    child.join();
    EXPECT_EQ(child.exit_code(), -SIGKILL);
  }
}

CRUCIBLE_INSTANTIATE(ProcessWithPipe);

}  // namespace
}  // namespace crucible::testing
