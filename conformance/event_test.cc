// Clauses L22, L23, L45, H18 and H19: Event.
#include "core/event.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>
#include <vector>

#include "conformance/event_support.h"

namespace crucible::testing {
namespace {

class EventTest : public CleanFixture {};

TEST_F(EventTest, L22_IsUnsetThenSetThenUnsetAgain) {
  crucible::Event event;
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(event.is_set());
    EXPECT_FALSE(event.wait_for(0s));
    EXPECT_FALSE(event.wait_for(-1s));
    event.set();
    event.set();
    EXPECT_TRUE(event.is_set());
    EXPECT_TRUE(event.wait());
    EXPECT_TRUE(event.wait_for(0s));
    EXPECT_TRUE(event.wait_for(1h));
    event.clear();
    event.clear();
  }
}

TEST_F(EventTest, L22_TimedWaitSaysNoAndNotBeforeItsTime) {
  const crucible::Event event;
  for (const auto duration : {1ms, 30ms, 70ms}) {
    const Stopwatch watch;
    EXPECT_FALSE(event.wait_for(duration));
    EXPECT_GE(watch.elapsed(), duration);
  }
  const auto time = std::chrono::system_clock::now() + 30ms;
  EXPECT_FALSE(event.wait_until(time));
  EXPECT_GE(std::chrono::system_clock::now(), time);
}

TEST_F(EventTest, L23_SetByAChildReleasesAllWaiters) {
  crucible::Event event;
  const SharedBox<std::atomic<int>> released{0};
  std::vector<std::unique_ptr<Peer>> processes;
  for (int i = 0; i < 3; ++i) {
    processes.push_back(std::make_unique<Peer>([&] {
      EXPECT_TRUE(i == 0 ? event.wait_for(1h) : event.wait());
      ++*released;
    }));
  }
  for (const auto& process : processes) await_blocked(process->pid());
  Peer setter([&] { event.set(); });
  EXPECT_TRUE(event.wait());
  for (const auto& process : processes) process->join();
  EXPECT_EQ(*released, 3);
  EXPECT_TRUE(event.is_set());
}

TEST_F(EventTest, L23_SetByAThreadReleasesProcessesAndThreads) {
  crucible::Event event;
  Crew crew;
  crew.both(3, [&] { EXPECT_TRUE(event.wait()); });
  event.set();
  crew.join();
}

// Each of them sleeps in wait() when the pulse comes.
TEST_F(EventTest, H18_APulseReachesEverybodyWhoWaits) {
  crucible::Event event;
  constexpr int kPulses = 40;
  const SharedBox<std::atomic<int>> pulses{0};
  const SharedBox<std::atomic<int>> woken{0};
  const auto wait_for_pulses = [&] {
    for (int i = 1; i <= kPulses; ++i) {
      ASSERT_TRUE(i % 2 == 0 ? event.wait() : event.wait_for(1h));
      while (*pulses < i) ::sched_yield();  // or it could see one pulse twice
      ++*woken;
    }
  };
  Peer first(wait_for_pulses);
  Peer second(wait_for_pulses);
  std::atomic<pid_t> tid = 0;
  std::jthread third([&] {
    tid = thread_id();
    wait_for_pulses();
  });
  until([&] { return tid != 0; });
  for (int i = 1; i <= kPulses; ++i) {
    await_blocked(first.pid());
    await_blocked(second.pid());
    await_blocked(::getpid(), tid);
    event.set();
    event.clear();
    *pulses = i;
    until([&] { return *woken == 3 * i; });
  }
  EXPECT_FALSE(event.is_set());
}

TEST_F(EventTest, H18_AWaitWithoutTimeoutNeverSaysNo) {
  crucible::Event event;
  const SharedBox<std::atomic<bool>> over{false};
  Crew crew;
  crew.both(2, [&] {
    while (!*over) {
      ASSERT_TRUE(event.wait());
      ASSERT_TRUE(event.wait_for(1h));
    }
  });
  for (int i = 0; i < 20'000; ++i) {
    event.set();
    event.clear();
  }
  *over = true;
  event.set();
  crew.join();
}

std::atomic<crucible::Event*> event_of_handler = nullptr;
std::atomic<int> handled = 0;

void set_in_handler(int /*signal*/) {
  crucible::Event& event = *event_of_handler;
  if (!event.is_set()) event.clear();
  event.set();
  ++handled;
}

class Handler {
 public:
  Handler(crucible::Event& event, int signal) : signal_(signal) {
    event_of_handler = &event;
    handled = 0;
    struct sigaction action = {};
    action.sa_handler = set_in_handler;
    sigaction(signal_, &action, &before_);
  }
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  ~Handler() { sigaction(signal_, &before_, nullptr); }

 private:
  int signal_;
  struct sigaction before_ = {};
};

// While the main flow is in every call itself, and somebody sleeps who must be woken.
TEST_F(EventTest, H19_AHandlerSetsWhateverItInterrupts) {
  crucible::Event event;
  const SharedBox<std::atomic<bool>> over{false};
  Peer waiter([&] {
    while (!*over) EXPECT_TRUE(event.wait());
  });
  const Handler handler(event, SIGUSR1);
  {
    const SignalTimer timer(SIGUSR1, 20us, 20us);
    while (handled < 10'000) {
      (void)event.wait_for(10us);
      errno = EXDEV;
      for (int i = 0; i < 16; ++i) {
        event.set();
        if (event.is_set()) event.clear();
      }
      ASSERT_EQ(errno, EXDEV) << "the interrupted flow's errno was changed";
    }
  }
  *over = true;
  event.set();
  waiter.join();
}

TEST_F(EventTest, H19_AHandlerEndsTheWaitThatItInterrupts) {
  crucible::Event event;
  const Handler handler(event, SIGUSR1);
  for (int i = 0; i < 100; ++i) {
    const SignalTimer timer(SIGUSR1, 200us);
    ASSERT_TRUE(event.wait());
    event.clear();
  }
  EXPECT_EQ(handled, 100);
}

// The thread sanitizer sees it if it is not so.
TEST_F(EventTest, L45_WhatWasDoneBeforeSetIsSeenAfterWait) {
  crucible::Event event;
  crucible::Event answer;
  int value = 0;
  std::jthread thread([&] {
    for (int i = 1; i <= 1'000; ++i) {
      event.wait();
      event.clear();
      ASSERT_EQ(value, i);
      value = -i;
      answer.set();
    }
  });
  for (int i = 1; i <= 1'000; ++i) {
    value = i;
    event.set();
    answer.wait();
    answer.clear();
    ASSERT_EQ(value, -i);
  }
}

}  // namespace
}  // namespace crucible::testing
