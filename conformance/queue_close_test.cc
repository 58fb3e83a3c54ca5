// Clauses Q16 to Q18 and Q36: closing.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "conformance/queue_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class QueueClose : public QueueTest {
 protected:
  /// Every call, as what it comes to.
  static std::vector<std::function<Status()>> calls(Queue& queue) {
    return {[&] { return queue.put_bytes(text("x")); },
            [&] { return queue.try_put_bytes(text("x")); },
            [&] {
              std::size_t count = 0;
              const std::vector<ByteView> two(2);
              return queue.put_many(two, count);
            },
            [&] { return next_status(queue, Deadline::never()); },
            [&] { return next_status(queue); },
            [&] {
              std::size_t length = 0;
              return queue.get_bytes_into({}, length);
            },
            [&] {
              std::vector<Bytes> messages;
              return queue.get_many(messages, 2);
            },
            [&] {
              std::size_t count = 0;
              return queue.count(count);
            },
            [&] {
              bool is_full = false;
              return queue.check_full(is_full);
            },
            [&] { return queue.task_done(); },
            [&] { return queue.join_until(Deadline::never()); }};
  }

  /// Threads that make one call each and are all blocked when this returns.
  class Blocked {
   public:
    Blocked(const std::vector<std::function<Status()>>& calls) : tids_(calls.size()), outcomes_(calls.size()) {
      for (std::size_t i = 0; i < calls.size(); ++i) {
        threads_.emplace_back([this, i, call = calls[i]] {
          tids_[i] = thread_id();
          outcomes_[i] = call();
        });
      }
      for (const std::atomic<pid_t>& tid : tids_) {
        while (tid == 0) std::this_thread::yield();
        await_blocked(::getpid(), tid);
      }
    }
    std::vector<Status> join() {
      for (std::thread& thread : threads_) thread.join();
      return outcomes_;
    }

   private:
    std::vector<std::atomic<pid_t>> tids_;
    std::vector<Status> outcomes_;
    std::vector<std::thread> threads_;
  };
};

TEST_P(QueueClose, Q16_AClosedQueueSaysSoEverywhere) {
  for (const bool used : {false, true}) {
    const QueueHandle queue = make({.joinable = true});
    if (used) {
      put(*queue, "x");
      put(*queue, "left behind");
      (void)get(*queue);
    }
    queue->close();
    EXPECT_TRUE(queue->closed());
    const auto every = calls(*queue);
    for (std::size_t i = 0; i < every.size(); ++i) EXPECT_EQ(every[i](), Status::kClosed) << "call " << i;
    EXPECT_THROW(queue->put(1), Closed);
    EXPECT_THROW((void)queue->get<int>(), Closed);
    EXPECT_THROW((void)queue->try_get<int>(), Closed);
    EXPECT_THROW(queue->join(), Closed);
  }
}

TEST_P(QueueClose, Q17_AClosedQueueIsNeitherEmptyNorFull) {
  for (const bool used : {false, true}) {
    const QueueHandle queue = make({.maxsize = 1});
    if (used) put(*queue, "x");
    queue->close();
    EXPECT_THROW((void)queue->empty(), Closed);
    EXPECT_THROW((void)queue->full(), Closed);
    EXPECT_THROW((void)queue->size(), Closed);
    EXPECT_EQ(queue->maxsize(), 1U);
  }
}

TEST_P(QueueClose, Q18_ClosingTwiceIsFineAndNothingWaitsToBeFlushed) {
  const QueueHandle queue = make();
  Peer child([&] {
    for (std::size_t i = 0; i < 20; ++i) put(*queue, pattern(700, i));
    queue->close();
    queue->close();
  });
  child.join();
  EXPECT_EQ(queue->size(), 20U);
  expect_filled(*queue, 700, 20);
  queue->close();
  queue->close();
}

TEST_P(QueueClose, Q36_WhoeverWaitsForAMessageIsWoken) {
  const QueueHandle queue = make();
  Blocked blocked({[&] { return next_status(*queue, Deadline::never()); },
                   [&] { return next_status(*queue, Deadline::after(1h)); },
                   [&] {
                     std::vector<Bytes> messages;
                     return queue->get_many(messages, 3);
                   },
                   [&] {
                     std::size_t length = 0;
                     return queue->get_bytes_into({}, length);
                   }});
  queue->close();
  for (const Status status : blocked.join()) EXPECT_EQ(status, Status::kClosed);
}

TEST_P(QueueClose, Q36_WhoeverWaitsForRoomIsWoken) {
  const QueueHandle queue = make({.maxsize = 1});
  put(*queue, "full");
  Blocked blocked({[&] { return queue->put_bytes(text("x")); }, [&] { return queue->put_bytes_for(text("x"), 1h); },
                   [&] {
                     std::size_t count = 0;
                     const std::vector<ByteView> two(2);
                     return queue->put_many(two, count);
                   }});
  queue->close();
  for (const Status status : blocked.join()) EXPECT_EQ(status, Status::kClosed);
}

TEST_P(QueueClose, Q36_WhoeverJoinsIsWoken) {
  const QueueHandle queue = make({.joinable = true});
  put(*queue, "never done");
  Blocked blocked(
      {[&] { return queue->join_until(Deadline::never()); }, [&] { return queue->join_until(Deadline::after(1h)); }});
  queue->close();
  for (const Status status : blocked.join()) EXPECT_EQ(status, Status::kClosed);
}

TEST_P(QueueClose, Q36_OtherProcessesAreNotWoken) {
  const QueueHandle queue = make();
  Event closed;
  Peer waiting([&] { EXPECT_EQ(get_text(*queue), "for the one who still waits"); });
  Peer closing([&] {
    Blocked blocked({[&] { return next_status(*queue, Deadline::never()); }});
    queue->close();
    EXPECT_EQ(blocked.join().front(), Status::kClosed);
    closed.set();
  });
  closed.wait();
  await_blocked(waiting.pid());
  put(*queue, "for the one who still waits");
  waiting.join();
  closing.join();
}

// Closing in a process that was forked while a thread of its parent was blocked wakes nobody there.
TEST_P(QueueClose, Q36_AForkClosesItsOwnHandleOnly) {
  const QueueHandle queue = make();
  Blocked blocked({[&] { return next_status(*queue, Deadline::never()); }});
  Peer child([&] {
    queue->close();
    EXPECT_EQ(next_status(*queue), Status::kClosed);
  });
  child.join();
  put(*queue, "not disturbed");
  EXPECT_EQ(blocked.join().front(), Status::kOk);
}

// Whatever a thread is doing when the handle is closed, it comes back, and the others see only whole calls.
TEST_P(QueueClose, Q36_ClosingAmidTrafficEndsEveryCall) {
  const QueueHandle others = make();
  for (int round = 0; round < 15; ++round) {
    Peer busy([&] {
      std::atomic<int> ended = 0;
      std::vector<std::thread> threads;
      for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
          Bytes message = pattern(2'000, 7);
          Status status = Status::kOk;
          while (status == Status::kOk) status = i % 2 == 0 ? others->put_bytes(message) : others->get_bytes(message);
          EXPECT_EQ(status, Status::kClosed);
          ++ended;
        });
      }
      EXPECT_FALSE(Event().wait_for(2ms));
      others->close();
      for (std::thread& thread : threads) thread.join();
      EXPECT_EQ(ended, 4);
    });
    busy.join();
    for (std::size_t left = others->size(); left > 0; --left) ASSERT_TRUE(same(get(*others), pattern(2'000, 7)));
    EXPECT_EQ(next_status(*others), Status::kTimeout);
  }
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUES(QueueClose);

}  // namespace crucible::testing
