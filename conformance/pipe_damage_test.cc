// Clauses P56 and P57: how far the harm goes that a stopped or killed peer does.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <string>

#include "api/connection.h"
#include "conformance/pipe_support.h"
#include "conformance/random.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class PipeDamage : public MechanismTest {};

constexpr std::size_t kSizes[] = {8, 40'000, 0, 3'000};

void send_until_refused(Connection& end) {
  Status status = Status::kOk;
  for (std::size_t i = 0; status == Status::kOk; ++i) status = end.send_bytes(Bytes(kSizes[i % std::size(kSizes)]));
}

TEST_P(PipeDamage, P56_AStoppedPeerHoldsNobodyUp) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  for (int round = 0; round < 20; ++round) {
    auto [here, there] = pipe();
    Peer child([end = std::move(there), &here = here] {
      here.reset();
      send_until_refused(*end);
    });
    for (std::size_t i = random.between(0, 300); i > 0; --i) (void)take(*here);
    ASSERT_EQ(::kill(child.pid(), SIGSTOP), 0);
    Bytes message;
    Status status = Status::kOk;
    while (status == Status::kOk) status = here->recv_bytes_for(message, 20ms);
    EXPECT_EQ(status, Status::kTimeout);
    EXPECT_FALSE(here->poll() && here->try_recv_bytes(message) == Status::kOk);
    here->close();
    ASSERT_EQ(::kill(child.pid(), SIGCONT), 0);
    child.join();
  }
}

// One is killed while both are in the middle of calls; whether the other one's come to an end.
bool survives(ConnectionPair ends, bool kill_sender, std::chrono::nanoseconds when) {
  Event done;
  Peer victim([&ends, kill_sender, when] {
    auto [receiving, sending] = std::move(ends);
    (kill_sender ? receiving : sending).reset();
    const SignalTimer death(SIGKILL, when);
    if (kill_sender) {
      send_until_refused(*sending);
    } else {
      while (next_status(*receiving) == Status::kOk) {
      }
    }
  });
  Peer survivor([&ends, kill_sender, &done] {
    auto [receiving, sending] = std::move(ends);
    (kill_sender ? sending : receiving).reset();
    if (kill_sender) {
      while (next_status(*receiving) == Status::kOk) {
      }
    } else {
      send_until_refused(*sending);
    }
    done.set();
  });
  ends = {};
  EXPECT_EQ(victim.wait_status(), SIGKILL);
  const bool survived = done.wait_for(1s);
  if (!survived) survivor.kill();
  survivor.join();
  return survived;
}

TEST_P(PipeDamage, P57_AKillHarmsNoMoreThanThePipeItStrikes) {
  Random random;
  auto [before, other] = pipe();
  constexpr unsigned kKills = 40;
  unsigned survived = 0;
  for (unsigned round = 0; round < kKills; ++round) {
    survived += survives(pipe(), round % 2 == 0, std::chrono::microseconds(random.between(100, 2'000))) ? 1U : 0U;
    auto [after, another] = pipe();
    give(*before, pattern(50, round));
    give(*after, pattern(50, round));
    EXPECT_TRUE(same(take(*other), pattern(50, round)));
    EXPECT_TRUE(same(take(*another), pattern(50, round)));
  }
  std::printf("[  kills   ] %s, in the middle of traffic: survivors went on after %u / %u\n",
              std::string(GetParam().name()).c_str(), survived, kKills);
}

// By itself, since a name that only the next pipe removes would show in tests that run at the same time.
class PipeSetupTiming : public MechanismTest {};

TEST_P(PipeSetupTiming, P57_WhatADeathInSetupLeavesIsGoneWithTheNextPipe) {
  Random random;
  for (int round = 0; round < 40; ++round) {
    const auto when = std::chrono::microseconds(random.between(20, 1'000));
    Peer child([when] {
      const SignalTimer death(SIGKILL, when);
      for (;;) {
        auto [mine, yours] = pipe();
        give(*mine, as_bytes("x"));
        EXPECT_EQ(take(*yours).size(), 1U);
      }
    });
    ASSERT_EQ(child.wait_status(), SIGKILL);
    auto [here, there] = pipe();
    give(*here, pattern(50, 1));
    EXPECT_TRUE(same(take(*there), pattern(50, 1)));
  }
}

}  // namespace

CRUCIBLE_INSTANTIATE(PipeDamage);
CRUCIBLE_INSTANTIATE(PipeSetupTiming);

}  // namespace crucible::testing
