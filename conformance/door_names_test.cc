// Clauses A5, A15 to A18 and A25 to A27: names of doors, whose they are, who may use them, and what becomes of them.
#include <gtest/gtest.h>
#include <netdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <exception>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "conformance/door_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"
#include "core/process.h"
#include "core/wait.h"

namespace crucible::testing {
namespace {

constexpr uid_t kNobody = 65534;

class DoorNames : public DoorTest {
 protected:
  static std::unique_ptr<Listener> listen_at(const std::string& path) { return mechanism().listen(at(path), {}); }
  static bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }
};

// First statement of a test that becomes somebody else.
#define CRUCIBLE_REQUIRE_ROOT \
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user"

TEST_P(DoorNames, A26_AnAbstractNameLeavesNothingBehind) {
  CRUCIBLE_REQUIRE(local_names);
  const std::string address = at("@crucible-test-" + std::to_string(::getpid()));
  for (int round = 0; round < 2; ++round) {
    const std::unique_ptr<Listener> listener = mechanism().listen(address, {});
    EXPECT_EQ(listener->address(), address);
    EXPECT_THROW((void)mechanism().listen(address, {}), Exists);
    expect_serves(*listener, mechanism());
  }
  EXPECT_THROW((void)context().connect(address), NotFound);
}

TEST_P(DoorNames, A5_TheSystemChoosesNamesThatDiffer) {
  const std::unique_ptr<Listener> one = listen();
  const std::unique_ptr<Listener> other = listen();
  EXPECT_NE(one->address(), other->address());
  EXPECT_TRUE(one->address().starts_with(anywhere()));
  expect_serves(*one, mechanism());
  expect_serves(*other, mechanism());
}

TEST_P(DoorNames, A27_HostAndPortCanBeGiven) {
  CRUCIBLE_REQUIRE(cross_host);
  std::vector<const char*> places = {":0", "127.0.0.1:0"};
  addrinfo* found = nullptr;
  const bool knows_itself = ::getaddrinfo("localhost", nullptr, nullptr, &found) == 0;
  if (knows_itself) {
    ::freeaddrinfo(found);
    places.push_back("localhost:0");
  }
  for (const char* where : places) {
    const std::unique_ptr<Listener> listener = mechanism().listen(at(where), {});
    expect_serves(*listener, mechanism());
  }
  EXPECT_THROW((void)context().connect(at("no-such-host.invalid:1")), NotFound);
  EXPECT_THROW((void)context().connect(at(":0")), BadArgument);
  if (!knows_itself) GTEST_SKIP() << "this system does not know localhost, the rest was tested";
}

TEST_P(DoorNames, A15_ASocketFileIsItsOwnersAloneWhateverTheUmask) {
  CRUCIBLE_REQUIRE(local_names);
  const Directory directory;
  const std::string path = directory.file("door");
  for (const mode_t mask : {0000U, 0022U, 0077U, 0777U}) {
    const mode_t before = ::umask(mask);
    const std::unique_ptr<Listener> listener = listen_at(path);
    ::umask(before);
    struct stat facts = {};
    ASSERT_EQ(::lstat(path.c_str(), &facts), 0);
    EXPECT_TRUE(S_ISSOCK(facts.st_mode));
    EXPECT_EQ(facts.st_mode & 07777U, 0600U) << "umask " << mask;
    expect_serves(*listener, mechanism());
  }
  EXPECT_FALSE(exists(path));
}

// Looks at the file as fast as it can while doors open and close under umask 0.
TEST_P(DoorNames, A15_AtNoMomentIsTheFileWider) {
  CRUCIBLE_REQUIRE(local_names);
  const Directory directory;
  const std::string path = directory.file("door");
  const SharedBox<std::atomic<bool>> over(false);
  Peer watcher([&] {
    while (!*over) {
      struct stat facts = {};
      const bool is_there = ::lstat(path.c_str(), &facts) == 0;
      ASSERT_TRUE(!is_there || (facts.st_mode & 0177U) == 0);
    }
  });
  const mode_t before = ::umask(0);
  for (int i = 0; i < 300; ++i) (void)listen_at(path);
  ::umask(before);
  *over = true;
  watcher.join();
}

TEST_P(DoorNames, A16_AnotherUserComesThroughNoDoorWithoutAKey) {
  CRUCIBLE_REQUIRE(local_names);
  CRUCIBLE_REQUIRE_ROOT;
  const Directory directory;
  ASSERT_EQ(::chmod(directory.path().c_str(), 0755), 0);
  const std::unique_ptr<Listener> by_path = listen_at(directory.file("door"));
  const std::unique_ptr<Listener> by_name = listen();
  Peer stranger([&] {
    ASSERT_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
    EXPECT_THROW((void)connect(*by_path), Auth);
    EXPECT_THROW((void)connect(*by_name), Auth);
    EXPECT_THROW((void)listen_at(directory.file("own")), std::system_error);
    EXPECT_NE(::unlink(directory.file("door").c_str()), 0);
  });
  stranger.join();
  std::unique_ptr<Connection> none;
  EXPECT_EQ(by_path->accept(none, Deadline::immediate()), Status::kTimeout) << "the kernel lets nobody through";
  EXPECT_EQ(by_name->accept(none), Status::kAuth);
  expect_serves(*by_name, mechanism());
}

TEST_P(DoorNames, A25_AnotherUserWhoKnowsTheKeyComesThroughAnAbstractName) {
  CRUCIBLE_REQUIRE(transferable);
  CRUCIBLE_REQUIRE(local_names);
  CRUCIBLE_REQUIRE_ROOT;
  const std::unique_ptr<Listener> listener = listen(keyed("ours"));
  Peer guest([&] {
    ASSERT_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
    const std::unique_ptr<Connection> end = connect(*listener, keyed("ours"));
    EXPECT_EQ(as_text(take(*end)), "hello");
  });
  const std::unique_ptr<Connection> end = next_accepted(*listener);
  EXPECT_EQ(end->peer()->uid, kNobody);
  give(*end, text("hello"));
  guest.join();
}

TEST_P(DoorNames, A16_ADoorOfAnotherUserIsNotTrustedWithoutAKey) {
  CRUCIBLE_REQUIRE(local_names);
  CRUCIBLE_REQUIRE_ROOT;
  const std::string address = at("@crucible-squatter-" + std::to_string(::getpid()));
  Event listening;
  Event done;
  Peer squatter([&] {
    ASSERT_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
    const std::unique_ptr<Listener> listener = mechanism().listen(address, {});
    listening.set();
    done.wait();
  });
  listening.wait();
  EXPECT_THROW((void)context().connect(address), Auth);
  done.set();
  squatter.join();
}

TEST_P(DoorNames, A17_TheNameOfADeadOwnerIsTakenOver) {
  CRUCIBLE_REQUIRE(local_names);
  const Directory directory;
  const std::string path = directory.file("door");
  Event listening;
  Peer owner([&] {
    const std::unique_ptr<Listener> listener = listen_at(path);
    listening.set();
    for (;;) ::pause();
  });
  listening.wait();
  owner.kill();
  owner.join();
  ASSERT_TRUE(exists(path));
  EXPECT_THROW((void)context().connect(at(path)), Refused);
  const std::unique_ptr<Listener> heir = listen_at(path);
  expect_serves(*heir, mechanism());
}

TEST_P(DoorNames, A17_TheNameOfALivingOwnerNeverIsAlsoIfItIsStoppedOrBusy) {
  CRUCIBLE_REQUIRE(local_names);
  const Directory directory;
  const std::string path = directory.file("door");
  Event listening;
  Peer owner([&] {
    const std::unique_ptr<Listener> listener = listen_at(path);
    listening.set();
    next_accepted(*listener);
  });
  listening.wait();
  EXPECT_THROW((void)listen_at(path), Exists);
  owner.kill(SIGSTOP);
  while (proc::thread(owner.pid(), owner.pid()).state != 'T') std::this_thread::yield();
  for (int i = 0; i < 3; ++i) EXPECT_THROW((void)listen_at(path), Exists);
  owner.kill(SIGCONT);
  EXPECT_NE(context().connect(at(path)), nullptr) << "the name leads to its owner still";
  owner.join();
}

TEST_P(DoorNames, A17_WhatIsNoSocketIsNotRemoved) {
  CRUCIBLE_REQUIRE(local_names);
  const Directory directory;
  const std::string path = directory.file("precious");
  std::ofstream(path) << "data";
  EXPECT_THROW((void)listen_at(path), Exists);
  EXPECT_EQ(proc::read_file(path), "data");
  EXPECT_THROW((void)context().connect(at(path)), Refused);
}

TEST_P(DoorNames, A17_OfManyStartersAtADeadOwnersNameOneWins) {
  CRUCIBLE_REQUIRE(local_names);
  constexpr int kStarters = 4;
  for (int round = 0; round < 10; ++round) {
    const Directory directory;
    const std::string path = directory.file("door");
    Peer owner([&] {
      const std::unique_ptr<Listener> listener = listen_at(path);
      ::raise(SIGKILL);
    });
    ASSERT_EQ(owner.wait_status(), SIGKILL);
    const SharedBox<std::atomic<int>> winners(0);
    const SharedBox<std::atomic<int>> finished(0);
    std::vector<std::unique_ptr<Peer>> starters;
    for (int i = 0; i < kStarters; ++i) {
      starters.push_back(std::make_unique<Peer>([&] {
        std::unique_ptr<Listener> listener;
        try {
          listener = listen_at(path);
          ++*winners;
        } catch (const Exists&) {
        }
        ++*finished;
        while (*finished < kStarters) std::this_thread::yield();
        EXPECT_TRUE(listener == nullptr || exists(path));
      }));
    }
    for (const auto& starter : starters) starter->join();
    EXPECT_EQ(*winners, 1);
    EXPECT_FALSE(exists(path));
  }
}

TEST_P(DoorNames, A17_CloseRemovesItsOwnNameAndNoOther) {
  CRUCIBLE_REQUIRE(local_names);
  const Directory directory;
  const std::string path = directory.file("door");
  const std::unique_ptr<Listener> listener = listen_at(path);
  ASSERT_EQ(::rename(path.c_str(), directory.file("moved").c_str()), 0);
  const std::unique_ptr<Listener> other = listen_at(path);
  listener->close();
  EXPECT_TRUE(exists(path)) << "another's by now";
  expect_serves(*other, mechanism());
  other->close();
  EXPECT_FALSE(exists(path));
}

TEST_P(DoorNames, A18_AForkedCopyLeavesNameAndListenerAlone) {
  const Directory directory;
  const std::unique_ptr<Listener> listener = capabilities().local_names ? listen_at(directory.file("door")) : listen();
  Peer copy([&] {
    std::unique_ptr<Connection> none;
    EXPECT_EQ(listener->accept(none, Deadline::immediate()), Status::kState);
    EXPECT_THROW((void)wait({*listener}, Deadline::immediate()), StateError);
    const std::unique_ptr<Connection> end = connect(*listener);
    give(*end, text("from a copy"));
    listener->close();
  });
  EXPECT_EQ(as_text(take(*next_accepted(*listener))), "from a copy");
  copy.join();
  expect_serves(*listener, mechanism());
}

TEST_P(DoorNames, A18_AForkedCopyKeepsNeitherTheNameNorAConnectionAlive) {
  std::unique_ptr<Listener> listener = listen();
  const std::string address = listener->address();
  const std::unique_ptr<Connection> client = connect(*listener);
  ASSERT_EQ(wait({*listener}).size(), 1U);  // it waits in the listener while a copy of that is made
  Event copied;
  Event done;
  Peer copy([&] {
    copied.set();
    done.wait();
  });
  copied.wait();
  next_accepted(*listener).reset();
  EXPECT_EQ(next_status(*client), Status::kEof);
  listener.reset();
  EXPECT_NE(mechanism().listen(address, {}), nullptr);
  done.set();
  copy.join();
}

TEST_P(DoorNames, A18_ChildrenAreForkedWhilePeersComeAndGo) {
  const std::unique_ptr<Listener> listener = listen(keyed("fork"));
  std::atomic<bool> over = false;
  std::thread clients([&] {
    try {
      while (!over) (void)connect(*listener, keyed("fork"));
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  });
  std::thread server([&] {
    std::unique_ptr<Connection> end;
    while (listener->accept(end) != Status::kClosed) end.reset();
  });
  for (int i = 0; i < 50; ++i) {
    Process child([&listener = *listener] {
      std::unique_ptr<Connection> none;
      return listener.accept(none, Deadline::immediate()) == Status::kState ? 0 : 1;
    });
    child.start();
    child.join();
    ASSERT_EQ(child.exit_code(), 0);
  }
  over = true;
  clients.join();
  listener->close();
  server.join();
}

}  // namespace

CRUCIBLE_INSTANTIATE_ONCE(DoorNames);

}  // namespace crucible::testing
