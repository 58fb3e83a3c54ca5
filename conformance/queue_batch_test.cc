// Clauses Q27 to Q29: several messages per call, and messages into a buffer.
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "conformance/queue_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class QueueBatch : public QueueTest {
 protected:
  // pattern(size, 0), pattern(size, 1), ...
  static std::vector<Bytes> numbered(std::size_t size, std::size_t count) {
    std::vector<Bytes> messages;
    for (std::size_t i = 0; i < count; ++i) messages.push_back(pattern(size, i));
    return messages;
  }
  static std::vector<ByteView> views(const std::vector<Bytes>& messages) { return {messages.begin(), messages.end()}; }
};

TEST_P(QueueBatch, Q27_ManyKeepOrderAndBoundaries) {
  const QueueHandle queue = make();
  const std::vector<Bytes> messages = {text("a"), {}, text("bc"), pattern(3'000, 1), {}, pattern(500, 2)};
  std::size_t count = 99;
  EXPECT_EQ(queue->put_many(views(messages), count), Status::kOk);
  EXPECT_EQ(count, messages.size());
  EXPECT_EQ(queue->size(), messages.size());
  for (const Bytes& message : messages) EXPECT_TRUE(same(get(*queue), message));
}

TEST_P(QueueBatch, Q27_NoneAtAllIsFine) {
  const QueueHandle queue = make({.maxsize = 1});
  put(*queue, "full");
  std::size_t count = 99;
  EXPECT_EQ(queue->put_many({}, count), Status::kOk);
  EXPECT_EQ(count, 0U);
  EXPECT_EQ(queue->size(), 1U);
}

TEST_P(QueueBatch, Q27_TheCountSaysWhatWasPutWhenTheBoundCutsItShort) {
  const QueueHandle queue = make({.maxsize = 4});
  const std::vector<Bytes> messages = numbered(50, 10);
  for (const Deadline deadline : {Deadline::immediate(), Deadline::after(20ms)}) {
    put(*queue, "before");
    std::size_t count = 99;
    EXPECT_EQ(queue->put_many(views(messages), count, deadline), Status::kTimeout);
    EXPECT_EQ(count, 3U);
    EXPECT_EQ(queue->size(), 4U);
    EXPECT_EQ(get_text(*queue), "before");
    expect_filled(*queue, 50, 3);
    EXPECT_EQ(next_status(*queue), Status::kTimeout);
  }
}

TEST_P(QueueBatch, Q27_TheCountSaysWhatWasPutWhenTheStorageCutsItShort) {
  CRUCIBLE_REQUIRE_BOUND;
  const QueueHandle queue = make();
  const std::vector<Bytes> messages = numbered(10'000, 400);
  std::size_t total = 0;
  Status status = Status::kOk;
  while (status == Status::kOk) {
    std::size_t count = 99'999;
    status = queue->put_many(views(messages), count, Deadline::after(20ms));
    ASSERT_LE(count, messages.size());
    ASSERT_TRUE(status == Status::kTimeout || count == messages.size());
    total += count;
    ASSERT_LT(total, 1'000'000U) << "never full, and `unbounded` is not declared";
  }
  EXPECT_EQ(status, Status::kTimeout);
  EXPECT_EQ(queue->size(), total);
  for (std::size_t i = 0; i < total; ++i) ASSERT_TRUE(same(get(*queue), messages[i % 400])) << "message " << i;
  EXPECT_EQ(next_status(*queue), Status::kTimeout);
}

TEST_P(QueueBatch, Q27_ManyGoThroughASmallBoundWhileOthersTake) {
  const QueueHandle queue = make({.maxsize = 3});
  constexpr std::size_t kMessages = 500;
  Peer child([&] { expect_filled(*queue, 700, kMessages); });
  const std::vector<Bytes> messages = numbered(700, kMessages);
  std::size_t count = 0;
  EXPECT_EQ(queue->put_many(views(messages), count), Status::kOk);
  EXPECT_EQ(count, kMessages);
  child.join();
  EXPECT_TRUE(queue->empty());
}

TEST_P(QueueBatch, Q28_AtMostSoManyAreTaken) {
  const QueueHandle queue = make();
  for (std::size_t i = 0; i < 10; ++i) put(*queue, pattern(30, i));
  std::vector<Bytes> messages(20, text("of before"));
  std::size_t taken = 0;
  for (const std::size_t most : {1UL, 3UL, 100UL, 100UL, 100UL, 100UL, 100UL, 100UL}) {
    if (taken == 10) break;
    ASSERT_EQ(queue->get_many(messages, most), Status::kOk);
    ASSERT_GE(messages.size(), 1U);
    ASSERT_LE(messages.size(), most);
    for (const Bytes& message : messages) EXPECT_TRUE(same(message, pattern(30, taken++)));
    EXPECT_EQ(queue->size(), 10 - taken);
  }
  EXPECT_EQ(taken, 10U);
  EXPECT_EQ(queue->get_many(messages, 5, Deadline::immediate()), Status::kTimeout);
}

TEST_P(QueueBatch, Q28_NoneWantedIsABadArgument) {
  const QueueHandle queue = make();
  put(*queue, "stays");
  std::vector<Bytes> messages;
  EXPECT_EQ(queue->get_many(messages, 0), Status::kBadArgument);
  EXPECT_EQ(queue->size(), 1U);
  EXPECT_EQ(get_text(*queue), "stays");
}

TEST_P(QueueBatch, Q28_OneIsWaitedForAndNoMore) {
  const QueueHandle queue = make();
  Event wanted;
  Peer child([&] {
    wanted.wait();
    put(*queue, "only one");
  });
  wanted.set();
  std::vector<Bytes> messages;
  EXPECT_EQ(queue->get_many(messages, 50), Status::kOk);
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(as_text(messages[0]), "only one");
  child.join();
}

TEST_P(QueueBatch, Q28_TakingManyMakesRoomForAsMany) {
  const QueueHandle queue = make({.maxsize = 8});
  std::vector<Bytes> messages;
  for (int round = 0; round < 50; ++round) {
    ASSERT_EQ(fill(*queue, 40, 8), 8U);
    EXPECT_TRUE(queue->full());
    std::size_t taken = 0;
    while (taken < 8) {
      ASSERT_EQ(queue->get_many(messages, 8), Status::kOk);
      for (const Bytes& message : messages) ASSERT_TRUE(same(message, pattern(40, taken++)));
    }
    ASSERT_TRUE(queue->empty());
  }
}

TEST_P(QueueBatch, Q29_ALargerBufferKeepsItsOtherBytes) {
  const QueueHandle queue = make();
  for (const std::size_t size : {0UL, 5UL, 15UL, 16UL}) {
    put(*queue, pattern(size, 3));
    Bytes buffer(16, std::byte{0x5a});
    Bytes expected = pattern(size, 3);
    expected.resize(16, std::byte{0x5a});
    std::size_t length = 99;
    EXPECT_EQ(queue->get_bytes_into(buffer, length), Status::kOk);
    EXPECT_EQ(length, size);
    EXPECT_EQ(buffer, expected);
  }
}

TEST_P(QueueBatch, Q29_TooShortABufferGivesTheWholeMessageElsewhere) {
  const QueueHandle queue = make();
  for (const std::size_t size : {1UL, 100UL, 20'000UL, 300'000UL}) {
    Peer child([&] {
      put(*queue, pattern(size, 1));
      put(*queue, pattern(size, 2));
      put(*queue, "next");
    });
    Bytes buffer(size - 1);
    Bytes whole;
    std::size_t length = 0;
    EXPECT_EQ(queue->get_bytes_into(buffer, length, Deadline::never(), &whole), Status::kTooShort);
    EXPECT_EQ(length, size);
    EXPECT_TRUE(same(whole, pattern(size, 1)));
    EXPECT_EQ(queue->get_bytes_into({}, length), Status::kTooShort);
    EXPECT_EQ(length, size);
    EXPECT_EQ(get_text(*queue), "next");
    child.join();
  }
  EXPECT_TRUE(queue->empty());
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUES(QueueBatch);

}  // namespace crucible::testing
