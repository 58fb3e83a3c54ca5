// Clauses Q12 and Q13: joinable queues.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "conformance/queue_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class QueueJoin : public QueueTest {
 protected:
  static QueueHandle make_joinable(std::size_t maxsize = 0) { return make({.maxsize = maxsize, .joinable = true}); }
};

TEST_P(QueueJoin, Q12_WithNothingOutstandingAJoinReturns) {
  const QueueHandle queue = make_joinable();
  queue->join();
  EXPECT_TRUE(queue->join_for(0s));
  put(*queue, "x");
  EXPECT_FALSE(queue->join_for(-1s));
  (void)get(*queue);
  EXPECT_FALSE(queue->join_for(0s)) << "taken, but not done with";
  EXPECT_EQ(queue->task_done(), Status::kOk);
  queue->join();
}

TEST_P(QueueJoin, Q12_AJoinWithATimeIsNeverEarly) {
  const QueueHandle queue = make_joinable();
  put(*queue, "x");
  const Stopwatch waited;
  EXPECT_FALSE(queue->join_for(200ms));
  EXPECT_GE(waited.elapsed(), 200ms);
  EXPECT_EQ(queue->task_done(), Status::kOk) << "done may be said before it is taken";
  EXPECT_TRUE(queue->join_for(1h));
}

TEST_P(QueueJoin, Q12_FourWorkersAcknowledgeTen) {
  const QueueHandle queue = make_joinable();
  SharedBox<std::atomic<int>> worked{0};
  std::vector<std::unique_ptr<Peer>> workers;
  for (int i = 0; i < 4; ++i) {
    workers.push_back(std::make_unique<Peer>([&] {
      while (queue->get<int>() >= 0) {
        ++*worked;
        EXPECT_EQ(queue->task_done(), Status::kOk);
      }
      EXPECT_EQ(queue->task_done(), Status::kOk);
    }));
  }
  for (int round = 1; round <= 5; ++round) {
    for (int i = 0; i < 10; ++i) queue->put(i);
    queue->join();
    EXPECT_EQ(*worked, 10 * round);
  }
  for (int i = 0; i < 4; ++i) queue->put(-1);
  queue->join();
  for (const auto& worker : workers) worker->join();
}

TEST_P(QueueJoin, Q12_WhoeverJoinsIsWokenByTheLastOfThem) {
  const QueueHandle queue = make_joinable();
  put(*queue, "x");
  Peer other([&] { queue->join(); });
  std::atomic<pid_t> tid = 0;
  std::thread joiner([&] {
    tid = thread_id();
    queue->join();
  });
  while (tid == 0) std::this_thread::yield();
  await_blocked(::getpid(), tid);
  await_blocked(other.pid());
  EXPECT_EQ(queue->task_done(), Status::kOk);
  joiner.join();
  other.join();
}

// The bound is of what waits to be taken, not of what is not yet done with.
TEST_P(QueueJoin, Q12_UnfinishedWorkTakesNoRoom) {
  const QueueHandle queue = make_joinable(2);
  for (int round = 0; round < 10; ++round) {
    EXPECT_TRUE(queue->try_put(round));
    EXPECT_EQ(queue->get<int>(), round);
  }
  EXPECT_FALSE(queue->join_for(0s));
  for (int round = 0; round < 10; ++round) EXPECT_EQ(queue->task_done(), Status::kOk);
  EXPECT_TRUE(queue->join_for(0s));
}

TEST_P(QueueJoin, Q12_BatchesCountEachMessage) {
  const QueueHandle queue = make_joinable();
  const std::vector<ByteView> three(3);
  std::size_t count = 0;
  ASSERT_EQ(queue->put_many(three, count), Status::kOk);
  for (int done = 0; done < 3; ++done) {
    EXPECT_FALSE(queue->join_for(0s)) << done << " of 3";
    EXPECT_EQ(queue->task_done(), Status::kOk);
  }
  EXPECT_TRUE(queue->join_for(0s));
}

TEST_P(QueueJoin, Q13_DoneMoreOftenThanPutIsABadArgument) {
  const QueueHandle queue = make_joinable();
  EXPECT_EQ(queue->task_done(), Status::kBadArgument);
  put(*queue, "x");
  EXPECT_EQ(queue->task_done(), Status::kOk);
  EXPECT_EQ(queue->task_done(), Status::kBadArgument);
  EXPECT_EQ(get_text(*queue), "x");
  put(*queue, "y");
  EXPECT_FALSE(queue->join_for(0s)) << "the refused ones counted";
}

// Two at a time for the same last message: one of them only is right.
TEST_P(QueueJoin, Q13_OfTwoThatSayDoneAtOnceOneIsRefused) {
  const QueueHandle queue = make_joinable();
  for (int round = 0; round < 30; ++round) {
    put(*queue, "x");
    SharedBox<std::atomic<int>> accepted{0};
    const auto say = [&] {
      const Status status = queue->task_done();
      EXPECT_TRUE(status == Status::kOk || status == Status::kBadArgument) << to_string(status);
      *accepted += status == Status::kOk ? 1 : 0;
    };
    Peer other(say);
    say();
    other.join();
    ASSERT_EQ(*accepted, 1);
    EXPECT_TRUE(queue->join_for(0s));
    EXPECT_EQ(get_text(*queue), "x");
  }
}

TEST_P(QueueJoin, Q13_OnlyAJoinableQueueCounts) {
  const QueueHandle queue = make();
  put(*queue, "x");
  EXPECT_EQ(queue->task_done(), Status::kState);
  EXPECT_EQ(queue->join_until(Deadline::never()), Status::kState);
  EXPECT_THROW(queue->join(), StateError);
  EXPECT_THROW(queue->done(), StateError);
  EXPECT_EQ(get_text(*queue), "x");
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUES(QueueJoin);

}  // namespace crucible::testing
