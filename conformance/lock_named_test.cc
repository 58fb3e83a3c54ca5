// Clause L44: locks and semaphores by name, shared with a program that was started by exec.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "conformance/exec_peer.h"
#include "conformance/lock_support.h"
#include "conformance/shared_support.h"

namespace crucible::testing {
namespace {

// `body(kind, lock, name)` for a Lock and an RLock of that name.
template <class F>
void with_each_named_lock(F body) {
  const std::string name = fresh_name();
  {
    SCOPED_TRACE("Lock");
    Lock lock = Lock::create(name);
    body("Lock", lock, name);
  }
  SCOPED_TRACE("RLock");
  RLock lock = RLock::create(name);
  body("RLock", lock, name);
}

TEST_F(Locks, L44_AnotherProgramWaitsForALock) {
  with_each_named_lock([](const char* kind, auto& lock, const std::string& name) {
    ExecPeer program(kind, name);
    EXPECT_EQ(program.ask("locked"), "no");
    EXPECT_EQ(lock.acquire(), Status::kOk);
    EXPECT_EQ(program.ask("locked"), "yes");
    EXPECT_EQ(program.ask("try"), "Timeout");
    EXPECT_EQ(program.ask("for 1"), "Timeout");
    EXPECT_EQ(program.ask("release").substr(0, 8), "NotOwner");
    program.tell("acquire");
    await_blocked(program.pid());
    lock.release();
    EXPECT_EQ(program.hear(), "Ok");
    EXPECT_EQ(lock.try_acquire(), Status::kTimeout);
    EXPECT_EQ(program.ask("release"), "Ok");
    EXPECT_EQ(lock.try_acquire(), Status::kOk);
    lock.release();
  });
}

TEST_F(Locks, L44_DeathOfAnotherProgramIsTold) {
  with_each_named_lock([](const char* kind, auto& lock, const std::string& name) {
    ExecPeer dying(kind, name);
    ExecPeer waiting(kind, name);
    EXPECT_EQ(dying.ask("acquire"), "Ok");
    waiting.tell("acquire");
    await_blocked(waiting.pid());
    dying.kill(SIGKILL);
    EXPECT_EQ(waiting.hear(), "OwnerDied");
    EXPECT_EQ(waiting.ask("release"), "Ok");
    EXPECT_EQ(lock.try_acquire(), Status::kOk);
    lock.release();
  });
}

TEST_F(Locks, L44_TwoHandlesOfOneProcessAreOneLock) {
  with_each_named_lock([](const char*, auto& lock, const std::string& name) {
    using L = std::remove_reference_t<decltype(lock)>;
    L other = L::open(name);
    lock.lock();
    EXPECT_TRUE(other.holds());
    std::thread([&] { EXPECT_FALSE(other.try_lock()); }).join();
    other.release();
    EXPECT_FALSE(lock.locked());
  });
}

TEST_F(Semaphores, L44_AnotherProgramCounts) {
  const std::string name = fresh_name();
  Semaphore semaphore = Semaphore::create(name, 2);
  ExecPeer program("Semaphore", name);
  EXPECT_EQ(program.ask("value"), "2");
  EXPECT_EQ(program.ask("permit"), "Ok");
  semaphore.acquire();
  EXPECT_EQ(program.ask("try"), "Timeout");
  program.tell("for 3600000");
  await_blocked(program.pid());
  semaphore.release();
  EXPECT_EQ(program.hear(), "Ok");
  EXPECT_EQ(program.ask("drop"), "Ok");
  EXPECT_EQ(semaphore.value(), 1);
  EXPECT_EQ(program.ask("permit"), "Ok");
  program.kill(SIGKILL);
  (void)program.wait_status();
  EXPECT_EQ(semaphore.value(), 1);  // its permit is back, what it acquired is not
}

TEST_F(Semaphores, L44_BoundIsOneForAll) {
  const std::string name = fresh_name();
  BoundedSemaphore semaphore = BoundedSemaphore::create(name, 1);
  ExecPeer program("BoundedSemaphore", name);
  EXPECT_EQ(program.ask("release").substr(0, 11), "OverRelease");
  semaphore.acquire();
  EXPECT_EQ(program.ask("release"), "Ok");
  EXPECT_THROW(semaphore.release(), OverRelease);
}

TEST_F(Locks, L44_WrongNamesAndKindsAreRefused) {
  const std::string name = fresh_name();
  EXPECT_THROW((void)Lock::open(name), NotFound);
  EXPECT_THROW((void)Semaphore::open(name), NotFound);
  const Lock lock = Lock::create(name);
  EXPECT_THROW((void)Lock::create(name), Exists);
  EXPECT_THROW((void)Semaphore::create(name), Exists);
  EXPECT_THROW((void)RLock::open(name), BadArgument);
  EXPECT_THROW((void)Semaphore::open(name), BadArgument);
  for (const char* const bad : {"", "a/b"}) {
    EXPECT_THROW((void)Lock::create(bad), BadArgument);
    EXPECT_THROW((void)Semaphore::create(bad), BadArgument);
  }
  const std::string other = fresh_name();
  const BoundedSemaphore semaphore = BoundedSemaphore::create(other);
  EXPECT_THROW((void)Semaphore::open(other), BadArgument);
  EXPECT_THROW((void)Semaphore::create(fresh_name(), -1), BadArgument);
}

TEST_F(Locks, L44_NameGoesWithItsLastUser) {
  const std::string name = fresh_name();
  std::optional<ExecPeer> program;
  {
    const Lock lock = Lock::create(name);
    program.emplace("Lock", name);
    EXPECT_EQ(program->ask("acquire"), "Ok");
  }
  {
    Lock again = Lock::open(name);
    EXPECT_FALSE(again.try_lock());
    program->tell("exit");
    EXPECT_EQ(program->hear(), "");
    EXPECT_EQ(again.acquire(), Status::kOwnerDied);
  }
  EXPECT_THROW((void)Lock::open(name), NotFound);
}

TEST_F(Locks, L44_FilesAreThisUsersOnlyWhateverTheUmask) {
  for (const mode_t mask : {mode_t{0}, mode_t{077}, mode_t{0777}}) {
    const mode_t before = ::umask(mask);
    const std::string name = fresh_name();
    const Lock lock = Lock::create(name);
    const std::string semaphore_name = fresh_name();
    const Semaphore semaphore = Semaphore::create(semaphore_name);
    ::umask(before);
    for (const std::string& folder : {folder_of(name), folder_of(semaphore_name)}) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (!entry.is_regular_file()) continue;
        struct stat status = {};
        ASSERT_EQ(::stat(entry.path().c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 07777U, 0600U) << entry.path() << " with umask " << mask;
      }
    }
    ExecPeer program("Lock", name);
    EXPECT_EQ(program.ask("acquire"), "Ok");
  }
}

}  // namespace
}  // namespace crucible::testing
