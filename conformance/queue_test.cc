// Clauses Q1, Q6 to Q8, Q10, Q11, Q14, Q15, Q19, Q20, Q26, Q31, Q40, H26 and H27: what a queue is from one call to the
// next.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "conformance/queue_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

class QueueBasic : public QueueTest {};

TEST_P(QueueBasic, Q1_ANewQueueIsEmpty) {
  const QueueHandle queue = make();
  EXPECT_TRUE(queue->empty());
  EXPECT_FALSE(queue->full());
  EXPECT_EQ(queue->size(), 0U);
  EXPECT_FALSE(queue->closed());
  EXPECT_EQ(next_status(*queue), Status::kTimeout);
  EXPECT_EQ(queue->try_get<int>(), std::nullopt);
}

TEST_P(QueueBasic, Q6_AGetFromAnEmptyQueueIsNeverEarly) {
  const QueueHandle queue = make();
  Bytes message;
  std::vector<Bytes> messages;
  std::size_t length = 0;
  const std::vector<std::function<Status()>> calls = {
      [&] { return queue->get_bytes_for(message, 200ms); },
      [&] { return queue->get_many(messages, 3, Deadline::after(200ms)); },
      [&] { return queue->get_bytes_into({}, length, Deadline::after(200ms)); },
      [&] { return queue->try_get_for<int>(200ms) ? Status::kOk : Status::kTimeout; }};
  for (const auto& call : calls) {
    const Stopwatch waited;
    EXPECT_EQ(call(), Status::kTimeout);
    EXPECT_GE(waited.elapsed(), 200ms);
  }
}

TEST_P(QueueBasic, Q7_ZeroAndNegativeDurationsDoNotWait) {
  const QueueHandle queue = make({.maxsize = 1});
  Bytes message;
  std::vector<Bytes> messages;
  for (const auto duration : {0s, -1s, -1'000'000s}) {
    EXPECT_EQ(queue->get_bytes_for(message, duration), Status::kTimeout);
    EXPECT_EQ(queue->get_many(messages, 2, Deadline::after(duration)), Status::kTimeout);
    EXPECT_EQ(queue->try_get_for<int>(duration), std::nullopt);
  }
  EXPECT_EQ(queue->put_bytes_for(text("fits"), -1s), Status::kOk);
  for (const auto duration : {0s, -1s, -1'000'000s}) {
    EXPECT_EQ(queue->put_bytes_for(text("x"), duration), Status::kTimeout);
    EXPECT_FALSE(queue->try_put_for(1, duration));
  }
  EXPECT_EQ(get_text(*queue), "fits");
}

TEST_P(QueueBasic, Q8_AChildsMessagesComeInOrderByEveryFormOfGet) {
  const QueueHandle queue = make();
  Peer child([&] {
    for (const char* message : {"2", "3", "4", "5", "6"}) put(*queue, message);
  });
  child.join();
  for (std::size_t form = 0; form < 5; ++form) {
    Bytes message;
    EXPECT_EQ(get_by(*queue, message, form), Status::kOk);
    EXPECT_EQ(as_text(message), std::to_string(form + 2));
  }
  EXPECT_TRUE(queue->empty());
}

TEST_P(QueueBasic, Q10_SizesAreSeenAtOnce) {
  const QueueHandle queue = make();
  put(*queue, "one");
  EXPECT_EQ(queue->size(), 1U);
  put(*queue, "");
  EXPECT_EQ(queue->size(), 2U);
  EXPECT_EQ(get_text(*queue), "one");
  EXPECT_EQ(queue->size(), 1U);
  EXPECT_EQ(get_text(*queue), "");
  EXPECT_EQ(queue->size(), 0U);
}

TEST_P(QueueBasic, Q11_WhatAParentAndThenItsChildPutComesOnceAndInOrder) {
  const QueueHandle queue = make();
  for (int i = 0; i < 10; ++i) queue->put(i);
  Peer child([&] {
    for (int i = 10; i < 20; ++i) queue->put(i);
  });
  child.join();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(queue->get<int>(), i);
  EXPECT_EQ(queue->try_get<int>(), std::nullopt);
}

TEST_P(QueueBasic, Q14_WhatCannotBeEncodedTakesNoSlot) {
  const QueueHandle queue = make({.maxsize = 1});
  Object deep = 1;
  for (std::size_t i = 0; i < 2 * kMaxDepth; ++i) deep = Object::list(std::move(deep));
  EXPECT_THROW(queue->put(deep), EncodingError);
  EXPECT_THROW((void)queue->try_put(deep), EncodingError);
  EXPECT_THROW((void)queue->try_put_for(deep, 1s), EncodingError);
  EXPECT_TRUE(queue->empty());
  EXPECT_FALSE(queue->full());
  queue->put("next");
  EXPECT_EQ(queue->get<std::string>(), "next");
}

TEST_P(QueueBasic, Q15_WhatCannotBeDecodedIsConsumed) {
  const QueueHandle queue = make();
  queue->put("no number");
  put(*queue, "\xc1 is no MessagePack");
  put(*queue, "");
  queue->put(4);
  for (std::size_t left = 4; left > 1; --left) {
    EXPECT_EQ(queue->size(), left);
    EXPECT_THROW((void)queue->get<int>(), EncodingError);
  }
  EXPECT_EQ(queue->size(), 1U);
  EXPECT_EQ(queue->get<int>(), 4);
}

TEST_P(QueueBasic, Q19_WhatOneProcessPutStaysWhenItClosesAndOthersGoOn) {
  const QueueHandle queue = make();
  Peer child([&] {
    for (int i = 0; i < 5; ++i) queue->put(i);
    queue->close();
  });
  child.join();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(queue->get<int>(), i);
  queue->put("still works");
  EXPECT_EQ(queue->get<std::string>(), "still works");
}

TEST_P(QueueBasic, Q19_TheCreatorsCloseIsNothingToAChild) {
  QueueHandle queue = make();
  Event closed;
  Peer child([&] {
    closed.wait();
    EXPECT_EQ(get_text(*queue), "before");
    put(*queue, "after");
    EXPECT_EQ(get_text(*queue), "after");
    EXPECT_EQ(queue->size(), 0U);
  });
  put(*queue, "before");
  queue.reset();
  closed.set();
  child.join();
}

TEST_P(QueueBasic, Q20_AProducerEndsWithoutWaitingForAReader) {
  const std::size_t held = capabilities().storage_bytes;
  const QueueHandle queue = make();
  Peer child([&] {
    if (held >= 64) put(*queue, pattern(held, 1));
  });
  child.join();
  if (held >= 64) {
    EXPECT_TRUE(same(get(*queue), pattern(held, 1)));
  }
  EXPECT_EQ(next_status(*queue), Status::kTimeout);
}

TEST_P(QueueBasic, Q26_AQueueIsHandedOnFromChildToGrandchild) {
  const QueueHandle queue = make();
  Process child(
      [](Queue& from_parent) {
        from_parent.put("child");
        Process grandchild([](Queue& from_child) { from_child.put("grandchild"); }, std::ref(from_parent));
        grandchild.start();
        grandchild.join();
        return grandchild.exit_code().value_or(1);
      },
      std::ref(*queue));
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
  EXPECT_EQ(queue->get<std::string>(), "child");
  EXPECT_EQ(queue->get<std::string>(), "grandchild");
}

// As arguments and inside messages: neither compiles. (conformance/refused/ shows with what words.)
TEST_P(QueueBasic, Q26_AQueueIsNoValue) {
  static_assert(!std::is_copy_constructible_v<Queue> && !std::is_move_constructible_v<Queue>);
  static_assert(!std::is_copy_assignable_v<Queue> && !std::is_move_assignable_v<Queue>);
  const QueueHandle queue = make();
  Process child([](Queue& given) { given.put(current_process().name); }, std::ref(*queue));
  child.set_name("by reference");
  child.start();
  EXPECT_EQ(queue->get<std::string>(), "by reference");
  child.join();
}

TEST_P(QueueBasic, Q31_AnEmptyMessageIsAMessage) {
  const QueueHandle queue = make();
  const std::vector<std::string> sent = {"", "a", "", "", "bc", ""};
  for (const std::string& message : sent) put(*queue, message);
  EXPECT_EQ(queue->size(), sent.size());
  for (const std::string& message : sent) EXPECT_EQ(get_text(*queue), message);
  EXPECT_EQ(next_status(*queue), Status::kTimeout);
}

TEST_P(QueueBasic, Q40_AQueueKnowsWhatItIs) {
  for (const std::size_t maxsize : {0UL, 1UL, 7UL}) {
    const QueueHandle queue = make({.maxsize = maxsize});
    EXPECT_EQ(queue->maxsize(), maxsize);
    EXPECT_EQ(queue->mechanism(), mechanism().name);
    EXPECT_EQ(queue->form(), form().name);
    const std::string address = queue->address();
    EXPECT_EQ(!address.empty(), GetParam().named);
    queue->close();
    EXPECT_EQ(queue->maxsize(), maxsize);
    EXPECT_EQ(queue->address(), address);
    EXPECT_TRUE(queue->closed());
  }
}

TEST_P(QueueBasic, Q40_OptionsThatCannotBeHonouredAreRefused) {
  for (const WaitStrategy wait : {WaitStrategy::kAdaptive, WaitStrategy::kSpin, WaitStrategy::kBlock}) {
    const bool is_offered = std::ranges::find(form().waits, wait) != form().waits.end();
    try {
      const QueueHandle queue = GetParam().make({.wait = wait});
      EXPECT_TRUE(is_offered) << to_string(wait);
      put(*queue, "works");
      EXPECT_EQ(get_text(*queue), "works");
    } catch (const BadArgument&) {
      EXPECT_FALSE(is_offered) << to_string(wait);
    }
  }
  EXPECT_THROW((void)make({.storage_bytes = Queue::kNoLimit}), BadArgument);
}

TEST_P(QueueBasic, H26_PutIsByValue) {
  const QueueHandle queue = make();
  for (const std::size_t size : {10UL, 5'000UL, 60'000UL}) {
    Peer reader([&] { EXPECT_TRUE(same(get(*queue), pattern(size, 1))); });
    Bytes message = pattern(size, 1);
    put(*queue, message);
    std::ranges::fill(message, std::byte{0xee});
    reader.join();
  }
}

TEST_P(QueueBasic, H27_WhatAReturnedPutHandedOverIsSeenByEverybody) {
  const QueueHandle queue = make();
  for (std::size_t round = 0; round < 20; ++round) {
    if (round % 2 == 0) {
      Peer child([&] { put(*queue, "x"); });
      child.join();
    } else {
      put(*queue, "x");
    }
    EXPECT_FALSE(queue->empty());
    EXPECT_EQ(queue->size(), 1U);
    Peer reader([&] {
      EXPECT_EQ(queue->size(), 1U);
      Bytes message;
      EXPECT_EQ(queue->try_get_bytes(message), Status::kOk) << "round " << round;
    });
    reader.join();
    EXPECT_TRUE(queue->empty());
  }
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUES(QueueBasic);

}  // namespace crucible::testing
