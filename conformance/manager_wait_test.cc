// Clause M33: managers whose connections spin, look for a moment, or sleep at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/manager_support.h"

namespace crucible::testing {
namespace {

class ManagerWait : public ManagerTest {
 protected:
  /// Nothing stands for the mechanism's own way.
  static std::vector<std::optional<WaitStrategy>> offered() {
    std::vector<std::optional<WaitStrategy>> all = {std::nullopt};
    all.insert(all.end(), form().waits.begin(), form().waits.end());
    return all;
  }
  static ManagerOptions by(std::optional<WaitStrategy> wait) {
    ManagerOptions options;
    options.wait = wait;
    return options;
  }
};

TEST_P(ManagerWait, M33_WhatIsNotOfferedIsRefused) {
  for (const WaitStrategy wait : {WaitStrategy::kAdaptive, WaitStrategy::kSpin, WaitStrategy::kBlock}) {
    const auto waits = form().waits;
    if (std::ranges::find(waits, wait) != waits.end()) {
      EXPECT_NO_THROW((void)unstarted({}, by(wait))) << to_string(wait);
    } else {
      EXPECT_THROW((void)unstarted({}, by(wait)), BadArgument) << to_string(wait);
    }
  }
}

TEST_P(ManagerWait, M33_SeveralClientsAreServedByEveryStrategy) {
  for (const auto wait : offered()) {
    const auto manager = start(by(wait));
    const auto list = manager->list<int>();
    {
      const auto add = [&] {
        for (int i = 0; i < 100; ++i) list.append(i);
      };
      Peer first(add), second(add);
      first.join();
      second.join();
    }
    EXPECT_EQ(list.size(), 200U);
    const managed::Lock lock = manager->lock();
    EXPECT_EQ(lock.acquire(), Status::kOk);
    Peer next([&] {
      EXPECT_EQ(lock.acquire(), Status::kOk);
      lock.release();
    });
    lock.release();
    next.join();
  }
}

TEST_P(ManagerWait, M33_DeathsAreNoticedByEveryStrategy) {
  CRUCIBLE_REQUIRE(survives_kill);
  for (const auto wait : offered()) {
    const auto manager = start(by(wait));
    const auto value = manager->value<int>(1);
    const std::size_t before = manager->object_count();
    for (int i = 0; i < 5; ++i) {
      const auto lock = manager->lock();
      auto dead = holder([&] { EXPECT_EQ(lock.acquire(), Status::kOk); });
      for (int j = 0; j < 100; ++j) EXPECT_EQ(value.get(), 1);  // the server is looking when it happens
      end(std::move(dead));
      Status found = Status::kTimeout;
      while (found == Status::kTimeout) found = lock.try_acquire();
      EXPECT_EQ(found, Status::kOwnerDied);
    }
    while (manager->object_count() != before) std::this_thread::yield();  // the dead hold nothing
  }
}

}  // namespace

CRUCIBLE_INSTANTIATE_MANAGERS(ManagerWait);

}  // namespace crucible::testing
