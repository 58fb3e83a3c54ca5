// Clauses Q31 to Q33: messages of every length.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstddef>
#include <vector>

#include "conformance/queue_support.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class QueueSizes : public QueueTest {};

TEST_P(QueueSizes, Q31_LengthsWhereBuffersAndPagesEndArriveExactly) {
  const QueueHandle queue = make();
  std::vector<std::size_t> sizes = {0};
  for (std::size_t power = 1; power <= std::size_t{1} << 21U; power *= 2) {
    for (const std::size_t size : {power - 1, power, power + 1}) sizes.push_back(size);
  }
  Peer child([&] {
    for (const std::size_t size : sizes) put(*queue, pattern(size, size));
    for (const std::size_t size : sizes) put(*queue, pattern(size, size + 1));
  });
  for (const std::size_t size : sizes) ASSERT_TRUE(same(get(*queue), pattern(size, size))) << size;
  for (const std::size_t size : sizes) {
    Bytes buffer(size + 8, std::byte{0x5a});
    std::size_t length = 0;
    ASSERT_EQ(queue->get_bytes_into(buffer, length), Status::kOk);
    ASSERT_EQ(length, size);
    ASSERT_TRUE(same(ByteView(buffer).first(size), pattern(size, size + 1))) << size;
    ASSERT_EQ(Bytes(buffer.begin() + static_cast<std::ptrdiff_t>(size), buffer.end()), Bytes(8, std::byte{0x5a}));
  }
  child.join();
}

TEST_P(QueueSizes, Q31_ABatchMayMixAllLengths) {
  const QueueHandle queue = make();
  std::vector<Bytes> messages;
  for (const std::size_t size : {0UL, 1UL, 70'000UL, 3UL, 0UL, 300'000UL, 4'096UL, 65'537UL, 2UL}) {
    messages.push_back(pattern(size, size));
  }
  Peer child([&] {
    const std::vector<ByteView> views(messages.begin(), messages.end());
    std::size_t count = 0;
    EXPECT_EQ(queue->put_many(views, count), Status::kOk);
    EXPECT_EQ(count, messages.size());
  });
  std::size_t at = 0;
  std::vector<Bytes> taken;
  while (at < messages.size()) {
    ASSERT_EQ(queue->get_many(taken, 4), Status::kOk);
    for (const Bytes& message : taken) ASSERT_TRUE(same(message, messages.at(at++)));
  }
  child.join();
}

TEST_P(QueueSizes, Q32_MessagesOf16MibArriveUnchangedThroughAStormOfSignals) {
  const QueueHandle queue = make();
  const std::vector<std::size_t> sizes = {std::size_t{16} << 20U, (std::size_t{16} << 20U) - 1};
  Peer child([&] {
    const SignalStorm storm;
    for (const std::size_t size : sizes) put(*queue, pattern(size, size));
    put(*queue, "small after large");
  });
  {
    const SignalStorm storm;
    for (const std::size_t size : sizes) ASSERT_TRUE(same(get(*queue), pattern(size, size)));
    EXPECT_EQ(get_text(*queue), "small after large");
  }
  child.join();
  EXPECT_TRUE(queue->empty());
}

// Two producers of what no storage holds at once, and two consumers: neither is mixed, neither starves for good.
TEST_P(QueueSizes, Q32_LargeMessagesOfSeveralProducersAreNotMixed) {
  const QueueHandle queue = make();
  constexpr std::size_t kLarge = 3'000'000;
  constexpr std::uint64_t kEach = 6;
  Peer first([&] {
    for (std::uint64_t i = 0; i < kEach; ++i) put(*queue, pattern(kLarge, i));
  });
  Peer second([&] {
    for (std::uint64_t i = 0; i < kEach; ++i) put(*queue, pattern(kLarge + 1, i));
  });
  const auto take_half = [&] {
    for (std::uint64_t i = 0; i < kEach; ++i) {
      const Bytes message = get(*queue);
      bool is_whole = false;
      for (std::uint64_t seed = 0; seed < kEach && !is_whole; ++seed) {
        is_whole = static_cast<bool>(same(message, pattern(message.size(), seed)));
      }
      EXPECT_TRUE(is_whole && (message.size() == kLarge || message.size() == kLarge + 1));
    }
  };
  Peer third(take_half);
  take_half();
  for (Peer* peer : {&first, &second, &third}) peer->join();
  EXPECT_TRUE(queue->empty());
}

TEST_P(QueueSizes, Q33_WhatCanNeverFitIsRefusedAtOnce) {
  ASSERT_GE(capabilities().max_message_bytes, std::size_t{16} << 20U);
  const std::size_t too_long = capabilities().max_message_bytes + 1;
  // Address space that is never touched: whoever reads from it before refusing dies of it.
  void* const memory = ::mmap(nullptr, too_long, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const ByteView message(static_cast<const std::byte*>(memory), too_long);
  const QueueHandle queue = make({.maxsize = 4});
  put(*queue, "before");
  EXPECT_EQ(queue->put_bytes(message), Status::kBadLength);
  EXPECT_EQ(queue->try_put_bytes(message), Status::kBadLength);
  EXPECT_EQ(queue->put_bytes_for(message, 1h), Status::kBadLength);
  const Bytes fits = text("first of the batch");
  const std::vector<ByteView> batch = {fits, message, fits};
  std::size_t count = 99;
  EXPECT_EQ(queue->put_many(batch, count), Status::kBadLength);
  ASSERT_LE(count, 1U);
  EXPECT_EQ(queue->size(), 1 + count);
  EXPECT_EQ(get_text(*queue), "before");
  for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(get_text(*queue), "first of the batch");
  put(*queue, "after");
  EXPECT_EQ(get_text(*queue), "after");
  ::munmap(memory, too_long);
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUES(QueueSizes);

}  // namespace crucible::testing
