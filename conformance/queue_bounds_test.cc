// Clauses Q2 to Q5, Q22, Q30, Q34 and H23: what fits, what is full, and who waits for room.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "conformance/queue_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

class QueueBounds : public QueueTest {};

constexpr std::size_t kFarMoreThanAnyStorage = std::size_t{1} << 20U;

TEST_P(QueueBounds, Q2_SixPutsOfAnyFormFillABoundOfSix) {
  const QueueHandle queue = make({.maxsize = 6});
  queue->put(1);
  EXPECT_TRUE(queue->try_put(2));
  EXPECT_TRUE(queue->try_put_for(3, 1h));
  put(*queue, "4");
  EXPECT_EQ(queue->try_put_bytes(text("5")), Status::kOk);
  EXPECT_FALSE(queue->full());
  EXPECT_EQ(queue->put_bytes_for(text("6"), 1h), Status::kOk);
  EXPECT_TRUE(queue->full());
  EXPECT_FALSE(queue->empty());
  EXPECT_EQ(queue->size(), 6U);
}

TEST_P(QueueBounds, Q3_AFullQueueTakesNoMore) {
  const QueueHandle queue = make({.maxsize = 2});
  put(*queue, "1");
  put(*queue, "2");
  EXPECT_EQ(queue->try_put_bytes(text("3")), Status::kTimeout);
  EXPECT_FALSE(queue->try_put("3"));
  EXPECT_EQ(queue->size(), 2U);
  EXPECT_EQ(get_text(*queue), "1");
  EXPECT_EQ(get_text(*queue), "2");
  EXPECT_EQ(next_status(*queue), Status::kTimeout);
}

TEST_P(QueueBounds, Q4_APutToAFullQueueIsNeverEarly) {
  const QueueHandle queue = make({.maxsize = 1});
  put(*queue, "full");
  const Bytes message = text("x");
  const std::vector<ByteView> two(2, message);
  std::size_t count = 0;
  const std::vector<std::function<Status()>> calls = {
      [&] { return queue->put_bytes_for(message, 200ms); },
      [&] { return queue->put_many(two, count, Deadline::after(200ms)); },
      [&] { return queue->try_put_for(1, 200ms) ? Status::kOk : Status::kTimeout; }};
  for (const auto& call : calls) {
    const Stopwatch waited;
    EXPECT_EQ(call(), Status::kTimeout);
    EXPECT_GE(waited.elapsed(), 200ms);
    EXPECT_EQ(count, 0U);
  }
  EXPECT_EQ(get_text(*queue), "full");
  EXPECT_TRUE(queue->empty());
}

TEST_P(QueueBounds, Q5_APutThatWaitsGoesOnWhenAChildTakesOne) {
  const QueueHandle queue = make({.maxsize = 1});
  put(*queue, "first");
  const pid_t parent = ::getpid();
  Peer child([&] {
    await_blocked(parent);
    EXPECT_EQ(get_text(*queue), "first");
  });
  put(*queue, "second");
  child.join();
  EXPECT_TRUE(queue->full());
  EXPECT_EQ(get_text(*queue), "second");
  EXPECT_TRUE(queue->empty());
  EXPECT_FALSE(queue->full());
}

TEST_P(QueueBounds, Q22_AnUnboundedQueueAcceptsWithoutAReader) {
  CRUCIBLE_REQUIRE(unbounded);
  const QueueHandle queue = make();
  constexpr std::size_t kMessages = 200;
  EXPECT_EQ(fill(*queue, 200'000, kMessages), kMessages);
  EXPECT_FALSE(queue->full());
  EXPECT_EQ(queue->size(), kMessages);
  expect_filled(*queue, 200'000, kMessages);
}

TEST_P(QueueBounds, Q30_ABoundIsExactForEveryNumber) {
  for (const std::size_t maxsize : {1UL, 2UL, 3UL, 7UL, 64UL, 100UL}) {
    const QueueHandle queue = make({.maxsize = maxsize});
    for (std::size_t i = 0; i < maxsize; ++i) {
      EXPECT_FALSE(queue->full());
      ASSERT_EQ(queue->try_put_bytes(pattern(8, i)), Status::kOk) << i << " of " << maxsize;
    }
    EXPECT_TRUE(queue->full());
    EXPECT_EQ(queue->try_put_bytes(pattern(8, 0)), Status::kTimeout) << "more than " << maxsize;
    expect_filled(*queue, 8, maxsize);
    EXPECT_TRUE(queue->empty());
  }
}

// Round and round, so that indices wrap and every slot has been given back many times.
TEST_P(QueueBounds, Q30_ABoundStaysExactRoundAfterRound) {
  const QueueHandle queue = make({.maxsize = 5});
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  for (int round = 0; round < 300; ++round) {
    while (in - out < 5) ASSERT_EQ(queue->try_put_bytes(pattern(20, in++)), Status::kOk);
    ASSERT_EQ(queue->try_put_bytes(pattern(20, 0)), Status::kTimeout) << "in round " << round;
    for (int i = 0; i < 1 + round % 5; ++i) ASSERT_TRUE(same(get(*queue), pattern(20, out++)));
    ASSERT_EQ(queue->size(), in - out);
  }
}

// The bound is the queue's and not a handle's: another process finds it full, and its get makes room for all.
TEST_P(QueueBounds, Q30_ABoundIsOneForAllProcesses) {
  const QueueHandle queue = make({.maxsize = 2});
  put(*queue, "1");
  Peer child([&] {
    put(*queue, "2");
    EXPECT_TRUE(queue->full());
    EXPECT_EQ(queue->try_put_bytes(text("3")), Status::kTimeout);
  });
  child.join();
  EXPECT_TRUE(queue->full());
  Peer reader([&] { EXPECT_EQ(get_text(*queue), "1"); });
  reader.join();
  EXPECT_FALSE(queue->full());
  EXPECT_EQ(queue->try_put_bytes(text("3")), Status::kOk);
  EXPECT_TRUE(queue->full());
}

TEST_P(QueueBounds, Q34_TheDeclaredStorageIsHeldWithoutAReader) {
  const std::size_t held = capabilities().storage_bytes;
  for (const std::size_t size : {64UL, 1'000UL, held}) {
    const QueueHandle queue = make();
    if (size < 64 || size > held) continue;
    EXPECT_EQ(fill(*queue, size, held / size), held / size) << "messages of " << size << " bytes";
    EXPECT_EQ(queue->size(), held / size);
    expect_filled(*queue, size, held / size);
  }
}

TEST_P(QueueBounds, Q34_AskedForStorageIsHeldOrRefused) {
  for (const std::size_t asked : {1'000UL, 65'536UL, 1'000'000UL}) {
    for (const std::size_t size : {64UL, 1'000UL}) {
      try {
        const QueueHandle queue = make({.storage_bytes = asked});
        EXPECT_EQ(fill(*queue, size, asked / size), asked / size) << asked << " in messages of " << size << " bytes";
        expect_filled(*queue, size, asked / size);
      } catch (const BadArgument& refused) {
        EXPECT_GT(asked, capabilities().storage_bytes) << refused.what();
      }
    }
  }
}

TEST_P(QueueBounds, Q34_AFullStorageLosesNothing) {
  CRUCIBLE_REQUIRE_BOUND;
  for (const std::size_t size : {200UL, 1'000UL, 30'000UL}) {
    const QueueHandle queue = make();
    const std::size_t held = fill(*queue, size, kFarMoreThanAnyStorage);
    ASSERT_LT(held, kFarMoreThanAnyStorage) << "never full, and `unbounded` is not declared";
    EXPECT_EQ(queue->size(), held);
    EXPECT_EQ(queue->put_bytes_for(pattern(size, held), 10ms), Status::kTimeout);
    expect_filled(*queue, size, held);
    EXPECT_TRUE(queue->empty());
    EXPECT_FALSE(queue->full());
    EXPECT_EQ(fill(*queue, size, held), held) << "room was lost";
    expect_filled(*queue, size, held);
  }
}

TEST_P(QueueBounds, Q34_FullIsWhatAPutOfAByteWouldFind) {
  CRUCIBLE_REQUIRE_BOUND;
  const QueueHandle queue = make();
  const std::size_t large = fill(*queue, 1'000, kFarMoreThanAnyStorage);
  const std::size_t small = fill(*queue, 1, kFarMoreThanAnyStorage);
  ASSERT_LT(small, kFarMoreThanAnyStorage);
  EXPECT_TRUE(queue->full());
  EXPECT_EQ(queue->try_put_bytes(text("x")), Status::kTimeout);
  EXPECT_EQ(queue->size(), large + small);
  while (queue->full()) (void)get(*queue);
  EXPECT_EQ(queue->try_put_bytes(text("x")), Status::kOk);
}

TEST_P(QueueBounds, H23_AProducerWaitsForRoomAndTheJoinSaysSo) {
  const QueueHandle queue = make({.maxsize = 1});
  Process producer(
      [](Queue& given) {
        for (int i = 0; i < 3; ++i) given.put(i);
      },
      std::ref(*queue));
  producer.start();
  await_blocked(producer.pid().value());
  EXPECT_FALSE(producer.join_for(200ms));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(queue->get<int>(), i);
  producer.join();
  EXPECT_EQ(producer.exit_code(), 0);
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUES(QueueBounds);

}  // namespace crucible::testing
