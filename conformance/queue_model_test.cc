// Clause Q47: random steps against a model; and the upper bounds of Q48, H25 and H28, which run by themselves.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <deque>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/queue_support.h"
#include "conformance/random.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"

namespace crucible::testing {
namespace {

class QueueModel : public QueueTest {};

// One caller, so that after every call it is known what must be in the queue.
class Model {
 public:
  Model(QueueHandle queue, Random& random) : queue_(std::move(queue)), random_(random) {}

  void step() {
    switch (random_.between(0, 9)) {
      case 0:
      case 1:
      case 2: put(); break;
      case 3: put_many(); break;
      case 4: get_many(); break;
      case 5: get_into(); break;
      case 6: done(); break;
      default: get(); break;
    }
    std::size_t count = 0;
    ASSERT_EQ(queue_->count(count), Status::kOk);
    ASSERT_EQ(count, held_.size());
    if (queue_->maxsize() != 0 && held_.size() == queue_->maxsize()) {
      ASSERT_TRUE(queue_->full());
    }
  }

  void drain() {
    while (!held_.empty() && !::testing::Test::HasFatalFailure()) get();
    EXPECT_TRUE(queue_->empty());
    EXPECT_FALSE(queue_->full());
    for (; unfinished_ > 0; --unfinished_) ASSERT_EQ(queue_->task_done(), Status::kOk);
    EXPECT_TRUE(queue_->join_for(0s));
  }

 private:
  bool has_slots(std::size_t count = 1) const {
    return queue_->maxsize() == 0 || held_.size() + count <= queue_->maxsize();
  }
  void note(Bytes message) {
    held_.push_back(std::move(message));
    ++unfinished_;
  }
  void put() {
    Bytes message = pattern(random_.length(100'000), ++serial_);
    const Status status = random_.one_in(4)
                              ? queue_->put_bytes_for(message, std::chrono::microseconds(random_.between(0, 500)))
                              : queue_->try_put_bytes(message);
    if (!has_slots()) {
      ASSERT_EQ(status, Status::kTimeout);
    } else if (held_.empty() && message.size() <= 1'000) {
      ASSERT_EQ(status, Status::kOk) << "full, but there is nothing in it";
    }
    if (status == Status::kOk) note(std::move(message));
  }
  void put_many() {
    std::vector<Bytes> messages;
    for (std::size_t i = random_.between(0, 12); i > 0; --i) {
      messages.push_back(pattern(random_.length(3'000), ++serial_));
    }
    const std::vector<ByteView> views(messages.begin(), messages.end());
    std::size_t count = 99;
    const Status status = queue_->put_many(views, count, Deadline::immediate());
    ASSERT_TRUE(status == Status::kOk ? count == views.size() : status == Status::kTimeout && count < views.size());
    ASSERT_TRUE(has_slots(count));
    for (std::size_t i = 0; i < count; ++i) note(std::move(messages[i]));
  }
  void get() {
    Bytes message;
    const Status status =
        random_.one_in(3) && !held_.empty() ? queue_->get_bytes(message) : queue_->try_get_bytes(message);
    ASSERT_EQ(status, held_.empty() ? Status::kTimeout : Status::kOk);
    if (status == Status::kOk) pop(message);
  }
  void get_into() {
    const std::size_t length = held_.empty() ? 0 : held_.front().size();
    Bytes buffer(random_.one_in(4) ? random_.between(0, length) : length + random_.between(0, 100));
    Bytes whole;
    std::size_t received = 0;
    const Status status = queue_->get_bytes_into(buffer, received, Deadline::immediate(), &whole);
    if (held_.empty()) {
      ASSERT_EQ(status, Status::kTimeout);
      return;
    }
    ASSERT_EQ(status, buffer.size() < length ? Status::kTooShort : Status::kOk);
    ASSERT_EQ(received, length);
    pop(status == Status::kOk ? ByteView(buffer).first(length) : ByteView(whole));
  }
  void get_many() {
    const std::size_t most = random_.between(1, 10);
    std::vector<Bytes> messages;
    const Status status = queue_->get_many(messages, most, Deadline::immediate());
    ASSERT_EQ(status, held_.empty() ? Status::kTimeout : Status::kOk);
    if (status != Status::kOk) return;
    ASSERT_TRUE(!messages.empty() && messages.size() <= std::min(most, held_.size()));
    for (const Bytes& message : messages) pop(message);
  }
  void done() {
    const Status status = queue_->task_done();
    ASSERT_EQ(status, unfinished_ == 0 ? Status::kBadArgument : Status::kOk);
    if (status == Status::kOk) --unfinished_;
    ASSERT_EQ(queue_->join_for(0s), unfinished_ == 0);
  }
  void pop(ByteView message) {
    ASSERT_TRUE(same(message, held_.front()));
    held_.pop_front();
  }

  QueueHandle queue_;
  Random& random_;
  std::deque<Bytes> held_;
  std::size_t unfinished_ = 0;
  std::uint64_t serial_ = 0;
};

TEST_P(QueueModel, Q47_RandomStepsAgreeWithTheModel) {
  Random random;
  for (const std::size_t maxsize : {0UL, 1UL, 9UL}) {
    Model model(make({.maxsize = maxsize, .joinable = true}), random);
    for (int step = 0; step < 1'500 && !HasFatalFailure(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step) + " with a bound of " + std::to_string(maxsize));
      model.step();
    }
    if (!HasFatalFailure()) model.drain();
  }
}

// The same between processes, where puts and gets really overlap and give up in each other's middle.
TEST_P(QueueModel, Q47_RandomTrafficBetweenProcessesAgrees) {
  Random random;
  const std::uint64_t seed = random.engine()();
  for (const std::size_t maxsize : {0UL, 3UL}) {
    const QueueHandle queue = make({.maxsize = maxsize});
    constexpr std::uint64_t kMessages = 1'000;
    Peer child([&] {
      Random sizes(seed);
      Random waits;
      for (std::uint64_t i = 0; i < kMessages; ++i) {
        const Bytes message = pattern(sizes.length(200'000), i);
        Status status = Status::kTimeout;
        while (status == Status::kTimeout) {
          status = queue->put_bytes_for(message, std::chrono::microseconds(waits.between(0, 2'000)));
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
        status = waits.one_in(4) ? queue->get_bytes(message)
                                 : queue->get_bytes_for(message, std::chrono::microseconds(waits.between(0, 2'000)));
      }
      ASSERT_EQ(status, Status::kOk);
      ASSERT_TRUE(same(message, pattern(size, i))) << "message " << i;
    }
    child.join();
    EXPECT_TRUE(queue->empty());
  }
}

class QueueTiming : public QueueTest {};

TEST_P(QueueTiming, Q48_WhatDoesNotWaitReturnsAtOnce) {
  const QueueHandle queue = make({.maxsize = 1});
  Bytes message;
  EXPECT_EQ(queue->try_get_bytes(message), Status::kTimeout);  // the first call of a handle may connect it
  const Stopwatch waited;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(queue->try_get_bytes(message), Status::kTimeout);
    EXPECT_EQ(queue->get_bytes_for(message, -1h), Status::kTimeout);
    EXPECT_EQ(queue->try_put_bytes(message), Status::kOk);
    EXPECT_EQ(queue->try_put_bytes(message), Status::kTimeout);
    EXPECT_EQ(queue->put_bytes_for(message, 0s), Status::kTimeout);
    EXPECT_EQ(queue->get_bytes(message), Status::kOk);
  }
  EXPECT_LT(waited.elapsed(), 100ms);
}

TEST_P(QueueTiming, Q48_DurationsAreExceededByATenthOfASecondAtMost) {
  const QueueHandle queue = make({.maxsize = 1, .joinable = true});
  Bytes message;
  const auto expect_200ms = [](const auto& call) {
    const Stopwatch waited;
    EXPECT_EQ(call(), Status::kTimeout);
    EXPECT_GE(waited.elapsed(), 200ms);
    EXPECT_LT(waited.elapsed(), 300ms);
  };
  expect_200ms([&] { return queue->get_bytes_for(message, 200ms); });
  put(*queue, "full");
  expect_200ms([&] { return queue->put_bytes_for(message, 200ms); });
  expect_200ms([&] { return queue->put_bytes_for(pattern(8'000'000, 1), 200ms); });
  expect_200ms([&] { return queue->join_until(Deadline::after(200ms)); });
}

// The median of several: long enough asleep that one who were not woken would be found out.
TEST_P(QueueTiming, Q48_AMessageAndRoomWakeASleeperAtOnce) {
  const QueueHandle there = make({.maxsize = 1});
  const QueueHandle back = make({.maxsize = 1});
  const SharedBox<std::atomic<std::int64_t>> at_ns{0};
  std::array<Event, 5> waiting;
  std::vector<std::int64_t> message_ns;
  std::vector<std::int64_t> room_ns;
  Peer child([&] {
    for (Event& sleeper : waiting) {
      sleeper.wait();
      EXPECT_FALSE(Event().wait_for(110ms));  // the slow case is what is tested
      *at_ns = Deadline::now_ns();
      put(*there, "wakes who gets");
      EXPECT_FALSE(Event().wait_for(110ms));
      *at_ns = Deadline::now_ns();
      (void)get(*back);  // wakes who puts
      (void)get(*back);
    }
  });
  for (Event& sleeper : waiting) {
    sleeper.set();
    (void)get(*there);
    message_ns.push_back(Deadline::now_ns() - *at_ns);
    put(*back, "fills it");
    put(*back, "waits for room");
    room_ns.push_back(Deadline::now_ns() - *at_ns);
  }
  child.join();
  for (std::vector<std::int64_t>* late_ns : {&message_ns, &room_ns}) {
    std::ranges::nth_element(*late_ns, late_ns->begin() + 2);
    EXPECT_LT(late_ns->at(2), 10'000'000);
  }
}

TEST_P(QueueTiming, Q48_AKilledHolderDelaysNobodyForLong) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  const QueueHandle queue = make({.maxsize = 4});
  for (int round = 0; round < 20; ++round) {
    Peer child([&] {
      const SignalTimer death(SIGKILL, std::chrono::microseconds(random.between(300, 3'000)));
      for (const Bytes message = pattern(3'000, 1);;) {
        EXPECT_NE(queue->put_bytes_for(message, 1ms), Status::kBroken);
        EXPECT_NE(next_status(*queue), Status::kBroken);
      }
    });
    ASSERT_EQ(child.wait_status(), SIGKILL);
    const Stopwatch since;
    while (next_status(*queue) == Status::kOk) {
    }
    put(*queue, "x");
    EXPECT_EQ(get_text(*queue), "x");
    EXPECT_LT(since.elapsed(), 100ms) << "round " << round;
  }
}

TEST_P(QueueTiming, Q48_TheDeathOfWhatCarriesItIsToldWithinATenthOfASecond) {
  const std::vector<pid_t> known = proc::descendants_of(::getpid());
  const QueueHandle queue = make();
  const std::vector<pid_t> carriers = new_descendants(known);
  const SharedBox<std::atomic<std::int64_t>> told_ns{0};
  Peer waiting([&] {
    const Status status = next_status(*queue, carriers.empty() ? Deadline::after(2s) : Deadline::never());
    *told_ns = Deadline::now_ns();
    EXPECT_EQ(status, carriers.empty() ? Status::kTimeout : Status::kBroken);
  });
  await_blocked(waiting.pid());
  const std::int64_t killed_ns = Deadline::now_ns();
  kill_all(carriers);
  waiting.join();
  EXPECT_LT(*told_ns - killed_ns, carriers.empty() ? 2'100'000'000 : 100'000'000);
  const Stopwatch since;
  EXPECT_EQ(next_status(*queue, Deadline::after(carriers.empty() ? 0ms : 1h)),
            carriers.empty() ? Status::kTimeout : Status::kBroken);
  EXPECT_LT(since.elapsed(), 100ms);
}

// Stopped wherever it happens to be in a long put: whoever gives a time gets control back in it, and nothing is lost.
TEST_P(QueueTiming, H25_AGetBesideAStoppedProducerGivesUpInTime) {
  const QueueHandle queue = make();
  constexpr std::size_t kLarge = std::size_t{8} << 20U;
  constexpr std::uint64_t kMessages = 6;
  // Where who is stopped inside a call may hold up everybody, it stops between two.
  const bool anywhere = capabilities().survives_kill;
  Peer child([&] {
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      put(*queue, pattern(kLarge, i));
      if (!anywhere && i + 1 < kMessages) ::raise(SIGSTOP);
    }
  });
  std::uint64_t taken = 0;
  Bytes message;
  const std::uint64_t rounds = anywhere ? 8 : kMessages - 1;
  for (std::uint64_t round = 0; round < rounds && taken < kMessages; ++round) {
    if (anywhere) {
      (void)Event().wait_for(3ms);
      ASSERT_EQ(::kill(child.pid(), SIGSTOP), 0);
    } else {
      siginfo_t stopped = {};
      ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child.pid()), &stopped, WSTOPPED), 0);
    }
    while (taken < kMessages) {
      const Stopwatch waited;
      const Status status = queue->get_bytes_for(message, 100ms);
      EXPECT_LT(waited.elapsed(), 200ms);
      if (status == Status::kTimeout) break;
      ASSERT_EQ(status, Status::kOk);
      ASSERT_TRUE(same(message, pattern(kLarge, taken++)));
    }
    ASSERT_EQ(::kill(child.pid(), SIGCONT), 0);
  }
  for (; taken < kMessages; ++taken) ASSERT_TRUE(same(get(*queue), pattern(kLarge, taken)));
  child.join();
}

TEST_P(QueueTiming, H28_CloseWakesWithinHalfASecond) {
  const QueueHandle queue = make();
  std::atomic<pid_t> tid = 0;
  std::thread user([&] {
    tid = thread_id();
    EXPECT_EQ(next_status(*queue, Deadline::never()), Status::kClosed);
  });
  while (tid == 0) std::this_thread::yield();
  await_blocked(::getpid(), tid);
  const Stopwatch since;
  queue->close();
  user.join();
  EXPECT_LT(since.elapsed(), 500ms);
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUES(QueueModel);
CRUCIBLE_INSTANTIATE_QUEUES(QueueTiming);

}  // namespace crucible::testing
