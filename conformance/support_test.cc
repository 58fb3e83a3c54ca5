// The suite's own tools: each must notice what it is there to notice.
#include <fcntl.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "conformance/support/capture.h"
#include "conformance/support/children.h"
#include "conformance/support/events.h"
#include "conformance/support/fixture.h"
#include "conformance/support/inventory.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"
#include "conformance/support/watchdog.h"

namespace crucible::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST(PeerTool, FailedAssertionIsReportedInTheParent) {
  Peer peer([] { EXPECT_EQ(6 * 7, 41) << "as planned"; });
  EXPECT_NONFATAL_FAILURE(peer.join(), "as planned");
}

TEST(PeerTool, FatalAssertionIsReportedWithItsPlace) {
  Peer peer([] { FAIL() << "fatally"; });
  ::testing::TestPartResultArray results;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(&results);
    peer.join();
  }
  ASSERT_EQ(results.size(), 1);
  EXPECT_TRUE(std::string(results.GetTestPartResult(0).file_name()).ends_with("support_test.cc"));
  EXPECT_GT(results.GetTestPartResult(0).line_number(), 0);
  EXPECT_NE(std::string(results.GetTestPartResult(0).message()).find("fatally"), std::string::npos);
}

TEST(PeerTool, EveryFailureIsReported) {
  Peer peer([] {
    for (int i = 0; i < 100; ++i) ADD_FAILURE() << "number " << i;
  });
  ::testing::TestPartResultArray results;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(&results);
    peer.join();
  }
  EXPECT_EQ(results.size(), 100);
}

TEST(PeerTool, FailureInAPeerOfAPeerIsReported) {
  Peer peer([] { Peer([] { ADD_FAILURE() << "deep down"; }).join(); });
  EXPECT_NONFATAL_FAILURE(peer.join(), "deep down");
}

TEST(PeerTool, UncaughtExceptionIsReported) {
  Peer peer([] { throw std::out_of_range("too far"); });
  EXPECT_NONFATAL_FAILURE(peer.join(), "std::out_of_range: too far");
}

TEST(PeerTool, ThrownIntegerIsReported) {
  Peer peer([] { throw 3; });  // NOLINT(hicpp-exception-baseclass)
  EXPECT_NONFATAL_FAILURE(peer.join(), "int");
}

TEST(PeerTool, DeathBySignalIsAFailure) {
  Peer peer([] { std::raise(SIGKILL); });
  EXPECT_NONFATAL_FAILURE(peer.join(), "signal 9");
}

TEST(PeerTool, OtherExitCodeIsAFailure) {
  Peer peer([] { ::_exit(3); });
  EXPECT_NONFATAL_FAILURE(peer.join(), "exit code 3");
}

TEST(PeerTool, KillByTheTestIsNone) {
  Peer peer(sleep_forever);
  peer.kill();
  peer.join();
  EXPECT_TRUE(WIFSIGNALED(peer.wait_status()));
  EXPECT_EQ(WTERMSIG(peer.wait_status()), SIGKILL);
}

TEST(PeerTool, WhatFailedBeforeAKillIsReported) {
  Event failed;
  Peer peer([&] {
    ADD_FAILURE() << "said in time";
    failed.set();
    sleep_forever();
  });
  failed.wait();
  peer.kill();
  EXPECT_NONFATAL_FAILURE(peer.join(), "said in time");
}

TEST(PeerTool, CapturedThingsAreGivenAway) {
  auto given = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = given;
  Peer peer([held = std::move(given)] { EXPECT_EQ(*held, 1); });
  EXPECT_TRUE(watch.expired());
}

TEST(PeerTool, PeerDiesWithItsParent) {
  const SharedBox<std::atomic<pid_t>> inner(0);
  auto [read_end, write_end] = [] {
    std::array<int, 2> ends = {};
    EXPECT_EQ(::pipe(ends.data()), 0);
    return std::pair(Fd(ends[0]), Fd(ends[1]));
  }();
  Peer outer([&] {
    Peer below(sleep_without_parent_watch);
    *inner = below.pid();
    std::raise(SIGKILL);
  });
  write_end.reset();
  char byte = 0;
  EXPECT_EQ(::read(read_end.get(), &byte, 1), 0);  // the kernel closed the last copy: both are gone
  EXPECT_NE(*inner, 0);
  (void)outer.wait_status();
}

TEST(EventTool, ReachesOverAForkBothWays) {
  Event there;
  Event back;
  Peer peer([&] {
    there.wait();
    back.set();
  });
  EXPECT_FALSE(back.is_set());
  there.set();
  back.wait();
  EXPECT_TRUE(back.is_set());
}

TEST(EventTool, WaitForIsNeverEarly) {
  Event never;
  const auto begin = steady_clock::now();
  EXPECT_FALSE(never.wait_for(milliseconds(20)));
  EXPECT_GE(steady_clock::now() - begin, milliseconds(20));
  never.set();
  EXPECT_TRUE(never.wait_for(milliseconds(0)));
}

TEST(BlockedTool, SeesASleeperAndNotARunner) {
  const SharedBox<std::atomic<bool>> stop(false);
  Peer sleeper(sleep_forever);
  Peer runner([&] {
    while (!*stop) {
    }
  });
  await_blocked(sleeper.pid());
  EXPECT_TRUE(blocked_in_kernel(sleeper.pid()));
  EXPECT_FALSE(blocked_in_kernel(runner.pid()));
  *stop = true;
  sleeper.kill();
}

TEST(BlockedTool, SeesAThreadOfThisProcess) {
  Event wake;
  std::atomic<pid_t> tid = 0;
  std::thread thread([&] {
    tid = thread_id();
    wake.wait();
  });
  while (tid == 0) std::this_thread::yield();
  await_blocked(::getpid(), tid);
  EXPECT_TRUE(blocked_in_kernel(tid));
  wake.set();
  thread.join();
}

TEST(BlockedTool, EndInsteadOfBlockingIsAnError) {
  Peer peer([] {});
  await_zombie(peer.pid());
  EXPECT_THROW(await_blocked(peer.pid()), std::runtime_error);
}

TEST(InventoryTool, NothingChangedIsNoDifference) {
  const Inventory before = Inventory::take();
  EXPECT_TRUE(Inventory::take().differences_from(before).empty());
}

TEST(InventoryTool, NoticesADescriptorOpenedAndOneClosed) {
  const Inventory before = Inventory::take();
  Fd opened(::dup(STDIN_FILENO));
  const Inventory with = Inventory::take();
  opened.reset();
  ASSERT_EQ(with.differences_from(before).size(), 1U);
  EXPECT_NE(with.differences_from(before).front().find("descriptor"), std::string::npos);
  EXPECT_EQ(Inventory::take().differences_from(with).size(), 1U);
}

TEST(InventoryTool, NoticesAChildAndAZombie) {
  const Inventory before = Inventory::take();
  Peer peer(sleep_forever);
  EXPECT_EQ(Inventory::take().differences_from(before).size(), 1U);
  peer.kill();
  await_zombie(peer.pid());
  ASSERT_EQ(Inventory::take().differences_from(before).size(), 1U);
  EXPECT_NE(Inventory::take().differences_from(before).front().find("zombie"), std::string::npos);
  peer.join();
  EXPECT_TRUE(Inventory::take().differences_from(before).empty());
}

TEST(InventoryTool, NoticesAThreadButNotAJoinedOne) {
  std::thread([] {}).join();  // with the first thread ThreadSanitizer starts one of its own
  const Inventory before = Inventory::take();
  Event stop;
  std::thread thread([&] { stop.wait(); });
  ASSERT_EQ(Inventory::take().differences_from(before).size(), 1U);
  EXPECT_NE(Inventory::take().differences_from(before).front().find("thread"), std::string::npos);
  stop.set();
  thread.join();
  EXPECT_TRUE(Inventory::take().differences_from(before).empty());
}

TEST(InventoryTool, NoticesAnAbandonedName) {
  std::string directory = ::testing::TempDir() + "inventory_XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  const Inventory before = Inventory::take({directory});
  const std::string path = directory + "/crucible-left";
  std::ofstream(path) << "forgotten";
  ASSERT_EQ(Inventory::take({directory}).differences_from(before).size(), 1U);
  EXPECT_NE(Inventory::take({directory}).differences_from(before).front().find(path), std::string::npos);
  std::filesystem::remove_all(directory);
}

TEST(InventoryTool, NoticesAnAbandonedFolder) {
  std::string directory = ::testing::TempDir() + "inventory_XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  const Inventory before = Inventory::take({directory});
  const std::string folder = directory + "/crucible.left";
  std::filesystem::create_directory(folder);
  const Fd file(::open((folder + "/id").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::flock(file.get(), LOCK_SH), 0);
  const auto of_names = [&] {
    const auto all = Inventory::take({directory}).differences_from(before);
    return std::ranges::count_if(all, [](const std::string& difference) { return difference.starts_with("name "); });
  };
  EXPECT_EQ(of_names(), 0) << "somebody uses it";
  ::flock(file.get(), LOCK_UN);
  EXPECT_EQ(of_names(), 1);
  std::filesystem::remove_all(directory);
}

// A test of the fixture's kind, run inside a test.
class Inner : public CleanFixture {
 public:
  using CleanFixture::SetUp;
  using CleanFixture::TearDown;
  void TestBody() override {}
};

TEST(FixtureTool, FailsATestThatLeavesSomething) {
  Inner inner;
  inner.SetUp();
  Fd opened(::dup(STDIN_FILENO));
  EXPECT_NONFATAL_FAILURE(inner.TearDown(), "is left over");
  opened.reset();
  inner.SetUp();
  inner.TearDown();
}

TEST(FixtureTool, AdoptsOrphans) {
  Inner inner;
  inner.SetUp();
  Event may_end;
  Peer parent([&] {
    if (::fork() != 0) return;
    may_end.wait();
    ::_exit(0);
  });
  parent.join();
  EXPECT_NONFATAL_FAILURE(inner.TearDown(), "child");
  may_end.set();
  EXPECT_GT(::waitpid(-1, nullptr, 0), 0);
}

TEST(WatchdogTool, ReportsWhereEachProcessStoodAndEndsThemAll) {
  Capture capture;
  Peer hanging([&] {
    capture.replace(STDERR_FILENO);
    ::setenv("CRUCIBLE_WATCHDOG_SECONDS", "1", 1);
    watchdog::arm("Suite.HangsForEver");
    watchdog::note("waits for its peer");
    if (::fork() == 0) {  // with no death signal: nobody but the watchdog ends it
      Peer::set_phase("asleep on purpose");
      sleep_without_parent_watch();
    }
    sleep_without_parent_watch();
  });
  const std::string report = capture.text();  // ends when all writers have ended
  const int status = hanging.wait_status();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  EXPECT_NE(report.find("Suite.HangsForEver"), std::string::npos) << report;
  EXPECT_NE(report.find("note: waits for its peer"), std::string::npos) << report;
  EXPECT_NE(report.find("note: asleep on purpose"), std::string::npos) << report;
  EXPECT_NE(report.find(std::to_string(hanging.pid()) + "/"), std::string::npos) << report;
  EXPECT_NE(report.find("system call"), std::string::npos) << report;
}

TEST(WatchdogTool, LeavesATestAloneThatEndsInTime) {
  Peer quick([] {
    ::setenv("CRUCIBLE_WATCHDOG_SECONDS", "1", 1);
    for (int i = 0; i < 3; ++i) {
      watchdog::arm("Suite.IsQuick");
      Event never;
      EXPECT_FALSE(never.wait_for(milliseconds(500)));
      watchdog::disarm();
    }
    Event never;
    EXPECT_FALSE(never.wait_for(milliseconds(1200)));
  });
  quick.join();
}

TEST(WatchdogTool, IsUnseenByTheWaitCalls) {
  watchdog::arm("Suite.Waits");
  EXPECT_GT(watchdog::pid(), 0);
  EXPECT_EQ(::waitpid(-1, nullptr, 0), -1);
  EXPECT_EQ(errno, ECHILD);
  watchdog::disarm();
}

TEST(PhaseTool, IsSeenByTheParent) {
  watchdog::arm("Suite.HasPhases");
  Event set;
  Peer peer([&] {
    Peer::set_phase("the first");
    Peer::set_phase("the second");
    set.set();
    sleep_forever();
  });
  set.wait();
  EXPECT_EQ(peer.phase(), "the second");
  peer.kill();
  watchdog::disarm();
}

}  // namespace
}  // namespace crucible::testing
