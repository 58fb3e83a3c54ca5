// Clauses L36 and L38 once more: a process killed at each instruction in turn of a call that changes shared words.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <optional>
#include <vector>

#include "conformance/lock_support.h"
#include "conformance/single_step.h"

namespace crucible::testing {
namespace {

class LockStep : public CleanFixture {};

TEST_F(LockStep, L36_HolderKilledAnywhereIsToldOnce) {
  with_each_lock([](auto& lock) {
    kill_everywhere(
        "acquire and release", [] {},
        [&lock] {
          EXPECT_EQ(lock.acquire(), Status::kOk);
          lock.release();
        },
        [&lock] {
          const Status status = lock.acquire();
          EXPECT_TRUE(status == Status::kOk || status == Status::kOwnerDied) << to_string(status);
          lock.release();
          EXPECT_EQ(lock.acquire(), Status::kOk);
          lock.release();
        });
  });
}

// All permits there are can be had again, and no more than those.
void expect_whole(Semaphore& semaphore, std::int64_t permits) {
  EXPECT_EQ(semaphore.value(), permits);
  std::vector<Semaphore::Permit> taken;
  for (std::int64_t i = 0; i < permits; ++i) {
    std::optional<Semaphore::Permit> permit = semaphore.try_permit();
    ASSERT_TRUE(permit) << i;
    taken.push_back(std::move(*permit));
  }
  EXPECT_FALSE(semaphore.try_permit());
}

TEST_F(LockStep, L38_PermitTakenAndGivenBackByOneKilledAnywhere) {
  Semaphore semaphore(2);
  kill_everywhere(
      "permit taken and given back", [] {}, [&semaphore] { EXPECT_TRUE(semaphore.try_permit()); },
      [&semaphore] { expect_whole(semaphore, 2); },
      [&semaphore] { EXPECT_TRUE(semaphore.try_permit()); });  // a process finds out only once who it is
}

TEST_F(LockStep, L38_WhatTheDeadHeldIsGivenBackByOneKilledAnywhere) {
  Semaphore semaphore(2);
  kill_everywhere(
      "value, while a dead process holds two permits",
      [&semaphore] {
        Peer holder([&semaphore] {
          const auto first = semaphore.try_permit();
          const auto second = semaphore.try_permit();
          EXPECT_TRUE(first && second);
          ::raise(SIGKILL);
        });
        EXPECT_TRUE(WIFSIGNALED(holder.wait_status()));
      },
      [&semaphore] { EXPECT_EQ(semaphore.value(), 2); }, [&semaphore] { expect_whole(semaphore, 2); });
}

TEST_F(LockStep, L38_ReleaseByOneKilledAnywhereCountsOnceOrNotAtAll) {
  Semaphore semaphore(0);
  kill_everywhere(
      "release", [] {}, [&semaphore] { semaphore.release(); },
      [&semaphore] {
        const std::int64_t value = semaphore.value();
        EXPECT_TRUE(value == 0 || value == 1) << value;
        EXPECT_EQ(semaphore.try_acquire(), value == 1);
      });
}

}  // namespace
}  // namespace crucible::testing
