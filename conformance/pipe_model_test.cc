// Clause P48: random steps against a model of two queues.
#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "api/connection.h"
#include "conformance/pipe_support.h"
#include "conformance/random.h"
#include "conformance/support/peer.h"

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
    std::size_t length = 0;  // of the last message
    bool gave_up = false;    // a send timed out since the last receive: poll() may see what is left of it
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
    // Steady sizes are as usual as changing ones.
    if (random_.one_in(2)) direction.length = random_.length(400'000);
    Bytes message = pattern(direction.length, ++serial_);
    const Status status = random_.one_in(4)
                              ? end.send_bytes_for(message, std::chrono::microseconds(random_.between(0, 500)))
                              : end.try_send_bytes(message);
    note(status, direction, std::move(message));
  }
  void send_many(Connection& end, Direction& direction) {
    std::vector<Bytes> messages;
    const bool is_steady = random_.one_in(2);
    for (std::size_t i = random_.between(0, 12); i > 0; --i) {
      if (!is_steady) direction.length = random_.length(3'000);
      messages.push_back(pattern(direction.length, ++serial_));
    }
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
    Bytes message(random_.one_in(2) ? direction.held.front().size() : random_.between(0, 100));
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

}  // namespace

CRUCIBLE_INSTANTIATE(PipeModel);

}  // namespace crucible::testing
