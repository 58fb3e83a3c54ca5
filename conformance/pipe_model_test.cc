// Clause P48: random steps against a model of two queues; and the upper bounds of P49, H25 and H28, which run by
// themselves.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "api/connection.h"
#include "conformance/pipe_support.h"
#include "conformance/random.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/wait.h"

namespace crucible::testing {
namespace {

class PipeModel : public MechanismTest {};

// Both ends in one process, so that after every call it is known what must be in the pipe.
class Model {
 public:
  Model(ConnectionPair ends, Random& random) : ends_(std::move(ends)), random_(random) {}

  void step() {
    const bool forward = random_.one_in(2);
    Connection& sender = forward ? *ends_.first : *ends_.second;
    Connection& receiver = forward ? *ends_.second : *ends_.first;
    Direction& direction = forward ? forward_ : backward_;
    switch (random_.between(0, 9)) {
      case 0:
      case 1:
      case 2: send(sender, direction); break;
      case 3: send_many(sender, direction); break;
      case 4: look(receiver, direction); break;
      case 5: receive_into(receiver, direction); break;
      case 6: receive_none(receiver, direction); break;
      default: receive(receiver, direction); break;
    }
  }

  void drain() {
    while (!forward_.held.empty()) receive(*ends_.second, forward_);
    while (!backward_.held.empty()) receive(*ends_.first, backward_);
    ends_.first.reset();
    EXPECT_EQ(next_status(*ends_.second), Status::kEof);
  }

 private:
  struct Direction {
    std::deque<Bytes> held;
    bool gave_up = false;  // a send timed out since the last receive: poll() may see what is left of it
  };

  void note(Status status, Direction& direction, Bytes message) {
    if (status == Status::kOk) {
      direction.held.push_back(std::move(message));
    } else {
      ASSERT_EQ(status, Status::kTimeout);
      direction.gave_up = true;
    }
  }
  void send(Connection& end, Direction& direction) {
    Bytes message = pattern(random_.length(400'000), ++serial_);
    const Status status = random_.one_in(4)
                              ? end.send_bytes_for(message, std::chrono::microseconds(random_.between(0, 500)))
                              : end.try_send_bytes(message);
    note(status, direction, std::move(message));
  }
  void send_many(Connection& end, Direction& direction) {
    std::vector<Bytes> messages;
    for (std::size_t i = random_.between(0, 12); i > 0; --i)
      messages.push_back(pattern(random_.length(3'000), ++serial_));
    const std::vector<ByteView> views(messages.begin(), messages.end());
    std::size_t sent = 99;
    const Status status = end.send_many(views, sent, Deadline::immediate());
    ASSERT_LE(sent, views.size());
    if (status == Status::kOk) {
      ASSERT_EQ(sent, views.size());
    } else {
      note(status, direction, {});
    }
    for (std::size_t i = 0; i < sent; ++i) direction.held.push_back(std::move(messages[i]));
  }
  void look(Connection& end, const Direction& direction) {
    const bool seen = end.poll();
    if (!direction.held.empty()) {
      EXPECT_EQ(end.wait_readable(), Status::kOk);
    } else if (!direction.gave_up) {
      EXPECT_FALSE(seen);
    }
  }
  void receive(Connection& end, Direction& direction) {
    if (direction.held.empty()) return receive_none(end, direction);
    Bytes message(random_.between(0, 100));
    const std::size_t limit = direction.held.front().size() + random_.between(0, 1) * random_.between(0, 1'000);
    ASSERT_EQ(end.recv_bytes(message, limit, random_.one_in(2) ? Deadline::never() : Deadline::after(1h)), Status::kOk);
    pop(direction, message);
  }
  void receive_into(Connection& end, Direction& direction) {
    if (direction.held.empty()) return receive_none(end, direction);
    const std::size_t length = direction.held.front().size();
    Bytes buffer(random_.one_in(2) ? length + random_.between(0, 100) : random_.between(0, length));
    Bytes whole;
    std::size_t received = 0;
    const Status status = end.recv_bytes_into(buffer, received, Deadline::never(), &whole);
    ASSERT_EQ(status, buffer.size() < length ? Status::kTooShort : Status::kOk);
    ASSERT_EQ(received, length);
    pop(direction, status == Status::kOk ? ByteView(buffer).first(length) : ByteView(whole));
  }
  void receive_none(Connection& end, Direction& direction) {
    if (!direction.held.empty()) return;
    Bytes message;
    ASSERT_EQ(end.recv_bytes(message, Connection::kNoLimit, Deadline::immediate()), Status::kTimeout);
  }
  void pop(Direction& direction, ByteView message) {
    ASSERT_TRUE(same(message, direction.held.front()));
    direction.held.pop_front();
  }

  ConnectionPair ends_;
  Random& random_;
  Direction forward_;
  Direction backward_;
  std::uint64_t serial_ = 0;
};

TEST_P(PipeModel, P48_RandomStepsAgreeWithTheModel) {
  Random random;
  for (const std::size_t capacity : {0UL, 4'096UL, 70'000UL}) {
    Model model(pipe({.duplex = true, .capacity_bytes = capacity}), random);
    for (int step = 0; step < 3'000 && !HasFatalFailure(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step) + " at capacity " + std::to_string(capacity));
      model.step();
    }
    if (!HasFatalFailure()) model.drain();
  }
}

// The same between two processes, where sends and receives really overlap.
TEST_P(PipeModel, P48_RandomTrafficBetweenProcessesAgrees) {
  Random random;
  const std::uint64_t seed = random.engine()();
  for (const std::size_t capacity : {0UL, 4'096UL}) {
    auto [here, there] = pipe({.duplex = true, .capacity_bytes = capacity});
    constexpr std::uint64_t kMessages = 1'500;
    Peer child([end = std::move(there), &here = here, seed] {
      here.reset();
      Random sizes(seed);
      Random waits;
      for (std::uint64_t i = 0; i < kMessages; ++i) {
        const Bytes message = pattern(sizes.length(200'000), i);
        Status status = Status::kTimeout;
        while (status == Status::kTimeout) {
          status = end->send_bytes_for(message, std::chrono::microseconds(waits.between(0, 2'000)));
        }
        ASSERT_EQ(status, Status::kOk);
      }
    });
    Random sizes(seed);
    Random waits;
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      const std::size_t size = sizes.length(200'000);
      Status status = Status::kTimeout;
      Bytes message;
      while (status == Status::kTimeout) {
        const auto patience = std::chrono::microseconds(waits.between(0, 2'000));
        if (waits.one_in(5)) (void)here->poll_for(patience);
        status = waits.one_in(4) ? here->recv_bytes(message) : here->recv_bytes_for(message, patience);
      }
      ASSERT_EQ(status, Status::kOk);
      ASSERT_TRUE(same(message, pattern(size, i))) << "message " << i;
    }
    child.join();
  }
}

class PipeTiming : public MechanismTest {};

TEST_P(PipeTiming, P49_WhatDoesNotWaitReturnsAtOnce) {
  auto [here, there] = pipe();
  Bytes message;
  const Stopwatch waited;
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(here->poll());
    EXPECT_EQ(here->try_recv_bytes(message), Status::kTimeout);
    EXPECT_EQ(here->recv_bytes_for(message, -1h), Status::kTimeout);
    EXPECT_EQ(here->try_send_bytes({}), Status::kOk);
    EXPECT_EQ(there->recv_bytes(message), Status::kOk);
  }
  EXPECT_LT(waited.elapsed(), 100ms);
}

TEST_P(PipeTiming, P49_ASendToAFullPipeGivesUpInTime) {
  CRUCIBLE_REQUIRE_BOUND;
  for (const std::size_t size : {100UL, std::size_t{8} << 20U}) {
    auto [here, there] = pipe({.duplex = true, .capacity_bytes = 4096});
    if (fill(*here, size) == 0 && size < 1'000) ADD_FAILURE() << "held nothing";
    const Stopwatch waited;
    EXPECT_EQ(here->try_send_bytes(pattern(size, 1)), Status::kTimeout);
    EXPECT_LT(waited.elapsed(), 100ms);
    const Stopwatch waited_longer;
    EXPECT_EQ(here->send_bytes_for(pattern(size, 1), 200ms), Status::kTimeout);
    EXPECT_GE(waited_longer.elapsed(), 200ms);
    EXPECT_LT(waited_longer.elapsed(), 300ms);
  }
}

TEST_P(PipeTiming, H25_AReceiveOfHalfAMessageGivesUpInTime) {
  auto [here, there] = pipe();
  constexpr std::size_t kLarge = std::size_t{8} << 20U;
  Event over;
  Peer child([&end = *there, &over] {
    give(end, pattern(kLarge, 1));
    over.wait();
  });
  await_blocked(child.pid());
  ASSERT_EQ(::kill(child.pid(), SIGSTOP), 0);
  Bytes message;
  const Stopwatch waited;
  const Status status = here->recv_bytes_for(message, 200ms);
  EXPECT_LT(waited.elapsed(), 300ms);
  if (status == Status::kTimeout) {
    EXPECT_GE(waited.elapsed(), 200ms);
  }
  ASSERT_EQ(::kill(child.pid(), SIGCONT), 0);
  if (status == Status::kTimeout) message = take(*here);
  EXPECT_TRUE(same(message, pattern(kLarge, 1)));
  over.set();
  child.join();
}

TEST_P(PipeTiming, P49_ADeathIsNoticedWithinATenthOfASecond) {
  for (int round = 0; round < 5; ++round) {
    auto [here, there] = pipe();
    Event waiting;
    const SharedBox<std::atomic<std::int64_t>> death_ns{0};
    Peer child([end = std::move(there), &here = here, &waiting, &death_ns] {
      here.reset();
      // Long enough for both sides to be waiting.
      const SignalTimer death(SIGKILL, 50ms);
      *death_ns = Deadline::now_ns() + 50'000'000;
      waiting.set();
      (void)next_status(*end);
    });
    waiting.wait();
    EXPECT_EQ(next_status(*here), Status::kEof);
    EXPECT_EQ(here->send_bytes(text("x")), Status::kBrokenPipe);
    EXPECT_LT(Deadline::now_ns() - *death_ns, 100'000'000);
    child.kill();
    child.join();
  }
}

// The median of several: long enough asleep that one who were not woken would be found out.
TEST_P(PipeTiming, P49_AMessageWakesASleeperAtOnce) {
  for (const bool among_many : {false, true}) {
    auto [here, there] = pipe();
    auto [quiet, other] = pipe();
    const SharedBox<std::atomic<std::int64_t>> sent_ns{0};
    std::vector<std::int64_t> late_ns;
    std::array<Event, 5> waiting;
    Peer child([end = std::move(there), &waiting, &sent_ns] {
      for (Event& receiver : waiting) {
        receiver.wait();
        EXPECT_FALSE(Event().wait_for(110ms));  // the slow case is what is tested
        *sent_ns = Deadline::now_ns();
        give(*end, text("x"));
      }
    });
    for (Event& receiver : waiting) {
      receiver.set();
      if (among_many) {
        (void)wait({*quiet, *here});
      }
      EXPECT_EQ(as_text(take(*here)), "x");
      late_ns.push_back(Deadline::now_ns() - *sent_ns);
    }
    child.join();
    std::nth_element(late_ns.begin(), late_ns.begin() + 2, late_ns.end());
    EXPECT_LT(late_ns[2], 10'000'000) << (among_many ? "in wait()" : "in a receive");
  }
}

TEST_P(PipeTiming, H28_CloseWakesWithinHalfASecond) {
  auto [here, there] = pipe();
  Connection& end = *here;
  std::atomic<pid_t> tid = 0;
  Event begun;
  std::thread user([&] {
    tid = thread_id();
    begun.set();
    EXPECT_EQ(next_status(end), Status::kClosed);
  });
  begun.wait();
  await_blocked(::getpid(), tid);
  const Stopwatch since;
  end.close();
  user.join();
  EXPECT_LT(since.elapsed(), 500ms);
}

}  // namespace

CRUCIBLE_INSTANTIATE(PipeModel);
CRUCIBLE_INSTANTIATE(PipeTiming);

}  // namespace crucible::testing
