// Clauses H24, Q39 and Q53: producers, consumers and makers of queues that are killed at any instruction.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "conformance/queue_support.h"
#include "conformance/random.h"
#include "conformance/stamp.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"

namespace crucible::testing {
namespace {

class QueueKill : public QueueTest {
 protected:
  static std::string subject() { return GetParam().name(); }

  /// Half of the victims have used their handle before, the others meet their death while they first do, perhaps.
  static void prepare(Queue& queue, std::uint32_t round) {
    if (round % 2 == 0) (void)queue.size();
  }

  /// Puts stamped messages, noting calls, until it is killed.
  [[noreturn]] static void put_until_dead(Queue& queue, Victim& victim, std::uint32_t writer,
                                          std::chrono::nanoseconds when) {
    std::vector<Bytes> messages;
    for (std::uint64_t i = 0; i < 12; ++i) messages.push_back(stamped(writer, i, traffic_size(i)));
    prepare(queue, writer);
    const SignalTimer death(SIGKILL, when);
    for (std::uint64_t sequence = 0;; ++sequence) {
      Bytes& message = messages[sequence % messages.size()];
      restamp(message, sequence);
      const ByteView view = message;
      std::size_t count = 0;
      ++victim.begun;
      const Status status = sequence % 5 == 3   ? queue.put_many({&view, 1}, count)
                            : sequence % 5 == 4 ? queue.put_bytes_for(message, 1h)
                                                : queue.put_bytes(message);
      ++victim.returned;
      EXPECT_EQ(status, Status::kOk);
    }
  }

  /// Takes messages of one writer until it is killed, noting calls. They must be whole and have ascending numbers, of
  /// which `last` is told.
  [[noreturn]] static void get_until_dead(Queue& queue, Victim& victim, std::atomic<std::int64_t>& last,
                                          std::chrono::nanoseconds when, std::uint32_t round) {
    Bytes message;
    Bytes buffer(5'000);
    prepare(queue, round);
    const SignalTimer death(SIGKILL, when);
    for (std::uint64_t i = 0;; ++i) {
      std::size_t length = 0;
      ++victim.begun;
      const Status status = i % 3 == 2   ? queue.get_bytes_into(buffer, length, Deadline::never(), &message)
                            : i % 3 == 1 ? queue.get_bytes_for(message, 1h)
                                         : queue.get_bytes(message);
      const bool is_in_buffer = i % 3 == 2 && status == Status::kOk;
      const ByteView got = is_in_buffer ? ByteView(buffer).first(length) : ByteView(message);
      Stamp stamp = {};
      if (got.size() >= sizeof stamp) std::memcpy(&stamp, got.data(), sizeof stamp);
      EXPECT_TRUE(status == Status::kOk || status == Status::kTooShort) << to_string(status);
      EXPECT_EQ(stamp.id, Stamp::kId);
      EXPECT_EQ(stamp.length + sizeof stamp, got.size());
      EXPECT_GT(static_cast<std::int64_t>(stamp.sequence), last.load()) << "doubled or out of order";
      last = static_cast<std::int64_t>(stamp.sequence);
      ++victim.returned;  // only now does anybody know what it took
    }
  }
};

TEST_P(QueueKill, H24_WhatKilledProducersHadPutIsTakenExactlyOnce) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  Score score;
  const QueueHandle queue = make({.maxsize = 32});
  for (std::uint32_t writer = 0; writer < 110; ++writer) {
    const SharedBox<Victim> victim;
    const auto when = moment(random);
    Peer child([&] { put_until_dead(*queue, *victim, writer, when); });
    std::uint64_t taken = 0;
    Bytes message;
    for (bool is_dead = false;;) {
      const Status status = queue->get_bytes_for(message, is_dead ? 0ms : 2ms);
      if (status == Status::kTimeout && is_dead) break;
      if (status == Status::kTimeout) {
        is_dead = proc::thread(child.pid(), child.pid()).gone();
        continue;
      }
      ASSERT_EQ(status, Status::kOk);
      const std::optional<Stamp> stamp = read_whole(message);
      ASSERT_TRUE(stamp) << "torn after " << taken;
      ASSERT_EQ(stamp->writer, writer);
      ASSERT_EQ(stamp->sequence, taken++) << "lost or doubled";
    }
    ASSERT_EQ(child.wait_status(), SIGKILL);
    ASSERT_GE(taken, victim->returned) << "a put that returned was lost";
    ASSERT_LE(taken, victim->begun);
    score.count(victim->inside());
  }
  EXPECT_TRUE(queue->empty());
  score.report("producers", subject());
}

// One consumer at a time: what it has not taken, but for at most one message, is there for the next.
TEST_P(QueueKill, H24_KilledConsumersTakeAtMostOneMessageAlong) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  Score score;
  const QueueHandle queue = make({.maxsize = 32});
  std::vector<Bytes> messages;
  for (std::uint64_t i = 0; i < 12; ++i) messages.push_back(stamped(0, i, traffic_size(i)));
  const SharedBox<std::atomic<std::int64_t>> last{-1};
  std::uint64_t sequence = 0;
  unsigned taken_along = 0;
  for (std::uint32_t round = 0; round < 110; ++round) {
    const SharedBox<Victim> victim;
    const auto when = moment(random);
    Peer child([&] { get_until_dead(*queue, *victim, *last, when, round); });
    while (!proc::thread(child.pid(), child.pid()).gone()) {
      Bytes& message = messages[sequence % messages.size()];
      restamp(message, sequence);
      const Status status = queue->put_bytes_for(message, 2ms);
      ASSERT_TRUE(status == Status::kOk || status == Status::kTimeout) << to_string(status);
      if (status == Status::kOk) ++sequence;
    }
    ASSERT_EQ(child.wait_status(), SIGKILL);
    std::uint64_t missing = 0;
    for (Bytes message; queue->try_get_bytes(message) == Status::kOk;) {
      const std::optional<Stamp> stamp = read_whole(message);
      ASSERT_TRUE(stamp) << "torn";
      ASSERT_GT(static_cast<std::int64_t>(stamp->sequence), last->load()) << "doubled";
      missing += stamp->sequence - static_cast<std::uint64_t>(last->load()) - 1;
      *last = static_cast<std::int64_t>(stamp->sequence);
    }
    missing += sequence - static_cast<std::uint64_t>(last->load()) - 1;
    *last = static_cast<std::int64_t>(sequence) - 1;
    ASSERT_LE(missing, victim->inside() ? 1U : 0U) << "lost in round " << round;
    taken_along += static_cast<unsigned>(missing);
    score.count(victim->inside());
  }
  std::printf("[  kills   ] %s: %u messages gone with %u consumers\n", subject().c_str(), taken_along, score.kills());
  score.report("consumers", subject());
}

// A consumer that died waiting holds no claim on what is put after its death.
TEST_P(QueueKill, H24_WhatIsPutAfterAWaitersDeathIsNotForTheDead) {
  CRUCIBLE_REQUIRE(survives_kill);
  const QueueHandle queue = make();
  for (std::uint64_t round = 0; round < 20; ++round) {
    Peer waiter([&] { (void)next_status(*queue, Deadline::never()); });
    await_blocked(waiter.pid());
    waiter.kill();
    waiter.join();
    put(*queue, pattern(60, round));
    EXPECT_EQ(queue->size(), 1U);
    ASSERT_TRUE(same(get(*queue), pattern(60, round)));
  }
}

// However many a get asked for: one that is killed takes at most one message along.
TEST_P(QueueKill, H24_ABatchThatItsTakerNeverSawIsForTheNext) {
  CRUCIBLE_REQUIRE(survives_kill);
  constexpr std::uint64_t kCount = 5;
  const QueueHandle queue = make();
  Peer taker([&] {
    std::vector<Bytes> messages;
    (void)queue->get_many(messages, 2 * kCount);
  });
  await_blocked(taker.pid());
  ASSERT_EQ(::kill(taker.pid(), SIGSTOP), 0);
  std::vector<Bytes> messages;
  for (std::uint64_t i = 0; i < kCount; ++i) messages.push_back(pattern(60, i));
  std::size_t count = 0;
  ASSERT_EQ(queue->put_many(std::vector<ByteView>(messages.begin(), messages.end()), count), Status::kOk);
  taker.kill();
  taker.join();
  for (std::uint64_t i = 1; i < kCount; ++i) {
    Bytes next = get(*queue);
    if (i == 1 && same(next, messages[0])) next = get(*queue);
    ASSERT_TRUE(same(next, messages[i])) << i;
  }
  EXPECT_TRUE(queue->empty());
}

TEST_P(QueueKill, Q39_CapacityIsExactAfterKills) {
  CRUCIBLE_REQUIRE(survives_kill);
  constexpr std::size_t kBound = 8;
  Random random;
  Score score;
  const QueueHandle queue = make({.maxsize = kBound});
  for (std::uint32_t round = 0; round < 60; ++round) {
    const SharedBox<Victim> victims[2];
    const SharedBox<std::atomic<std::int64_t>> last{-1};
    const std::chrono::nanoseconds moments[] = {moment(random), moment(random)};
    {
      Peer producer([&] { put_until_dead(*queue, *victims[0], round, moments[0]); });
      Peer consumer([&] { get_until_dead(*queue, *victims[1], *last, moments[1], round); });
      ASSERT_EQ(producer.wait_status(), SIGKILL);
      ASSERT_EQ(consumer.wait_status(), SIGKILL);
    }
    for (const auto& victim : victims) score.count(victim->inside());
    while (next_status(*queue) == Status::kOk) {
    }
    ASSERT_EQ(queue->size(), 0U);
    ASSERT_EQ(fill(*queue, 100, kBound), kBound) << "a slot died in round " << round;
    ASSERT_TRUE(queue->full());
    ASSERT_EQ(queue->try_put_bytes(text("x")), Status::kTimeout) << "more than the bound";
    expect_filled(*queue, 100, kBound);
    ASSERT_TRUE(queue->empty());
  }
  score.report("producers and consumers at once", subject());
}

TEST_P(QueueKill, Q39_StorageIsExactAfterKills) {
  CRUCIBLE_REQUIRE(survives_kill);
  CRUCIBLE_REQUIRE_BOUND;
  Random random;
  constexpr std::size_t kFarMoreThanAnyStorage = 100'000;
  const QueueHandle queue = make();
  const std::size_t held = fill(*queue, 20'000, kFarMoreThanAnyStorage);
  expect_filled(*queue, 20'000, held);
  for (std::uint32_t round = 0; round < 40; ++round) {
    const SharedBox<Victim> victim;
    const SharedBox<std::atomic<std::int64_t>> last{-1};
    const auto when = moment(random);
    Peer child([&] {
      if (round % 2 == 0) put_until_dead(*queue, *victim, round, when);
      get_until_dead(*queue, *victim, *last, when, round);
    });
    for (std::uint64_t i = 0; round % 2 == 1 && i < 10; ++i) put(*queue, stamped(round, i, traffic_size(i)));
    ASSERT_EQ(child.wait_status(), SIGKILL);
    while (next_status(*queue) == Status::kOk) {
    }
  }
  EXPECT_EQ(fill(*queue, 20'000, kFarMoreThanAnyStorage), held) << "room died with somebody";
  expect_filled(*queue, 20'000, held);
}

// What was unfinished stays so whoever dies: the survivors' joins are exact.
TEST_P(QueueKill, Q39_UnfinishedWorkIsExactAfterKills) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  const QueueHandle queue = make({.joinable = true});
  for (std::uint32_t round = 0; round < 30; ++round) {
    const SharedBox<Victim> victim;
    const auto when = moment(random);
    Peer child([&] {
      prepare(*queue, round);
      const SignalTimer death(SIGKILL, when);
      for (;;) {
        ++victim->begun;
        EXPECT_EQ(queue->put_bytes(text("x")), Status::kOk);
        ++victim->returned;
        Bytes message;
        EXPECT_EQ(queue->get_bytes(message), Status::kOk);
        EXPECT_EQ(queue->task_done(), Status::kOk);
      }
    });
    ASSERT_EQ(child.wait_status(), SIGKILL);
    while (next_status(*queue) == Status::kOk) {
    }
    // It was killed between a put and its done, or not: one is outstanding at most.
    if (!queue->join_for(0s)) {
      ASSERT_EQ(queue->task_done(), Status::kOk);
    }
    ASSERT_TRUE(queue->join_for(0s)) << "round " << round;
    ASSERT_EQ(queue->task_done(), Status::kBadArgument);
  }
}

TEST_P(QueueKill, Q53_DeathsInMakingAndClosingLeaveNothing) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  Score score;
  for (int round = 0; round < 40; ++round) {
    const SharedBox<Victim> victim;
    const auto when = 4 * moment(random);
    Peer child([&] {
      const SignalTimer death(SIGKILL, when);
      for (;;) {
        ++victim->begun;
        {
          const QueueHandle own = make({.maxsize = 3});
          put(*own, "x");
          EXPECT_EQ(get_text(*own), "x");
        }
        ++victim->returned;
      }
    });
    ASSERT_EQ(child.wait_status(), SIGKILL);
    score.count(victim->inside());
  }
  // What could not be removed by the dead is by the next that is made.
  const QueueHandle next = make();
  put(*next, "works");
  EXPECT_EQ(get_text(*next), "works");
  score.report("in making and closing", subject());
}

// The maker dies, the others have the queue; or are told at once that it is broken, where a process carried it.
TEST_P(QueueKill, Q53_TheCreatorsDeathIsAnOutcomeForItsChildren) {
  CRUCIBLE_REQUIRE(survives_kill);
  for (int round = 0; round < 10; ++round) {
    Event has_handle;
    Event is_dead;
    const SharedBox<std::atomic<pid_t>> heir{0};
    const SharedBox<std::atomic<int>> outcomes[2] = {SharedBox<std::atomic<int>>(-1), SharedBox<std::atomic<int>>(-1)};
    Event over;
    Peer creator([&] {
      const QueueHandle queue = make();
      put(*queue, "inherited");
      if (::fork() == 0) {
        *heir = ::getpid();
        has_handle.set();
        is_dead.wait();
        Bytes message;
        *outcomes[0] = static_cast<int>(queue->get_bytes_for(message, 10s));
        *outcomes[1] = static_cast<int>(queue->put_bytes_for(message, 10s));
        over.set();
        ::_exit(0);
      }
      for (;;) ::pause();
    });
    has_handle.wait();
    creator.kill();
    creator.join();
    is_dead.set();
    over.wait();
    const auto taken = static_cast<Status>(outcomes[0]->load());
    const auto given = static_cast<Status>(outcomes[1]->load());
    EXPECT_TRUE(taken == Status::kOk || taken == Status::kBroken) << to_string(taken);
    EXPECT_TRUE(given == taken) << to_string(given);
    await_orphans();
  }
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUE_FORMS(QueueKill);

}  // namespace crucible::testing
