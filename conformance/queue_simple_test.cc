// Clauses Q23 to Q25: SimpleQueue.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
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

// The user's door: what a context makes is of the mechanism's first form.
TEST_P(QueueSimple, Q40_AContextMakesEveryKind) {
  const Context ipc(mechanism());
  const std::unique_ptr<Queue> queue = ipc.queue({.maxsize = 3});
  EXPECT_EQ(queue->form(), mechanism().queues.front().name);
  EXPECT_EQ(queue->maxsize(), 3U);
  const std::unique_ptr<Queue> joinable = ipc.joinable_queue({.maxsize = 2});
  EXPECT_EQ(joinable->maxsize(), 2U);
  joinable->put(1);
  EXPECT_FALSE(joinable->join_for(0s));
  joinable->done();
  joinable->join();
  EXPECT_THROW(joinable->done(), BadArgument);
  SimpleQueue simple = ipc.simple_queue();
  EXPECT_EQ(simple.mechanism(), mechanism().name);
  EXPECT_EQ(simple.form(), queue->form());
  simple.put("x");
  EXPECT_EQ(simple.get<std::string>(), "x");
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
