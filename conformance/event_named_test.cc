// Clause L47: Event, Condition and Barrier by name.
#include <gtest/gtest.h>
#include <unistd.h>

#include <mutex>
#include <string>

#include "conformance/event_support.h"
#include "conformance/shared_support.h"
#include "core/barrier.h"
#include "core/condition.h"
#include "core/event.h"
#include "core/lock.h"

namespace crucible::testing {
namespace {

class SyncNames : public CleanFixture {};

Peer run_program(const char* verb, const std::string& name) {
  return Peer([verb, name] {
    ::execl(CRUCIBLE_SYNC_PEER, CRUCIBLE_SYNC_PEER, verb, name.c_str(), nullptr);
    ADD_FAILURE() << "cannot run " << CRUCIBLE_SYNC_PEER;
  });
}

TEST_F(SyncNames, L47_AProgramThatKnowsOnlyTheNames) {
  const std::string name = fresh_name();
  auto question = crucible::Event::create(name + "-question");
  auto answer = crucible::Event::create(name + "-answer");
  auto barrier = Barrier::create(name + "-barrier", 2);
  auto lock = Lock::create(name + "-lock");
  auto condition = Condition::create(name + "-condition", lock);
  Peer program = run_program("meet", name);
  question.set();
  EXPECT_TRUE(answer.wait());
  barrier.wait();
  until([&] { return condition.waiters() == 1; });
  const std::scoped_lock holding(condition);
  EXPECT_EQ(condition.notify_one(), 1U);
  EXPECT_EQ(condition.wait(), Status::kOk);
}

TEST_F(SyncNames, L47_ItsDeathBreaksTheBarrierAndLeavesNoName) {
  const std::string name = fresh_name() + "-barrier";
  {
    auto barrier = Barrier::create(name, 3);
    Peer program = run_program("wait", name.substr(0, name.rfind('-')));
    until([&] { return barrier.n_waiting() == 1; });
    Peer killer([&] {
      until([&] { return barrier.n_waiting() == 2; });
      EXPECT_EQ(::kill(program.pid(), SIGKILL), 0);
    });
    EXPECT_THROW(barrier.wait(), BrokenBarrier);
    program.kill();
  }
  EXPECT_THROW((void)Barrier::open(name), NotFound);
}

TEST_F(SyncNames, L47_TheBarriersTimeoutGoesWithTheName) {
  const std::string name = fresh_name();
  const auto here = Barrier::create(name, 7, {}, 20ms);
  auto there = Barrier::open(name);
  EXPECT_EQ(there.parties(), 7U);
  EXPECT_THROW(there.wait(), BrokenBarrier);
  EXPECT_TRUE(here.broken());
}

TEST_F(SyncNames, L47_TakenMissingAndOtherKindsOfNames) {
  const std::string name = fresh_name();
  Lock lock;
  EXPECT_THROW((void)crucible::Event::open(name), NotFound);
  EXPECT_THROW((void)Condition::open(name, lock), NotFound);
  EXPECT_THROW((void)Barrier::open(name), NotFound);
  auto event = crucible::Event::create(name);
  EXPECT_THROW((void)crucible::Event::create(name), Exists);
  EXPECT_THROW((void)Condition::create(name, lock), Exists);
  EXPECT_THROW((void)Barrier::create(name, 2), Exists);
  EXPECT_THROW((void)Condition::open(name, lock), BadArgument);
  EXPECT_THROW((void)Barrier::open(name), BadArgument);
  event.set();
  EXPECT_TRUE(crucible::Event::open(name).is_set());
  EXPECT_THROW((void)Barrier::create(fresh_name(), 0), BadArgument);
}

}  // namespace
}  // namespace crucible::testing
