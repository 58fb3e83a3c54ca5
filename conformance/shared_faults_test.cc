// Clauses S25, S26, S28 and H40: modes, other users, no space, no descriptors, no address space.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>

#include "api/status.h"
#include "conformance/shared_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/resources.h"
#include "core/fd.h"
#include "core/shared_memory.h"

namespace crucible::testing {
namespace {

class SharedFaults : public CleanFixture {};

constexpr uid_t kNobody = 65'534;

mode_t mode_of(const std::string& path) {
  struct stat facts = {};
  EXPECT_EQ(::stat(path.c_str(), &facts), 0) << path;
  return facts.st_mode & 0777U;
}

TEST_F(SharedFaults, S25_OnlyItsUserMayOpenItUnderEveryUmask) {
  for (const mode_t mask : {0000U, 0077U, 0777U}) {
    Peer peer([mask] {
      ::umask(mask);
      const Block block = Block::create(fresh_name(), kTestKind, 8, {});
      const std::string folder = folder_of(block.name());
      EXPECT_EQ(mode_of(folder), 0700U);
      EXPECT_EQ(mode_of(folder + "/" + block.id()), 0600U);
      EXPECT_EQ(Block::open(block.name(), kTestKind).bytes(), 8U);
    });
    peer.join();
  }
}

TEST_F(SharedFaults, S25_AnotherUserCanDoNothingToIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const Block block = Block::create(fresh_name(), kTestKind, 8, {});
  const std::string folder = folder_of(block.name());
  Peer stranger([&] {
    ASSERT_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
    EXPECT_THROW((void)Block::open(block.name(), kTestKind), Auth);
    EXPECT_THROW((void)Block::create(block.name(), kTestKind, 8, {}), Exists);
    EXPECT_LT(::open((folder + "/" + block.id()).c_str(), O_RDONLY), 0);
    EXPECT_NE(::unlink((folder + "/" + block.id()).c_str()), 0);
    EXPECT_NE(::rename(folder.c_str(), (folder + "x").c_str()), 0);
  });
  stranger.join();
  EXPECT_EQ(Block::open(block.name(), kTestKind).bytes(), 8U);
}

TEST_F(SharedFaults, S25_AnotherUsersNameIsNeitherTrustedNorRemoved) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const std::string name = fresh_name();
  Event made;
  Event done;
  Peer stranger([&] {
    ASSERT_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
    const Block block = Block::create(name, kTestKind, 8, {});
    EXPECT_EQ(::chmod(folder_of(name).c_str(), 0777), 0);
    made.set();
    done.wait();
  });
  made.wait();
  EXPECT_THROW((void)Block::open(name, kTestKind), Auth);
  EXPECT_THROW((void)Block::create(name, kTestKind, 8, {}), Exists);
  EXPECT_EQ(::access(folder_of(name).c_str(), F_OK), 0);
  done.set();
  stranger.join();
}

TEST_F(SharedFaults, S25_WhatIsNotTheLibrarysIsLeftAlone) {
  const std::string name = fresh_name();
  const Fd file(::open(folder_of(name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  ASSERT_TRUE(file);
  Peer next([&] {
    EXPECT_THROW((void)Block::create(name, kTestKind, 8, {}), Exists);
    EXPECT_THROW((void)Block::open(name, kTestKind), NotFound);
  });
  next.join();
  EXPECT_EQ(::unlink(folder_of(name).c_str()), 0) << "it was removed";
}

// The file's length may not pass `bytes`; the signal that says so is ignored, as a program that sets the limit does.
void limit_file_size(rlim_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST_F(SharedFaults, S26_NoSpaceIsAnErrorAtCreation) {
  Peer peer([] {
    limit_file_size(100'000);
    EXPECT_THROW((void)crucible::SharedMemory::create(200'000), std::system_error);
    const auto memory = crucible::SharedMemory::create(90'000);
    std::memset(memory.view().span().data(), 0xff, 90'000);
  });
  peer.join();
}

// Gives this process a /dev/shm of its own of 1 MiB. Whether it may.
bool mount_own_memory() {
  return ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("crucible", "/dev/shm", "tmpfs", 0, "size=1m,mode=1777") == 0;
}

bool may_mount() {
  Peer tries([] { ::_exit(mount_own_memory() ? 0 : 1); });
  const bool may = tries.wait_status() == 0;
  tries.kill();
  return may;
}

// First statement of a test that needs a small file system.
#define CRUCIBLE_REQUIRE_MOUNT \
  if (!may_mount()) GTEST_SKIP() << "this process may not mount a file system of its own"

TEST_F(SharedFaults, S26_AFullFileSystemIsAnErrorAndNeverSigbus) {
  CRUCIBLE_REQUIRE_MOUNT;
  Peer peer([] {
    ASSERT_TRUE(mount_own_memory());
    std::vector<Block> blocks;
    const auto fill = [&] {
      for (int i = 0; i < 100; ++i) {
        blocks.push_back(Block::create(fresh_name(), kTestKind, 100'000, {}));
        std::memset(blocks.back().data(), 0xff, 100'000);
      }
    };
    EXPECT_THROW(fill(), std::system_error);
    EXPECT_GT(blocks.size(), 5U);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator("/dev/shm"), {}), std::ssize(blocks));
    blocks.pop_back();
    blocks.push_back(Block::create(fresh_name(), kTestKind, 100'000, {}));
  });
  peer.join();
}

TEST_F(SharedFaults, S26_WhatTheDeadHaveLeftIsNoObstacle) {
  CRUCIBLE_REQUIRE_MOUNT;
  Peer peer([] {
    ASSERT_TRUE(mount_own_memory());
    const Block first = Block::create(fresh_name(), kTestKind, 1, {});  // this process has tidied up
    Event made;
    Peer doomed([&] {
      const Block large = Block::create(fresh_name(), kTestKind, 700'000, {});
      made.set();
      for (;;) ::pause();
    });
    made.wait();
    EXPECT_THROW((void)Block::create(fresh_name(), kTestKind, 700'000, {}), std::system_error);
    doomed.kill();
    doomed.join();
    EXPECT_EQ(Block::create(fresh_name(), kTestKind, 700'000, {}).bytes(), 700'000U);
  });
  peer.join();
}

TEST_F(SharedFaults, S26_WithoutDescriptorsItIsAnErrorOrDone) {
  Peer peer([] {
    const std::string name = fresh_name();
    bool failed = false;
    bool done = false;
    for (std::size_t count = 0; count < 8; ++count) {
      const Exhaustion exhaustion(count);
      try {
        const Block block = Block::create(name, kTestKind, 100, {});
        (void)Block::open(name, kTestKind);
        done = true;
      } catch (const std::system_error& error) {
        EXPECT_EQ(error.code().value(), EMFILE);
        failed = true;
      }
    }
    EXPECT_TRUE(failed);
    EXPECT_TRUE(done);
    EXPECT_THROW((void)Block::open(name, kTestKind), NotFound);
    const Block block = Block::create(name, kTestKind, 100, {});
  });
  peer.join();
}

TEST_F(SharedFaults, S28_AThousandCreationsLeaveNothing) {
  const auto create_some = [] {
    for (int i = 0; i < 500; ++i) {
      const auto memory = crucible::SharedMemory::create(10'000);
      const auto attached = crucible::SharedMemory::attach(memory.name());
      std::memset(attached.view().span().data(), 1, 10'000);
      if (i % 2 == 0) memory.unlink();
      const Block inherited = Block::allocate(1 + static_cast<std::size_t>(i) * 100);
    }
  };
  create_some();
  const Resources first = Resources::now();
  const auto mappings = [] { return std::ranges::count(proc::read_file("/proc/self/maps"), '\n'); };
  const auto before = mappings();
  create_some();
  expect_no_growth(first, Resources::now());
  EXPECT_LT(mappings(), before + 50) << "of 1,500 that came and went; allocators map now and then";
}

#if !CRUCIBLE_SANITIZED  // a sanitizer's own memory has no such limit
void limit_address_space_to(std::size_t more) {
  const std::string status = proc::read_file("/proc/self/status");
  const std::size_t at = status.find("VmSize:");
  const rlim_t bytes = std::stoul(status.substr(at + 7)) * 1'024 + more;
  const rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes};
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &limit), 0);
}

TEST_F(SharedFaults, H40_AFailedAttachLeavesTheSegment) {
  constexpr std::size_t kBytes = 32 << 20U;
  const auto memory = crucible::SharedMemory::create(kBytes);
  memory.view()[kBytes - 1] = std::byte{5};
  Peer peer([&] {
    limit_address_space_to(kBytes / 2);
    EXPECT_THROW((void)crucible::SharedMemory::attach(memory.name()), std::system_error);
    EXPECT_THROW((void)crucible::SharedMemory::create(kBytes), std::system_error);
  });
  peer.join();
  EXPECT_EQ(crucible::SharedMemory::attach(memory.name()).view()[kBytes - 1], std::byte{5});
}
#endif

}  // namespace
}  // namespace crucible::testing
