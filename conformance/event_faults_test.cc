// Clauses H8, L46, L48 and L50 of Event: the dead, the stopped, signals, forks.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "conformance/event_support.h"
#include "conformance/support/resources.h"
#include "core/event.h"

namespace crucible::testing {
namespace {

class EventFaults : public CleanFixture {};

TEST_F(EventFaults, H8_SetDoesNotWaitForAKilledWaiter) {
  crucible::Event event;
  const auto wait = [&] { EXPECT_TRUE(event.wait()); };
  Peer first(wait);
  Peer second(wait);
  Peer victim(wait);
  for (const pid_t pid : {first.pid(), second.pid(), victim.pid()}) await_blocked(pid);
  victim.kill();
  victim.join();
  event.set();
  first.join();
  second.join();
}

// A survivor waits all the time, so that setters have somebody to wake.
template <class F>
void expect_survivors_of(const char* what, F victims_step) {
  constexpr int kKills = 120;
  crucible::Event event;
  crucible::Event pulse;
  const SharedBox<std::atomic<int>> seen{0};
  Peer survivor([&] {
    for (int i = 1; i <= kKills; ++i) {
      ASSERT_TRUE(event.wait());
      *seen = i;
      ASSERT_TRUE(pulse.wait());
      pulse.clear();
    }
  });
  Random random;
  KillScore score(what);
  for (int i = 1; i <= kKills; ++i) {
    const SharedBox<Calls> calls;
    run_until_killed(moment(random), [&] { victims_step(event, *calls); });
    score.count(calls->died_inside());
    event.set();
    until([&] { return *seen == i; });
    event.clear();
    EXPECT_FALSE(event.is_set());
    EXPECT_FALSE(event.wait_for(0s));
    pulse.set();
  }
  survivor.join();
}

TEST_F(EventFaults, H8_WaitersMayDieAtAnyMoment) {
  expect_survivors_of("waiters of an event",
                      [](crucible::Event& event, Calls& calls) { calls.inside([&] { return event.wait_for(50us); }); });
}

TEST_F(EventFaults, H8_SettersMayDieAtAnyMoment) {
  expect_survivors_of("setters of an event", [](crucible::Event& event, Calls& calls) {
    calls.inside([&] {
      for (int i = 0; i < 8; ++i) {
        event.set();
        event.clear();
      }
      return 0;
    });
  });
}

TEST_F(EventFaults, L46_SignalsEndNoWaitAndShortenNone) {
  crucible::Event event;
  const SignalStorm storm;
  const Stopwatch watch;
  EXPECT_FALSE(event.wait_for(60ms));
  EXPECT_GE(watch.elapsed(), 60ms);
  EXPECT_GT(SignalStorm::hits(), 0);
  Peer setter([&] { event.set(); });
  EXPECT_TRUE(event.wait());
}

TEST_F(EventFaults, L48_AStoppedWaiterSeesThePulseThatItSleptThrough) {
  crucible::Event event;
  Peer waiter([&] { EXPECT_TRUE(event.wait()); });
  await_blocked(waiter.pid());
  ASSERT_EQ(::kill(waiter.pid(), SIGSTOP), 0);
  event.set();
  event.clear();
  EXPECT_FALSE(event.wait_for(100ms));
  ASSERT_EQ(::kill(waiter.pid(), SIGCONT), 0);
  waiter.join();
}

TEST_F(EventFaults, L50_AThousandLeaveNothing) {
  const auto make = [] {
    crucible::Event event;
    EXPECT_FALSE(event.wait_for(1us));
    event.set();
  };
  for (int i = 0; i < 100; ++i) make();
  const Resources before = Resources::now();
  for (int i = 0; i < 1'000; ++i) make();
  expect_no_growth(before, Resources::now());
}

TEST_F(EventFaults, L50_AForkBesideThreadsThatWaitUsesIt) {
  crucible::Event event;
  crucible::Event answer;
  std::jthread waiting([&] { EXPECT_TRUE(event.wait()); });
  std::jthread busy([&] {
    while (!event.is_set()) (void)answer.is_set();
  });
  Peer child([&] {
    EXPECT_FALSE(event.is_set());
    answer.set();
    EXPECT_TRUE(event.wait());
  });
  EXPECT_TRUE(answer.wait());
  event.set();
}

}  // namespace
}  // namespace crucible::testing
