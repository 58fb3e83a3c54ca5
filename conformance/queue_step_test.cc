// Clause H24 instruction by instruction: a producer or a consumer is killed at a chosen point of a call.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "conformance/queue_support.h"
#include "conformance/single_step.h"

namespace crucible::testing {
namespace {

constexpr std::size_t kBound = 4;
constexpr std::size_t kStorage = 10'000;
constexpr std::size_t kShort = 40;
constexpr std::size_t kLong = 2'200;  // so little storage does not take it as it takes short ones

class QueueStep : public QueueTest {
 protected:
  void SetUp() override {
    QueueTest::SetUp();
    queue_ = make({.maxsize = kBound, .storage_bytes = kStorage});
    other_ = make();
  }
  void TearDown() override {
    queue_.reset();
    other_.reset();
    QueueTest::TearDown();
  }

  // What was there when a process died is taken, in order and whole, `there` messages numbered from `first` on; then
  // the queue has exactly the capacity it had.
  void expect_sound(std::size_t size, std::uint64_t first, std::size_t there) {
    ASSERT_EQ(queue_->size(), there);
    expect_filled(*queue_, size, there, first);
    ASSERT_EQ(next_status(*queue_), Status::kTimeout);
    ASSERT_EQ(fill(*queue_, size, 2 * kBound, 100), kBound);
    ASSERT_TRUE(queue_->full());
    expect_filled(*queue_, size, kBound, 100);
    ASSERT_TRUE(queue_->empty());
  }
  void kill_puts(std::size_t size) {
    const Bytes victims = pattern(size, 1);
    kill_everywhere(
        "a put", [&] { put(*queue_, pattern(size, 0)); }, [&] { (void)queue_->put_bytes(victims); },
        [&] {
          const std::size_t there = queue_->size();
          ASSERT_TRUE(there == 1 || there == 2) << there;
          expect_sound(size, 0, there);
        },
        used_one());
  }
  void kill_gets(std::size_t size) {
    kill_everywhere(
        "a get", [&] { EXPECT_EQ(fill(*queue_, size, kBound), kBound); },
        [&] {
          Bytes message;
          (void)queue_->get_bytes(message);
        },
        [&] {
          const std::size_t there = queue_->size();
          ASSERT_TRUE(there == kBound || there == kBound - 1) << there;
          expect_sound(size, kBound - there, there);
        },
        used_one());
  }

  // What a process does once is done in another queue and not stepped through: the call is short, and every
  // instruction of it has its turn.
  std::function<void()> used_one() {
    return [this] {
      (void)queue_->size();  // some forms connect each process to each queue
      put(*other_, "1");
      (void)get(*other_);
    };
  }

  QueueHandle queue_;
  QueueHandle other_;
};

TEST_P(QueueStep, H24_APutKilledAnywhereIsWholeOrNotAtAll) {
  CRUCIBLE_REQUIRE(survives_kill);
  kill_puts(kShort);
}

TEST_P(QueueStep, H24_ALongPutKilledAnywhereIsWholeOrNotAtAll) {
  CRUCIBLE_REQUIRE(survives_kill);
  kill_puts(kLong);
}

TEST_P(QueueStep, H24_AGetKilledAnywhereTakesItsMessageOrLeavesIt) {
  CRUCIBLE_REQUIRE(survives_kill);
  kill_gets(kShort);
}

TEST_P(QueueStep, H24_ALongGetKilledAnywhereTakesItsMessageOrLeavesIt) {
  CRUCIBLE_REQUIRE(survives_kill);
  kill_gets(kLong);
}

TEST_P(QueueStep, H24_ABatchKilledAnywhereEndsBetweenTwoOfItsMessages) {
  CRUCIBLE_REQUIRE(survives_kill);
  std::array<Bytes, 3> messages;
  for (std::size_t i = 0; i < messages.size(); ++i) messages.at(i) = pattern(kShort, i);
  const std::vector<ByteView> batch(messages.begin(), messages.end());
  kill_everywhere(
      "a batch of puts", [] {},
      [&] {
        std::size_t count = 0;
        (void)queue_->put_many(batch, count);
      },
      [&] {
        const std::size_t there = queue_->size();
        ASSERT_LE(there, batch.size());
        expect_sound(kShort, 0, there);
      },
      used_one());
}

// Half-way through with what the first victim left, the second one is killed too.
TEST_P(QueueStep, H24_WhoeverRepairsWhatADeathLeftMayBeKilledAnywhere) {
  CRUCIBLE_REQUIRE(survives_kill);
  const Bytes victims = pattern(kShort, 0);
  const auto call = [&] { (void)queue_->put_bytes(victims); };
  Random random;
  const std::optional<std::size_t> length = step_and_kill(call, 200'000, used_one());
  if (!length) GTEST_SKIP() << "this process may not trace another";
  expect_filled(*queue_, kShort, queue_->size());
  kill_everywhere(
      "a put behind a death", [&] { (void)step_and_kill(call, random.between(0, *length), used_one()); }, call,
      [&] {
        const std::size_t there = queue_->size();
        ASSERT_LE(there, 2U);
        for (std::size_t i = 0; i < there; ++i) ASSERT_TRUE(same(get(*queue_), victims));
        expect_sound(kShort, 0, 0);
      },
      used_one());
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUE_FORMS(QueueStep);

}  // namespace crucible::testing
