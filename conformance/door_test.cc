// Clauses A1 to A14 and A28: named doors as programs use them. Names, hostile peers and deaths are in the files beside
// this one.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <memory>
#include <string>
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

class Door : public DoorTest {};

TEST_P(Door, A1_AProcessThatKnowsOnlyTheAddressIsServed) {
  const std::unique_ptr<Listener> listener = listen();
  const std::string address = listener->address();
  Peer client([&address] {
    const std::unique_ptr<Connection> end = context().connect(address);
    give(*end, pattern(100'000, 1));
    EXPECT_TRUE(same(take(*end), pattern(100'000, 2)));
    EXPECT_EQ(next_status(*end), Status::kEof);
  });
  std::unique_ptr<Connection> end = next_accepted(*listener);
  EXPECT_TRUE(same(take(*end), pattern(100'000, 1)));
  EXPECT_EQ(end->mechanism(), mechanism().name);
  give(*end, pattern(100'000, 2));
  end.reset();
  client.join();
}

TEST_P(Door, A1_TheSecondListenerAtAnAddressIsRefused) {
  const std::unique_ptr<Listener> listener = listen();
  EXPECT_THROW((void)mechanism().listen(listener->address(), {}), Exists);
  std::unique_ptr<Connection> none;
  EXPECT_EQ(listener->accept(none, Deadline::immediate()), Status::kTimeout) << "the attempt was taken for a peer";
  expect_serves(*listener, mechanism());
}

TEST_P(Door, A1_AnAddressCanBeUsedAgain) {
  std::string address;
  for (int round = 0; round < 3; ++round) {
    const std::unique_ptr<Listener> listener =
        round == 0 ? listen() : mechanism().listen(address, {});  // connections of the last round linger in TCP
    address = listener->address();
    expect_serves(*listener, mechanism());
  }
}

TEST_P(Door, A2_WhatAClientSentBeforeItClosedIsReceivedAfterAccept) {
  const std::unique_ptr<Listener> listener = listen();
  {
    const std::unique_ptr<Connection> client = connect(*listener);
    give(*client, text("sent and gone"));
  }
  const std::unique_ptr<Connection> end = next_accepted(*listener);
  EXPECT_EQ(as_text(take(*end)), "sent and gone");
  EXPECT_EQ(next_status(*end), Status::kEof);
}

TEST_P(Door, A3_WhatIsSentRightAfterAcceptArrives) {
  const std::unique_ptr<Listener> listener = listen();
  const std::unique_ptr<Connection> client = connect(*listener);
  const std::unique_ptr<Connection> end = next_accepted(*listener);
  give(*end, text("welcome"));
  EXPECT_TRUE(client->poll_for(1h));
  EXPECT_EQ(as_text(take(*client)), "welcome");
}

TEST_P(Door, A4_AClosedListenerIsGoneAndItsConnectionsLiveOn) {
  const std::unique_ptr<Listener> listener = listen();
  const std::string address = listener->address();
  const std::unique_ptr<Connection> client = connect(*listener);
  const std::unique_ptr<Connection> end = next_accepted(*listener);
  listener->close();
  listener->close();
  std::unique_ptr<Connection> none;
  EXPECT_EQ(listener->accept(none), Status::kClosed);
  EXPECT_EQ(listener->address(), address);
  EXPECT_THROW((void)wait({*listener}, Deadline::immediate()), Closed);
  expect_works(*client, *end);
  try {
    (void)context().connect(address);
    ADD_FAILURE() << "somebody listens";
  } catch (const NotFound&) {
  } catch (const Refused&) {
  }
}

TEST_P(Door, A4_CloseWakesWhoeverIsInAccept) {
  const std::unique_ptr<Listener> listener = listen();
  std::atomic<pid_t> accepting = 0;
  std::thread thread([&] {
    accepting = thread_id();
    std::unique_ptr<Connection> none;
    EXPECT_EQ(listener->accept(none), Status::kClosed);
  });
  while (accepting == 0) std::this_thread::yield();
  await_blocked(::getpid(), accepting);
  listener->close();
  thread.join();
}

TEST_P(Door, A4_CloseWakesWhoeverIsInWait) {
  const std::unique_ptr<Listener> listener = listen();
  std::atomic<pid_t> waiting = 0;
  std::thread thread([&] {
    waiting = thread_id();
    EXPECT_THROW((void)wait({*listener}), Closed);
  });
  while (waiting == 0) std::this_thread::yield();
  await_blocked(::getpid(), waiting);
  listener->close();
  thread.join();
}

TEST_P(Door, A6_TheSameKeyOpensWhateverItsLength) {
  for (const std::string& key : {std::string(), std::string("k"), std::string(64, 'x'), std::string(1000, 'y')}) {
    const DoorOptions options = keyed(key);
    const std::unique_ptr<Listener> listener = listen(options);
    expect_serves(*listener, mechanism(), options);
  }
}

TEST_P(Door, A6_AnotherKeyIsRefusedOnBothSides) {
  const std::unique_ptr<Listener> listener = listen(keyed("the key"));
  for (const char* wrong : {"", "The key", "the key ", "the ke"}) {
    EXPECT_THROW((void)connect(*listener, keyed(wrong)), Auth) << wrong;
    std::unique_ptr<Connection> none;
    EXPECT_EQ(listener->accept(none), Status::kAuth) << wrong;
  }
  expect_serves(*listener, mechanism(), keyed("the key"));
}

TEST_P(Door, H34_AKeyOnOneSideOnlyIsRefusedOnBoth) {
  for (const bool listener_has_key : {false, true}) {
    const DoorOptions with = keyed("key");
    const DoorOptions without = {};
    const std::unique_ptr<Listener> listener = listen(listener_has_key ? with : without);
    EXPECT_THROW((void)connect(*listener, listener_has_key ? without : with), Auth);
    std::unique_ptr<Connection> none;
    EXPECT_EQ(listener->accept(none), Status::kAuth);
    expect_serves(*listener, mechanism(), listener_has_key ? with : without);
  }
}

TEST_P(Door, A9_WhatIsNoAddressIsABadArgument) {
  const std::string scheme(mechanism().scheme);
  for (const std::string& bad :
       {std::string(), scheme, std::string("/tmp/x"), "x" + scheme + ":", scheme + ";", std::string("nosuch:/tmp/x"),
        scheme + ":relative", scheme + ":@", scheme + ":/", scheme + ":/" + std::string(500, 'x'),
        scheme + ":@" + std::string(108, 'x'), scheme + ":/a" + std::string(1, '\0') + "b", scheme + ":host:65536",
        scheme + ":host:-1", scheme + ":host:", scheme + ":[::1]", scheme + ":::1:80", scheme + ":a b:80"}) {
    EXPECT_THROW((void)mechanism().listen(bad, {}), BadArgument) << bad;
    EXPECT_THROW((void)context().connect(bad), BadArgument) << bad;
  }
  EXPECT_THROW((void)context().connect(anywhere()), BadArgument) << "leads nowhere";
}

TEST_P(Door, A9_WhereNobodyListensAConnectFailsAtOnce) {
  const std::string vacant = listen()->address();
  try {
    (void)context().connect(vacant);
    ADD_FAILURE() << "somebody listens at " << vacant;
  } catch (const NotFound&) {
    EXPECT_TRUE(capabilities().local_names);
  } catch (const Refused&) {
    EXPECT_FALSE(capabilities().local_names);
  }
  if (capabilities().local_names) {
    EXPECT_THROW((void)context().connect(at("/nonexistent/directory/door")), NotFound);
    const Directory directory;
    EXPECT_THROW((void)context().connect(at(directory.file("none"))), NotFound);
  }
}

TEST_P(Door, A9_OptionsThatNoDoorHasAreBadArguments) {
  std::vector<DoorOptions> impossible(2);
  impossible[0].pipe.duplex = false;
  impossible[1].handshake_timeout = 0ms;
  for (const WaitStrategy wait : {WaitStrategy::kAdaptive, WaitStrategy::kSpin, WaitStrategy::kBlock}) {
    if (std::ranges::find(mechanism().waits, wait) != mechanism().waits.end()) continue;
    impossible.emplace_back().pipe.wait = wait;
    EXPECT_THROW((void)pipe({.wait = wait}), BadArgument);
  }
  const std::unique_ptr<Listener> listener = listen();
  for (const DoorOptions& options : impossible) {
    EXPECT_THROW((void)listen(options), BadArgument);
    EXPECT_THROW((void)connect(*listener, options), BadArgument);
  }
}

TEST_P(Door, A10_AcceptGivesUpAtItsDeadlineAndNotBefore) {
  const std::unique_ptr<Listener> listener = listen();
  std::unique_ptr<Connection> none;
  EXPECT_EQ(listener->accept(none, Deadline::immediate()), Status::kTimeout);
  const Stopwatch watch;
  EXPECT_EQ(listener->accept(none, Deadline::after(50ms)), Status::kTimeout);
  EXPECT_GE(watch.elapsed(), 50ms);
  EXPECT_EQ(none, nullptr);
  expect_serves(*listener, mechanism());
}

TEST_P(Door, A11_AListenerAndItsConnectionsAreWaitedForTogether) {
  const std::unique_ptr<Listener> listener = listen();
  EXPECT_TRUE(wait({*listener}, Deadline::after(20ms)).empty());
  const std::unique_ptr<Connection> first = connect(*listener);
  EXPECT_EQ(wait({*listener}), std::vector<std::size_t>{0});
  const std::unique_ptr<Connection> end = next_accepted(*listener);
  EXPECT_TRUE(wait({*listener, *end}, Deadline::immediate()).empty());
  give(*first, text("x"));
  EXPECT_EQ(wait({*listener, *end}), std::vector<std::size_t>{1});
  const std::unique_ptr<Connection> second = connect(*listener);
  while (wait({*listener, *end}).size() < 2) {
  }
  Process child([] {});
  child.start();
  child.join();
  EXPECT_EQ(wait({child, *listener, *end}), (std::vector<std::size_t>{0, 1, 2}));
}

TEST_P(Door, A12_ManyClientsAtOnceAreEachServedTheirOwn) {
  constexpr int kProcesses = 10;
  constexpr int kThreads = 10;
  const std::unique_ptr<Listener> listener = listen(keyed("many"));
  std::vector<std::unique_ptr<Peer>> clients;
  for (int process = 0; process < kProcesses; ++process) {
    clients.push_back(std::make_unique<Peer>([&listener = *listener, process] {
      std::vector<std::thread> threads;
      for (int thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&listener, id = std::to_string(process * kThreads + thread)] {
          const std::unique_ptr<Connection> end = connect(listener, keyed("many"));
          give(*end, text(id));
          EXPECT_EQ(as_text(take(*end)), id);
        });
      }
      for (std::thread& thread : threads) thread.join();
    }));
  }
  std::vector<std::unique_ptr<Connection>> ends;
  for (int i = 0; i < kProcesses * kThreads; ++i) ends.push_back(next_accepted(*listener));
  for (const auto& end : ends) give(*end, take(*end));
  for (const auto& client : clients) client->join();
}

TEST_P(Door, A12_ConnectsSucceedWhileNobodyAccepts) {
  const std::unique_ptr<Listener> listener = listen();
  std::vector<std::unique_ptr<Connection>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(connect(*listener));
    give(*clients.back(), text(std::to_string(i)));
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(as_text(take(*next_accepted(*listener))), std::to_string(i));
}

TEST_P(Door, P22_HandledSignalsShowNeitherInAcceptNorInConnect) {
  const std::unique_ptr<Listener> listener = listen(keyed("signals"));
  Peer client([&listener = *listener] {
    const SignalStorm storm;
    for (int i = 0; i < 100; ++i) {
      const std::unique_ptr<Connection> end = connect(listener, keyed("signals"));
      EXPECT_EQ(as_text(take(*end)), std::to_string(i));
    }
  });
  const SignalStorm storm;
  std::unique_ptr<Connection> none;
  for (int i = 0; i < 100; ++i) {
    std::unique_ptr<Connection> end;
    ASSERT_EQ(listener->accept(end), Status::kOk);
    give(*end, text(std::to_string(i)));
    EXPECT_EQ(next_status(*end), Status::kEof);
  }
  client.join();
  const Stopwatch watch;
  EXPECT_EQ(listener->accept(none, Deadline::after(100ms)), Status::kTimeout);
  EXPECT_GE(watch.elapsed(), 100ms);
  EXPECT_GT(SignalStorm::hits(), 50);
}

TEST_P(Door, A13_ADeadlinePassesWhileTheListenersProcessIsStopped) {
  const SharedBox<std::array<char, 128>> address;
  Event listening;
  Peer owner([&] {
    const std::unique_ptr<Listener> listener = listen();
    listener->address().copy(address->data(), address->size());
    listening.set();
    expect_works(*next_accepted(*listener), *next_accepted(*listener));
  });
  listening.wait();
  owner.kill(SIGSTOP);
  while (proc::thread(owner.pid(), owner.pid()).state != 'T') std::this_thread::yield();
  const Stopwatch watch;
  EXPECT_EQ(mechanism().connect(address->data(), {}, Deadline::after(50ms)), nullptr);
  EXPECT_GE(watch.elapsed(), 50ms);
  EXPECT_EQ(mechanism().connect(address->data(), {}, Deadline::immediate()), nullptr);
  owner.kill(SIGCONT);
  owner.kill(SIGKILL);
  owner.join();
}

TEST_P(Door, A28_ADeadlinePassesWhileTheBacklogIsFull) {
  CRUCIBLE_REQUIRE(local_names);  // where TCP's is full the kernel only drops packets, and tells nobody
  const RawDoor door = raw_listen(mechanism());
  const SignalStorm storm;
  for (int i = 0; i < 40; ++i) {  // each leaves its socket in the backlog of 16
    const Stopwatch watch;
    EXPECT_EQ(mechanism().connect(door.address, {}, Deadline::after(5ms)), nullptr);
    EXPECT_GE(watch.elapsed(), 5ms);
  }
  EXPECT_EQ(mechanism().connect(door.address, {}, Deadline::immediate()), nullptr);
}

TEST_P(Door, A14_PeersAreKnownByTheirProcess) {
  CRUCIBLE_REQUIRE(local_names);
  const std::unique_ptr<Listener> listener = listen();
  Peer client([&listener = *listener, owner = ::getpid()] {
    const std::unique_ptr<Connection> end = connect(listener);
    ASSERT_TRUE(end->peer());
    EXPECT_EQ(end->peer()->pid, owner);
    EXPECT_EQ(end->peer()->uid, ::geteuid());
  });
  const std::unique_ptr<Connection> end = next_accepted(*listener);
  ASSERT_TRUE(end->peer());
  EXPECT_EQ(end->peer()->pid, client.pid());
  EXPECT_EQ(end->peer()->gid, ::getegid());
  client.join();
}

}  // namespace

CRUCIBLE_INSTANTIATE_ONCE(Door);

}  // namespace crucible::testing
