// Clauses S1 to S3 and S7: one object that several processes use.
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <type_traits>

#include "api/status.h"
#include "conformance/shared_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/lock.h"
#include "core/process.h"
#include "core/value.h"

namespace crucible::testing {
namespace {

class SharedValue : public CleanFixture {};

template <class T>
void expect_shared(T initial, T changed) {
  RawValue<T> raw(initial);
  Value<T> locked(initial);
  EXPECT_EQ(*raw, initial);
  EXPECT_EQ(locked.load(), initial);
  Peer peer([&] {
    *raw = changed;
    locked.store(changed);
  });
  peer.join();
  EXPECT_EQ(raw.load(), changed);
  EXPECT_EQ(*locked, changed);
  EXPECT_EQ(RawValue<T>().load(), T{});
  EXPECT_EQ(Value<T>().load(), T{});
}

TEST_F(SharedValue, S1_ValuesOfEachTypeAreSeenByBoth) {
  expect_shared<int>(7, -42);
  expect_shared<double>(1.5, -2.25);
  expect_shared<short>(3, std::numeric_limits<short>::min());
  expect_shared<std::int64_t>(1, std::numeric_limits<std::int64_t>::min());
  expect_shared<char>('a', 'z');
  expect_shared<bool>(false, true);
}

TEST_F(SharedValue, S1_AProcessTakesItByReference) {
  Value<int> value(1);
  crucible::Process child([](Value<int>& shared) { shared.store(shared.load() + 1); }, std::ref(value));
  child.start();
  child.join();
  EXPECT_EQ(value.load(), 2);
}

TEST_F(SharedValue, S1_ANamedValueIsOpenedByAnybody) {
  const std::string name = fresh_name();
  const auto raw = RawValue<double>::create(name, 1.5);
  EXPECT_EQ(raw.name(), name);
  Peer peer([&] { RawValue<double>::open(name).store(2.5); });
  peer.join();
  EXPECT_EQ(raw.load(), 2.5);
  EXPECT_THROW((void)RawValue<float>::open(name), BadArgument);
  EXPECT_THROW((void)RawValue<std::int64_t>::open(name), BadArgument);
}

TEST_F(SharedValue, S1_ANamedValuesLockIsFoundWithIt) {
  const std::string name = fresh_name();
  Value<int> value = Value<int>::create(name, 4);
  Event held;
  Event trying;
  Peer peer([&] {
    Value<int> opened = Value<int>::open(name);
    EXPECT_EQ(opened.load(), 4);
    opened.lock();
    held.set();
    trying.wait();
    *opened = 5;
    opened.unlock();
  });
  held.wait();
  EXPECT_FALSE(value.try_lock());
  trying.set();
  peer.join();
  EXPECT_EQ(value.load(), 5);
}

TEST_F(SharedValue, S2_ItsOwnLockIsARecursiveOne) {
  Value<int> value(1);
  static_assert(std::is_same_v<decltype(value.get_lock()), RLock&>);
  const std::scoped_lock outer(value);
  const std::scoped_lock inner(value.get_lock());
  EXPECT_TRUE(value.get_lock().holds());
  value.store(2);
  EXPECT_EQ(*value, 2);
}

TEST_F(SharedValue, S2_AGivenLockIsTheOneThatIsUsed) {
  Lock lock;
  Value<int, Lock> one(1, lock);
  Value<int, Lock> other(2, lock);
  EXPECT_EQ(&one.get_lock(), &lock);
  EXPECT_EQ(&other.get_lock(), &lock);
  ASSERT_TRUE(one.try_lock());
  EXPECT_TRUE(lock.holds());
  EXPECT_THROW((void)other.load(), StateError) << "held already, by the same thread";
  one.unlock();
  EXPECT_EQ(other.load(), 2);
}

template <class V>
concept HasLock = requires(V& value) { value.get_lock(); };

TEST_F(SharedValue, S2_ARawValueHasNone) {
  EXPECT_TRUE(HasLock<Value<int>>);
  EXPECT_FALSE(HasLock<RawValue<int>>);
}

TEST_F(SharedValue, S2_LoadsAndStoresWaitForTheLock) {
  Value<int> value(1);
  Event trying;
  value.lock();
  Peer peer([&] {
    trying.set();
    value.store(3);
  });
  trying.wait();
  await_blocked(peer.pid());
  EXPECT_EQ(*value, 1);
  value.unlock();
  peer.join();
  EXPECT_EQ(value.load(), 3);
}

TEST_F(SharedValue, S2_AHoldersDeathIsToldUntilSomebodyRepairs) {
  Value<int> value(1);
  Event held;
  Peer peer([&] {
    value.lock();
    *value = -1;
    held.set();
    for (;;) ::pause();
  });
  held.wait();
  peer.kill();
  peer.join();
  EXPECT_THROW((void)value.load(), OwnerDied);
  ASSERT_EQ(value.get_lock().acquire(), Status::kOwnerDied);
  *value = 1;
  value.unlock();
  EXPECT_EQ(value.load(), 1);
}

TEST_F(SharedValue, S3_IncrementsUnderTheLockAreNotLost) {
  Value<int> value(0);
  const auto add = [&value] {
    for (int i = 0; i < 5'000; ++i) value.update([](int& n) { n += 1; });
  };
  Peer one(add);
  Peer other([&value] {
    for (int i = 0; i < 5'000; ++i) {
      const std::scoped_lock guard(value);
      *value += 1;
    }
  });
  one.join();
  other.join();
  EXPECT_EQ(value.load(), 10'000);
}

struct Point {
  std::int32_t id = 5;
  double x = 0.5;
  char tag[6] = {};
};

TEST_F(SharedValue, S7_FieldsOfAStructAreShared) {
  Value<Point> point({.id = 1, .x = 2.0, .tag = "ab"});
  Peer peer([&] {
    point->id += 10;
    point.update([](Point& p) { p.x *= 2; });
  });
  peer.join();
  EXPECT_EQ(point->id, 11);
  EXPECT_EQ(point->x, 4.0);
  EXPECT_STREQ(point->tag, "ab");
  EXPECT_EQ(Value<Point>()->id, 5) << "a default value is the type's own";
}

TEST_F(SharedValue, S7_ACopyIsIndependent) {
  Value<Point> point({.id = 1, .x = 2.0, .tag = {}});
  Point copy = point.load();
  copy.id = 9;
  EXPECT_EQ(point->id, 1);
  point->id = 3;
  EXPECT_EQ(copy.id, 9);
  Value<Point> second(point.load());
  second->id = 4;
  EXPECT_EQ(point->id, 3);
}

TEST_F(SharedValue, S1_OnlyWhatIsNothingButItsBytesCanBeShared) {
  EXPECT_TRUE(Shareable<Point>);
  EXPECT_FALSE(Shareable<std::string>);
  EXPECT_FALSE(Shareable<int*>);
  EXPECT_FALSE(Shareable<int Point::*>);
  EXPECT_FALSE(Shareable<const int>);
}

}  // namespace
}  // namespace crucible::testing
