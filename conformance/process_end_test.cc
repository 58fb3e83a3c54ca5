// How parents and children end: X20 and X21 of SPEC.md.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "conformance/process_fixture.h"
#include "conformance/support/children.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

// A parent that ends normally while a daemon would run for ever and another child has something left to do.
struct Household {
  SharedBox<std::atomic<pid_t>> daemon{0};
  SharedBox<std::atomic<bool>> work_done{false};
  Event working;
  Event parent_ends;
  Child* daemonic = nullptr;  // never deleted: what ends the children must not be a destructor
  Child* worker = nullptr;

  // Runs in the parent.
  void found() {
    daemonic = new Child(sleep_forever);
    daemonic->set_daemon(true);
    daemonic->start();
    *daemon = daemonic->pid().value();
    worker = new Child([this] {
      working.set();
      parent_ends.wait();
      await_blocked(::getppid());  // the parent, in its end, waits for this child
      *work_done = true;
    });
    worker->start();
    working.wait();
    parent_ends.set();
  }
};

TEST_F(Process, X20_ReturningParentEndsItsDaemonsAndAwaitsTheOthers) {
  Household household;
  Child parent([&] { household.found(); });
  parent.start();
  parent.join();
  EXPECT_EQ(parent.exit_code(), 0);
  EXPECT_TRUE(*household.work_done);
  EXPECT_TRUE(is_forgotten(*household.daemon));
}

TEST_F(Process, X20_ExitOfTheFirstProcessEndsDaemonsAndAwaitsTheOthers) {
  Household household;
  Peer parent([&] {
    household.found();
    std::exit(0);
  });
  parent.join();
  EXPECT_TRUE(*household.work_done);
  EXPECT_TRUE(is_forgotten(*household.daemon));
}

TEST_F(Process, X20_DaemonsAreAskedToEnd) {
  static std::atomic<bool>* asked = nullptr;
  const SharedBox<std::atomic<bool>> box(false);
  asked = &*box;
  Event ready;
  Child parent([&] {
    auto* daemon = new Child([&] {
      std::signal(SIGTERM, [](int) {
        *asked = true;
        ::_exit(0);
      });
      ready.set();
      sleep_forever();
    });
    daemon->set_daemon(true);
    daemon->start();
    ready.wait();
  });
  parent.start();
  parent.join();
  EXPECT_EQ(parent.exit_code(), 0);
  EXPECT_TRUE(*box);
}

TEST_F(Process, X20_DaemonThatIgnoresTheRequestIsKilled) {
  Event deaf;
  Child parent([&] {
    auto* daemon = new Child([&] {
      std::signal(SIGTERM, SIG_IGN);
      deaf.set();
      sleep_forever();
    });
    daemon->set_daemon(true);
    daemon->start();
    deaf.wait();
  });
  parent.start();
  parent.join();
  EXPECT_EQ(parent.exit_code(), 0);
}

TEST_F(Process, X21_DetachedThreadDoesNotDelayTheEnd) {
  Child child([] { std::thread([] { sleep_forever(); }).detach(); });
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_F(Process, X21_OwnedThreadFinishesFirst) {
  SharedBox<std::atomic<bool>> finished(false);
  Child child([&] {
    const pid_t main_thread = thread_id();
    const std::jthread owned([&, main_thread] {
      await_blocked(main_thread);
      *finished = true;
    });
  });
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
  EXPECT_TRUE(*finished);
}

}  // namespace
}  // namespace crucible::testing
