// Clauses P25 to P27: wait() over connections, processes and descriptors together.
#include "core/wait.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "api/connection.h"
#include "conformance/pipe_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/fd.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

class Wait : public MechanismTest {};

using Positions = std::vector<std::size_t>;

struct Socket {
  Socket() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    mine = Fd(ends[0]);
    other = Fd(ends[1]);
  }
  Fd mine;
  Fd other;
};

// Every message of all connections, by wait(), until each has come to its end of file; how many came from each.
std::vector<int> collect(std::vector<std::unique_ptr<Connection>>& ends) {
  std::vector<int> counts(ends.size(), 0);
  std::vector<std::size_t> open(ends.size());
  std::iota(open.begin(), open.end(), 0);
  while (!open.empty()) {
    std::vector<WaitItem> items;
    for (const std::size_t i : open) items.emplace_back(*ends[i]);
    const Positions ready = wait(items);
    EXPECT_FALSE(ready.empty());
    EXPECT_TRUE(std::is_sorted(ready.begin(), ready.end()));
    Positions ended;
    for (const std::size_t position : ready) {
      const std::size_t i = open[position];
      Bytes message;
      const Status status = ends[i]->try_recv_bytes(message);
      if (status == Status::kEof) {
        ended.push_back(i);
      } else {
        EXPECT_EQ(status, Status::kOk) << "ready, but nothing to receive";
        EXPECT_EQ(as_text(message), std::to_string(i) + ":" + std::to_string(counts[i]++));
      }
    }
    for (const std::size_t i : ended) open.erase(std::find(open.begin(), open.end(), i));
  }
  return counts;
}

void collect_from_four(const Variant& variant, std::chrono::nanoseconds pause) {
  std::vector<std::unique_ptr<Connection>> ends;
  std::vector<std::unique_ptr<Peer>> children;
  for (int i = 0; i < 4; ++i) {
    auto [here, there] = variant.pipe({});
    children.push_back(std::make_unique<Peer>([end = std::move(there), &here = here, i, pause] {
      here.reset();
      Event never;
      for (int n = 0; n < 10; ++n) {
        EXPECT_FALSE(never.wait_for(pause * (i + 1)));  // the slow case is what is tested
        give(*end, as_bytes(std::to_string(i) + ":" + std::to_string(n)));
      }
    }));
    ends.push_back(std::move(here));
  }
  EXPECT_EQ(collect(ends), std::vector<int>(4, 10));
  for (const auto& child : children) child->join();
}

TEST_P(Wait, P25_GathersFromFourFastSenders) { collect_from_four(GetParam(), 0ms); }

TEST_P(Wait, P25_GathersFromFourSlowSenders) { collect_from_four(GetParam(), 5ms); }

TEST_P(Wait, P25_MixesConnectionsAndSockets) {
  auto [here, there] = pipe();
  const Socket socket;
  EXPECT_EQ(wait({*here, socket.mine.get()}, Deadline::immediate()), Positions{});
  ASSERT_EQ(::write(socket.other.get(), "x", 1), 1);
  EXPECT_EQ(wait({*here, socket.mine.get()}), Positions{1});
  give(*there, {});
  EXPECT_EQ(here->wait_readable(), Status::kOk) << "what was sent need not have come when send returns";
  EXPECT_EQ(wait({*here, socket.mine.get()}), (Positions{0, 1}));
  EXPECT_EQ(wait({socket.mine.get(), *here}), (Positions{0, 1}));
  EXPECT_EQ(take(*here).size(), 0U);
  EXPECT_EQ(wait({*here, socket.mine.get()}), Positions{1});
  there.reset();
  EXPECT_EQ(wait({*here, socket.mine.get()}), (Positions{0, 1}));
  EXPECT_EQ(next_status(*here), Status::kEof);
}

// Those behind the first may have left the kernel with it.
TEST_P(Wait, P25_WhatIsBehindAReceivedMessageIsReady) {
  auto [here, there] = pipe();
  const std::vector<Bytes> messages = {text("one"), {}, text("three")};
  const std::vector<ByteView> views(messages.begin(), messages.end());
  std::size_t sent = 0;
  ASSERT_EQ(there->send_many(views, sent), Status::kOk);
  for (const char* expected : {"one", "", "three"}) {
    EXPECT_EQ(wait({*here}), Positions{0});
    EXPECT_EQ(here->wait_readable(), Status::kOk);
    EXPECT_EQ(as_text(take(*here)), expected);
  }
  EXPECT_EQ(wait({*here}, Deadline::immediate()), Positions{});
}

TEST_P(Wait, P25_HandledSignalsDoNotShow) {
  auto [here, there] = pipe();
  auto [idle, other] = pipe();
  Event may_send;
  Peer child([end = std::move(there), &may_send] {
    may_send.wait();
    give(*end, text("x"));
  });
  const SignalStorm storm;
  const Stopwatch waited;
  EXPECT_EQ(wait({*idle, *here}, Deadline::after(100ms)), Positions{});
  EXPECT_GE(waited.elapsed(), 100ms);
  EXPECT_GT(SignalStorm::hits(), 0);
  may_send.set();
  EXPECT_EQ(wait({*idle, *here}), Positions{1});
  child.join();
}

TEST_P(Wait, P26_NothingReadyIsAnEmptyResult) {
  auto [here, there] = pipe();
  EXPECT_EQ(wait({*here}, Deadline::immediate()), Positions{});
  EXPECT_EQ(wait({*here}, Deadline::after(-1s)), Positions{});
  const Stopwatch waited;
  EXPECT_EQ(wait({*here, *there}, Deadline::after(150ms)), Positions{});
  EXPECT_GE(waited.elapsed(), 150ms);
}

TEST_P(Wait, P26_NoItemsWaitOutTheDeadline) {
  const Stopwatch waited;
  EXPECT_EQ(wait({}, Deadline::after(100ms)), Positions{});
  EXPECT_GE(waited.elapsed(), 100ms);
  EXPECT_EQ(wait({}), Positions{}) << "for ever would be a program that hangs";
}

TEST_P(Wait, P26_ClosedTwiceNamedAndNegativeItemsAreErrors) {
  auto [here, there] = pipe();
  auto [closed, other] = pipe();
  closed->close();
  EXPECT_THROW((void)wait({*here, *here}, Deadline::immediate()), BadArgument);
  EXPECT_THROW((void)wait({0, 0}, Deadline::immediate()), BadArgument);
  EXPECT_THROW((void)wait({*here, -1}, Deadline::immediate()), BadArgument);
  EXPECT_THROW((void)wait({*here, *closed}, Deadline::immediate()), Closed);
  EXPECT_THROW((void)wait({*closed, *here}, Deadline::immediate()), Closed);
  give(*there, text("still works"));
  EXPECT_EQ(wait({*here}), Positions{0});
  EXPECT_EQ(as_text(take(*here)), "still works");
}

TEST_P(Wait, P26_ASendOnlyEndIsReadyWhenItsPeerIsGone) {
  auto [reader, writer] = pipe({.duplex = false});
  EXPECT_EQ(wait({*writer}, Deadline::after(50ms)), Positions{});
  give(*writer, text("x"));
  EXPECT_EQ(wait({*reader, *writer}), Positions{0});
  reader.reset();
  EXPECT_EQ(wait({*writer}), Positions{0});
}

TEST_P(Wait, P27_ASentinelAndWhatIsReadyBesideIt) {
  auto [here, there] = pipe();
  Event end_now;
  Process child([](Event* event) { event->wait(); }, &end_now);
  child.start();
  EXPECT_EQ(wait({*here, child, child.sentinel()}, Deadline::after(50ms)), Positions{});
  end_now.set();
  EXPECT_EQ(wait({*here, child.sentinel()}), Positions{1});
  EXPECT_EQ(wait({*here, child}), Positions{1});
  give(*there, text("x"));
  EXPECT_EQ(here->wait_readable(), Status::kOk);
  EXPECT_EQ(wait({*here, child, child.sentinel()}), (Positions{0, 1, 2}));
  child.join();
  EXPECT_EQ(wait({child, *here}), (Positions{0, 1})) << "an ended process stays ready";
  EXPECT_EQ(wait({*here, child}), (Positions{0, 1})) << "ascending";
}

TEST_P(Wait, P27_WakesForWhateverComesFirst) {
  auto [quiet, other] = pipe();
  for (int round = 0; round < 20; ++round) {
    auto [here, there] = pipe();
    const pid_t waiter = thread_id();
    Event woken;
    Peer child([end = std::move(there), waiter, parent = ::getpid(), &woken] {
      await_blocked(parent, waiter);
      give(*end, text("late"));
      woken.wait();  // its end would be news too
    });
    EXPECT_EQ(wait({*quiet, *here}), Positions{1});
    woken.set();
    EXPECT_EQ(as_text(take(*here)), "late");
    child.join();
  }
}

}  // namespace

CRUCIBLE_INSTANTIATE(Wait);

}  // namespace crucible::testing
