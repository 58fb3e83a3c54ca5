// Clauses Q41 to Q46: what carries a queue dies, peers that stop, signals, exhausted descriptors, leaks, forks.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "conformance/queue_support.h"
#include "conformance/stamp.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"
#include "conformance/support/resources.h"

namespace crucible::testing {
namespace {

class QueueFaults : public QueueTest {
 protected:
  // By somebody else, so that a call that the stop holds up is over then too.
  static Peer continue_after_a_second(pid_t stopped) {
    return Peer([stopped] {
      EXPECT_FALSE(Event().wait_for(1s));
      EXPECT_EQ(::kill(stopped, SIGCONT), 0);
    });
  }
};

// Where making a queue started a process, that process is what carries it: its death is Broken for everybody, for good.
// Where it did not there is nothing that could be killed, and the queue goes on.
TEST_P(QueueFaults, Q41_TheDeathOfWhatCarriesItIsTheSameErrorForAll) {
  for (int round = 0; round < 5; ++round) {
    const std::vector<pid_t> known = proc::descendants_of(::getpid());
    const QueueHandle queue = make({.maxsize = 1, .joinable = true});
    put(*queue, "full");
    const std::vector<pid_t> carriers = new_descendants(known);
    const Status expected = carriers.empty() ? Status::kTimeout : Status::kBroken;
    // Blocked when it happens, in one call each.
    Peer putting([&] { EXPECT_EQ(queue->put_bytes_for(text("x"), carriers.empty() ? 2s : 1h), expected); });
    Peer joining([&] { EXPECT_EQ(queue->join_until(Deadline::after(carriers.empty() ? 2s : 1h)), expected); });
    // Comes only afterwards.
    Event go;
    Peer later([&] {
      go.wait();
      EXPECT_EQ(queue->try_put_bytes(text("x")), expected);
      EXPECT_EQ(queue->put_bytes_for(text("x"), 10ms), expected);
    });
    await_blocked(putting.pid());
    await_blocked(joining.pid());
    // Where kills are not survived they are struck between two of their calls.
    for (const pid_t carrier : carriers) {
      if (!capabilities().survives_kill) await_blocked(carrier);
    }
    kill_all(carriers);
    go.set();
    for (Peer* peer : {&putting, &joining, &later}) peer->join();
    if (carriers.empty()) {
      EXPECT_EQ(get_text(*queue), "full");
      break;
    }
    Bytes message;
    std::size_t count = 0;
    bool is_full = false;
    for (int again = 0; again < 2; ++again) {
      EXPECT_EQ(queue->get_bytes(message), Status::kBroken);
      EXPECT_EQ(queue->put_bytes(message), Status::kBroken);
      EXPECT_EQ(queue->count(count), Status::kBroken);
      EXPECT_EQ(queue->check_full(is_full), Status::kBroken);
      EXPECT_EQ(queue->task_done(), Status::kBroken);
      EXPECT_THROW(queue->join(), Broken);
    }
    queue->close();
    EXPECT_EQ(queue->put_bytes(message), Status::kClosed);
  }
}

TEST_P(QueueFaults, Q42_AStoppedProducerLosesAndDoublesNothing) {
  const QueueHandle queue = make({.maxsize = 16});
  constexpr std::uint64_t kMessages = 2'000;
  Peer child([&] {
    for (std::uint64_t i = 0; i < kMessages; ++i) put(*queue, stamped(1, i, traffic_size(i)));
  });
  std::uint64_t taken = 0;
  Bytes message;
  const auto check = [&] {
    const std::optional<Stamp> stamp = read_whole(message);
    ASSERT_TRUE(stamp);
    ASSERT_EQ(stamp->sequence, taken++);
  };
  while (taken < kMessages / 3 && queue->get_bytes(message) == Status::kOk) check();
  ASSERT_EQ(::kill(child.pid(), SIGSTOP), 0);
  Peer nurse = continue_after_a_second(child.pid());
  for (Status status = Status::kTimeout; taken < kMessages && !HasFatalFailure();) {
    status = queue->get_bytes_for(message, 300ms);
    if (status == Status::kOk) check();
    ASSERT_TRUE(status == Status::kOk || status == Status::kTimeout) << to_string(status);
  }
  nurse.join();
  child.join();
}

TEST_P(QueueFaults, Q42_AStoppedConsumerLosesAndDoublesNothing) {
  const QueueHandle queue = make({.maxsize = 16});
  constexpr std::uint64_t kMessages = 2'000;
  Peer child([&] {
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      const std::optional<Stamp> stamp = read_whole(get(*queue));
      ASSERT_TRUE(stamp);
      ASSERT_EQ(stamp->sequence, i);
    }
  });
  std::optional<Peer> nurse;
  for (std::uint64_t i = 0; i < kMessages;) {
    if (i == kMessages / 3 && !nurse) {
      ASSERT_EQ(::kill(child.pid(), SIGSTOP), 0);
      nurse.emplace([pid = child.pid()] {
        EXPECT_FALSE(Event().wait_for(1s));
        EXPECT_EQ(::kill(pid, SIGCONT), 0);
      });
    }
    const Status status = queue->put_bytes_for(stamped(1, i, traffic_size(i)), 300ms);
    ASSERT_TRUE(status == Status::kOk || status == Status::kTimeout) << to_string(status);
    if (status == Status::kOk) ++i;
  }
  nurse->join();
  child.join();
}

TEST_P(QueueFaults, Q43_HandledSignalsNeverShow) {
  const QueueHandle queue = make({.maxsize = 2, .joinable = true});
  constexpr std::uint64_t kMessages = 300;
  Peer child([&] {
    const SignalStorm storm;
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      put(*queue, stamped(1, i, traffic_size(i)));
      if (i % 60 == 0) {
        EXPECT_TRUE(queue->join_for(1h));
      }
    }
    EXPECT_GT(SignalStorm::hits(), 0);
  });
  const SignalStorm storm;
  for (std::uint64_t i = 0; i < kMessages; ++i) {
    if (i % 20 == 0) (void)Event().wait_for(2ms);  // now and then the other one waits for room
    const std::optional<Stamp> stamp = read_whole(get(*queue));
    ASSERT_TRUE(stamp);
    ASSERT_EQ(stamp->sequence, i);
    EXPECT_EQ(queue->task_done(), Status::kOk);
  }
  child.join();
}

TEST_P(QueueFaults, Q43_TimeOutsPassAsEverInAStorm) {
  const QueueHandle queue = make({.maxsize = 1, .joinable = true});
  const SignalStorm storm;
  const Stopwatch waited;
  Bytes message;
  EXPECT_EQ(queue->get_bytes_for(message, 100ms), Status::kTimeout);
  EXPECT_GE(waited.elapsed(), 100ms);
  put(*queue, "full");
  const Stopwatch waited_again;
  EXPECT_EQ(queue->put_bytes_for(text("x"), 100ms), Status::kTimeout);
  EXPECT_FALSE(queue->join_for(100ms));
  EXPECT_GE(waited_again.elapsed(), 200ms);
}

TEST_P(QueueFaults, Q44_MakingAQueueWithoutDescriptorsIsAnErrorOrAQueue) {
  Peer peer([] {
    const std::size_t before = open_descriptors();
    constexpr std::size_t kEnough = 24;
    std::size_t made = 0;
    for (std::size_t left = 0; left < kEnough; ++left) {
      QueueHandle queue;
      {
        const Exhaustion exhausted(left);
        try {
          queue = make();
        } catch (const std::system_error& error) {
          EXPECT_EQ(error.code(), std::errc::too_many_files_open);
        } catch (const Error& refused) {  // it was the other side that had none
          EXPECT_NE(std::string(refused.what()), "");
        }
      }
      if (queue) {
        put(*queue, "works");
        EXPECT_EQ(get_text(*queue), "works");
        ++made;
        queue.reset();
      }
      EXPECT_EQ(open_descriptors(), before) << "with " << left << " left";
    }
    EXPECT_GT(made, 0U);
  });
  peer.join();
}

// A handle that was not used in this process, and messages so large that they may need descriptors of their own. A get
// that says that there are none may have taken its message along.
TEST_P(QueueFaults, Q44_UsingAQueueWithoutDescriptorsIsAnErrorOrDone) {
  const QueueHandle queue = make();
  constexpr std::size_t kLarge = 500'000;
  const auto without = [](std::size_t left, const auto& call) {
    const Exhaustion exhausted(left);
    try {
      return call();
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), std::errc::too_many_files_open);
    } catch (const Error& refused) {  // it was the other side that had none
      EXPECT_NE(std::string(refused.what()), "");
    }
    return false;
  };
  for (std::size_t left = 0; left < 4; ++left) {
    Peer writer([&] {
      const bool done = without(left, [&] { return queue->put_bytes(pattern(kLarge, left)) == Status::kOk; });
      if (!done) put(*queue, pattern(kLarge, left));
    });
    SharedBox<std::atomic<bool>> was_told(false);
    Peer reader([&] {
      Bytes message;
      *was_told = !without(left, [&] { return queue->get_bytes(message) == Status::kOk; });
      EXPECT_TRUE(*was_told || same(message, pattern(kLarge, left))) << "with " << left << " left";
    });
    reader.join();
    for (Bytes message; *was_told && !(proc::thread(writer.pid(), writer.pid()).gone() && queue->empty());) {
      if (queue->get_bytes_for(message, 5ms) == Status::kOk) {
        EXPECT_TRUE(same(message, pattern(kLarge, left))) << "with " << left << " left";
      }
    }
    writer.join();
    ASSERT_TRUE(queue->empty());
    put(*queue, "works");
    EXPECT_EQ(get_text(*queue), "works");
  }
}

TEST_P(QueueFaults, Q45_AHundredThousandMessagesLeaveNothingBehind) {
  const QueueHandle queue = make();
  constexpr std::uint64_t kBatch = 500;
  constexpr std::uint64_t kBatches = 200;
  const auto size = [](std::uint64_t number) { return number % 5'000 == 0 ? 200'000 : number % 7 * 50; };
  const SharedBox<std::atomic<std::uint64_t>> seen{0U};
  Event counted;
  const auto run = [&](std::uint64_t first, std::uint64_t last, const auto& act) {
    for (std::uint64_t i = first; i < last; ++i) act(i);
    return Resources::now();
  };
  Peer child([&] {
    const auto take = [&](std::uint64_t number) {
      const std::optional<Stamp> stamp = read_whole(get(*queue));
      ASSERT_TRUE(stamp);
      ASSERT_EQ(stamp->sequence, number);
    };
    run(0, 10 * kBatch, take);
    const Resources half = run(10 * kBatch, kBatch * kBatches / 2, take);
    expect_no_growth(half, run(kBatch * kBatches / 2, kBatch * kBatches, take));
  });
  const auto give = [&](std::uint64_t number) { put(*queue, stamped(1, number, size(number))); };
  run(0, 10 * kBatch, give);
  const Resources half = run(10 * kBatch, kBatch * kBatches / 2, give);
  expect_no_growth(half, run(kBatch * kBatches / 2, kBatch * kBatches, give));
  child.join();
}

TEST_P(QueueFaults, Q45_AThousandQueuesLeaveNothingBehind) {
  const auto half = [] {
    for (int i = 0; i < 500; ++i) {
      const QueueHandle queue = make({.maxsize = static_cast<std::size_t>(i % 5)});
      put(*queue, "left behind");
      if (i % 3 == 0) {
        EXPECT_EQ(get_text(*queue), "left behind");
      }
    }
    return Resources::now();
  };
  const Resources first = half();
  expect_no_growth(first, half());
}

TEST_P(QueueFaults, Q46_AForkBesideBusyThreadsDisturbsNobody) {
  const QueueHandle busy = make({.maxsize = 8});
  const QueueHandle other = make();
  constexpr std::uint64_t kMessages = 1'500;
  std::thread producer([&] {
    for (std::uint64_t i = 0; i < kMessages; ++i) put(*busy, stamped(1, i, i % 3'000));
  });
  std::thread consumer([&] {
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      const std::optional<Stamp> stamp = read_whole(get(*busy));
      ASSERT_TRUE(stamp);
      ASSERT_EQ(stamp->sequence, i);
    }
  });
  for (std::uint64_t round = 0; round < 15; ++round) {
    // A queue that another thread was in the middle of, one that was quiet, and one of its own.
    Peer child([&] {
      EXPECT_LE(busy->size(), 8U);
      put(*other, pattern(100, round));
      const QueueHandle own = make();
      put(*own, "own");
      EXPECT_EQ(get_text(*own), "own");
    });
    EXPECT_TRUE(same(get(*other), pattern(100, round)));
    child.join();
  }
  producer.join();
  consumer.join();
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUE_FORMS(QueueFaults);

}  // namespace crucible::testing
