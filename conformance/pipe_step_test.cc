// Clause P42 instruction by instruction: a process is stepped through a call and killed at a chosen point of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <vector>

#include "api/connection.h"
#include "conformance/pipe_support.h"
#include "conformance/single_step.h"

namespace crucible::testing {
namespace {

class PipeStep : public MechanismTest {};

TEST_P(PipeStep, P42_ASendKilledAnywhereIsWholeOrNotAtAll) {
  CRUCIBLE_REQUIRE(survives_kill);
  CRUCIBLE_REQUIRE(hands_over);
  for (const std::size_t size : {40UL, 1'000UL}) {
    auto [here, there] = pipe();
    const Bytes victims = pattern(size, 1);
    give(*here, victims);  // what a first call does once it has done
    EXPECT_TRUE(same(take(*there), victims));
    kill_everywhere(
        "a send", [] {}, [&end = *here, &victims] { (void)end.send_bytes(victims); },
        [&here = *here, &there = *there, &victims] {
          if (there.poll()) {
            ASSERT_TRUE(same(take(there), victims));
          }
          give(here, text("the next one, by another copy"));
          ASSERT_EQ(as_text(take(there)), "the next one, by another copy");
          ASSERT_FALSE(there.poll());
        });
  }
}

TEST_P(PipeStep, P42_AReceiveKilledAnywhereTakesItsMessageOrLeavesIt) {
  CRUCIBLE_REQUIRE(survives_kill);
  CRUCIBLE_REQUIRE(hands_over);
  auto [here, there] = pipe();
  kill_everywhere(
      "a receive",
      [&end = *here] {
        give(end, pattern(40, 1));
        give(end, pattern(60, 2));
      },
      [&end = *there] {
        Bytes message;
        (void)end.recv_bytes(message);
      },
      [&end = *there] {
        Bytes message = take(end);
        if (message.size() == 40) {
          ASSERT_TRUE(same(message, pattern(40, 1)));
          message = take(end);
        }
        ASSERT_TRUE(same(message, pattern(60, 2)));
        ASSERT_FALSE(end.poll());
      });
}

// What a mechanism learns from a steady size, its next user must not lack.
TEST_P(PipeStep, P42_AReceiveKilledWhereTheSizesChangeTakesItsMessagesOrLeavesThem) {
  CRUCIBLE_REQUIRE(survives_kill);
  CRUCIBLE_REQUIRE(hands_over);
  auto [here, there] = pipe();
  kill_everywhere(
      "three receives",
      [&here = *here, &there = *there] {
        for (int i = 0; i < 3; ++i) {
          give(here, pattern(200, 0));
          (void)take(there);
        }
        for (const std::size_t size : {200UL, 70UL, 70UL, 70UL, 90UL}) give(here, pattern(size, size));
      },
      [&end = *there] {
        Bytes message(200);
        for (int i = 0; i < 3; ++i) (void)end.recv_bytes(message);
      },
      [&end = *there] {
        std::vector<std::size_t> sizes;
        while (end.poll()) {
          const Bytes message = take(end);
          ASSERT_TRUE(same(message, pattern(message.size(), message.size())));
          sizes.push_back(message.size());
        }
        const std::vector<std::size_t> all = {200, 70, 70, 70, 90};
        ASSERT_GE(sizes.size(), 2U);
        ASSERT_TRUE(std::ranges::equal(sizes, std::span(all).last(sizes.size())));
      });
}

}  // namespace

CRUCIBLE_INSTANTIATE_ONCE(PipeStep);

}  // namespace crucible::testing
