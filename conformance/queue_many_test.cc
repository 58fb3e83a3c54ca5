// Clauses Q9, Q35, Q37 and Q38: many producers and many consumers.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "conformance/queue_support.h"
#include "conformance/stamp.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

constexpr std::uint32_t kWriters = 4;
constexpr std::uint64_t kEach = 200;

// Of what many write and many read: how often each message was seen, and how many may still be asked for.
struct Ledger {
  std::array<std::atomic<int>, kWriters * kEach> seen{};
  std::atomic<std::int64_t> left{kWriters * kEach};
};

class QueueMany : public QueueTest {
 protected:
  static void produce(Queue& queue, std::uint32_t writer) {
    for (std::uint64_t i = 0; i < kEach; ++i) {
      const Bytes message = stamped(writer, i, i % 50 == 49 ? 100'000 : traffic_size(i % 6));
      std::size_t count = 0;
      const ByteView view = message;
      ASSERT_EQ(i % 3 == 0 ? queue.put_many({&view, 1}, count) : queue.put_bytes(message), Status::kOk);
    }
  }
  /// Takes one message for each that it draws of those left, so that all consumers together take exactly all.
  static void consume(Queue& queue, Ledger& ledger) {
    std::array<std::int64_t, kWriters> last = {};
    last.fill(-1);
    Bytes message;
    for (std::size_t i = 0; ledger.left.fetch_sub(1) > 0; ++i) {
      ASSERT_EQ(i % 2 == 0 ? queue.get_bytes(message) : queue.get_bytes_for(message, 1h), Status::kOk);
      const std::optional<Stamp> stamp = read_whole(message);
      ASSERT_TRUE(stamp) << "torn";
      ASSERT_LT(stamp->writer, kWriters);
      ASSERT_GT(static_cast<std::int64_t>(stamp->sequence), last.at(stamp->writer)) << "not in its producer's order";
      last.at(stamp->writer) = static_cast<std::int64_t>(stamp->sequence);
      ++ledger.seen.at(stamp->writer * kEach + stamp->sequence);
    }
  }
  static void expect_each_once(Queue& queue, const Ledger& ledger) {
    for (std::size_t i = 0; i < ledger.seen.size(); ++i) {
      ASSERT_EQ(ledger.seen.at(i), 1) << "message " << i % kEach << " of producer " << i / kEach;
    }
    EXPECT_TRUE(queue.empty());
  }
  static std::vector<std::unique_ptr<Peer>> processes(std::uint32_t count,
                                                      const std::function<void(std::uint32_t)>& body) {
    std::vector<std::unique_ptr<Peer>> peers;
    for (std::uint32_t i = 0; i < count; ++i) peers.push_back(std::make_unique<Peer>([&body, i] { body(i); }));
    return peers;
  }
  static std::vector<std::thread> threads(std::uint32_t count, const std::function<void(std::uint32_t)>& body) {
    std::vector<std::thread> all;
    for (std::uint32_t i = 0; i < count; ++i) all.emplace_back(body, i);
    return all;
  }
};

TEST_P(QueueMany, Q9_ProcessesPutAndTakeEachMessageOnce) {
  for (const std::size_t maxsize : {0UL, 3UL}) {
    const QueueHandle queue = make({.maxsize = maxsize});
    const SharedBox<Ledger> ledger;
    const auto producers = processes(kWriters, [&](std::uint32_t i) { produce(*queue, i); });
    const auto consumers = processes(3, [&](std::uint32_t /*i*/) { consume(*queue, *ledger); });
    for (const auto& peer : producers) peer->join();
    for (const auto& peer : consumers) peer->join();
    expect_each_once(*queue, *ledger);
  }
}

TEST_P(QueueMany, Q9_ThreadsPutAndTakeEachMessageOnce) {
  for (const std::size_t maxsize : {0UL, 3UL}) {
    const QueueHandle queue = make({.maxsize = maxsize});
    Ledger ledger;
    std::vector<std::thread> all = threads(kWriters, [&](std::uint32_t i) { produce(*queue, i); });
    for (std::thread& consumer : threads(3, [&](std::uint32_t /*i*/) { consume(*queue, ledger); })) {
      all.push_back(std::move(consumer));
    }
    for (std::thread& thread : all) thread.join();
    expect_each_once(*queue, ledger);
  }
}

TEST_P(QueueMany, Q9_ThreadsOfSeveralProcessesPutAndTakeEachMessageOnce) {
  const QueueHandle queue = make({.maxsize = 20});
  const SharedBox<Ledger> ledger;
  const auto peers = processes(2, [&](std::uint32_t process) {
    std::vector<std::thread> all = threads(2, [&](std::uint32_t i) { produce(*queue, 2 * process + i); });
    for (std::thread& consumer : threads(2, [&](std::uint32_t /*i*/) { consume(*queue, *ledger); })) {
      all.push_back(std::move(consumer));
    }
    for (std::thread& thread : all) thread.join();
  });
  for (const auto& peer : peers) peer->join();
  expect_each_once(*queue, *ledger);
}

// Batches of several producers are not mixed within one producer, and a batch taken is like as many single ones.
TEST_P(QueueMany, Q9_BatchesKeepEveryProducersOrder) {
  const QueueHandle queue = make({.maxsize = 50});
  const auto producers = processes(kWriters, [&](std::uint32_t writer) {
    for (std::uint64_t first = 0; first < kEach; first += 10) {
      std::vector<Bytes> messages;
      for (std::uint64_t i = first; i < first + 10; ++i) messages.push_back(stamped(writer, i, i % 300));
      const std::vector<ByteView> views(messages.begin(), messages.end());
      std::size_t count = 0;
      ASSERT_EQ(queue->put_many(views, count), Status::kOk);
    }
  });
  std::array<std::uint64_t, kWriters> next = {};
  std::vector<Bytes> messages;
  for (std::uint64_t taken = 0; taken < kWriters * kEach; taken += messages.size()) {
    ASSERT_EQ(queue->get_many(messages, 7), Status::kOk);
    for (const Bytes& message : messages) {
      const std::optional<Stamp> stamp = read_whole(message);
      ASSERT_TRUE(stamp);
      ASSERT_EQ(stamp->sequence, next.at(stamp->writer)++);
    }
  }
  for (const auto& peer : producers) peer->join();
  EXPECT_TRUE(queue->empty());
}

TEST_P(QueueMany, Q35_AsManyMessagesWakeAsManyWhoWait) {
  for (int round = 0; round < 2; ++round) {
    const QueueHandle queue = make();
    const auto waiting = processes(4, [&](std::uint32_t /*i*/) { (void)get(*queue); });
    for (const auto& peer : waiting) await_blocked(peer->pid());
    for (int i = 0; i < 4; ++i) put(*queue, "one for each");
    for (const auto& peer : waiting) peer->join();
    EXPECT_TRUE(queue->empty());
  }
}

TEST_P(QueueMany, Q35_ABatchWakesAsManyAsItHas) {
  const QueueHandle queue = make();
  const auto waiting = processes(4, [&](std::uint32_t /*i*/) { (void)get(*queue); });
  for (const auto& peer : waiting) await_blocked(peer->pid());
  const std::vector<ByteView> four(4);
  std::size_t count = 0;
  EXPECT_EQ(queue->put_many(four, count), Status::kOk);
  for (const auto& peer : waiting) peer->join();
}

TEST_P(QueueMany, Q35_AsMuchRoomWakesAsManyWhoWait) {
  for (int round = 0; round < 2; ++round) {
    const QueueHandle queue = make({.maxsize = 4});
    ASSERT_EQ(fill(*queue, 10, 4), 4U);
    const auto waiting = processes(4, [&](std::uint32_t /*i*/) { put(*queue, "late"); });
    for (const auto& peer : waiting) await_blocked(peer->pid());
    std::vector<Bytes> messages;
    for (std::size_t taken = 0; taken < 4; taken += messages.size()) {
      ASSERT_EQ(queue->get_many(messages, 4 - taken), Status::kOk);
    }
    for (const auto& peer : waiting) peer->join();
    EXPECT_TRUE(queue->full());
  }
}

// A ball that is thrown to and fro: each side sleeps while the other has it, and one lost wake-up stops the game.
TEST_P(QueueMany, Q35_NoWakeUpIsLostInALongGame) {
  const QueueHandle there = make({.maxsize = 1});
  const QueueHandle back = make({.maxsize = 1});
  constexpr int kThrows = 1'000;
  Peer other([&] {
    for (int i = 0; i < kThrows; ++i) put(*back, get(*there));
  });
  for (int i = 0; i < kThrows; ++i) {
    put(*there, pattern(8, static_cast<std::uint64_t>(i)));
    ASSERT_TRUE(same(get(*back), pattern(8, static_cast<std::uint64_t>(i))));
  }
  other.join();
}

// Each put is over before the next, by somebody else, begins; each get likewise.
TEST_P(QueueMany, Q37_WhatWasPutFirstIsTakenFirstWhoeverPutIt) {
  CRUCIBLE_REQUIRE(total_order);
  const QueueHandle queue = make();
  const QueueHandle baton = make({.maxsize = 1});
  constexpr std::uint64_t kTurns = 100;  // which every form holds while nobody takes
  const auto take_turns = [&](const std::function<void(std::uint64_t)>& act) {
    const auto players = processes(3, [&](std::uint32_t /*i*/) {
      for (;;) {
        const auto turn = baton->get<std::uint64_t>();
        if (turn < kTurns) act(turn);
        baton->put(turn < kTurns ? turn + 1 : turn);
        if (turn >= kTurns) return;
      }
    });
    baton->put(0);
    for (const auto& player : players) player->join();
    EXPECT_EQ(baton->get<std::uint64_t>(), kTurns);
  };
  take_turns([&](std::uint64_t turn) { put(*queue, pattern(20 + turn, turn)); });
  take_turns([&](std::uint64_t turn) { EXPECT_TRUE(same(get(*queue), pattern(20 + turn, turn))) << turn; });
  EXPECT_TRUE(queue->empty());
}

TEST_P(QueueMany, Q38_WhoDoesNotAskHoldsNothingBack) {
  const QueueHandle queue = make();
  ASSERT_EQ(fill(*queue, 100, 12), 12U);
  Event has_one;
  Event over;
  Peer idle([&] {
    EXPECT_TRUE(same(get(*queue), pattern(100, 0)));
    has_one.set();
    over.wait();
  });
  has_one.wait();
  EXPECT_EQ(queue->size(), 11U);
  expect_filled(*queue, 100, 11, 1);
  over.set();
  idle.join();
}

TEST_P(QueueMany, Q38_AGetThatTimedOutTakesNothingAfterwards) {
  const QueueHandle queue = make();
  Event timed_out;
  Event over;
  Peer idle([&] {
    for (int i = 0; i < 5; ++i) EXPECT_EQ(next_status(*queue, Deadline::after(3ms)), Status::kTimeout);
    EXPECT_EQ(next_status(*queue), Status::kTimeout);
    timed_out.set();
    over.wait();
  });
  timed_out.wait();
  for (std::size_t i = 0; i < 10; ++i) put(*queue, pattern(100, i));
  EXPECT_EQ(queue->size(), 10U);
  expect_filled(*queue, 100, 10);
  over.set();
  idle.join();
}

// Of gets that give up in the very moment in which messages come none may take one along.
TEST_P(QueueMany, Q38_GetsThatGiveUpAsMessagesComeLoseNone) {
  const QueueHandle queue = make();
  constexpr std::uint64_t kMessages = 600;
  Peer producer([&] {
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      put(*queue, stamped(1, i, 10));
      (void)Event().wait_for(std::chrono::microseconds(i % 400));
    }
  });
  std::uint64_t next = 0;
  for (std::uint64_t patience = 1; next < kMessages; ++patience) {
    Bytes message;
    const Status status = queue->get_bytes_for(message, std::chrono::microseconds(patience % 300));
    if (status == Status::kTimeout) continue;
    ASSERT_EQ(status, Status::kOk);
    const std::optional<Stamp> stamp = read_whole(message);
    ASSERT_TRUE(stamp);
    ASSERT_EQ(stamp->sequence, next++);
  }
  producer.join();
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUES(QueueMany);

}  // namespace crucible::testing
