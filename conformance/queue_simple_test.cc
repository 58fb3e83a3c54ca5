// Clauses Q23 to Q25: SimpleQueue.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <type_traits>

#include "api/simple_queue.h"
#include "conformance/queue_support.h"
#include "conformance/support/events.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

class QueueSimple : public QueueTest {
 protected:
  static SimpleQueue simple() { return SimpleQueue(form().create({}, {.wait = GetParam().wait})); }
};

TEST_P(QueueSimple, Q23_AChildsPutsComeInOrder) {
  SimpleQueue queue = simple();
  EXPECT_TRUE(queue.empty());
  Process child(
      [](SimpleQueue& given) {
        given.put(true);
        given.put(false);
      },
      std::ref(queue));
  child.start();
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
  EXPECT_FALSE(queue.empty());
  EXPECT_TRUE(queue.get<bool>());
  EXPECT_FALSE(queue.empty());
  EXPECT_FALSE(queue.get<bool>());
  EXPECT_TRUE(queue.empty());
}

TEST_P(QueueSimple, Q23_AGetWaitsForWhatAChildPuts) {
  SimpleQueue queue = simple();
  Process child([](SimpleQueue& there) { there.put(there.get<std::string>() + " and back"); }, std::ref(queue));
  child.start();
  await_blocked(child.pid().value());
  queue.put("there");
  child.join();
  EXPECT_EQ(queue.get<std::string>(), "there and back");
}

TEST_P(QueueSimple, Q24_AClosedOneSaysSoAlthoughItWasNeverUsed) {
  SimpleQueue queue = simple();
  EXPECT_FALSE(queue.closed());
  queue.close();
  queue.close();
  EXPECT_TRUE(queue.closed());
  EXPECT_THROW((void)queue.empty(), Closed);
  EXPECT_THROW(queue.put(1), Closed);
  EXPECT_THROW((void)queue.get<int>(), Closed);
}

TEST_P(QueueSimple, Q25_WhatCannotBeEncodedIsNotPut) {
  static_assert(!std::is_copy_constructible_v<SimpleQueue> && !std::is_move_constructible_v<SimpleQueue>);
  SimpleQueue queue = simple();
  Object deep = 1;
  for (std::size_t i = 0; i < 2 * kMaxDepth; ++i) deep = Object::list(std::move(deep));
  EXPECT_THROW(queue.put(deep), EncodingError);
  EXPECT_TRUE(queue.empty());
  queue.put(Object::list(1, "next"));
  EXPECT_EQ(queue.get<Object>(), Object::list(1, "next"));
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUE_FORMS(QueueSimple);

}  // namespace crucible::testing
