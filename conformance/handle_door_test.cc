// Clauses A30 to A34: the door of what all its users hold alike, of which every client gets a copy.
#include "core/handle_door.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/mechanism.h"
#include "conformance/support/events.h"
#include "conformance/support/fixture.h"
#include "conformance/support/peer.h"
#include "core/fd.h"

namespace crucible::testing {
namespace {

constexpr HandleDoor::Kind kKind = {.object = "test object", .scheme = "unix", .descriptors = 1};

// An object of one descriptor and two bytes of state: a file that everybody counts up in.
class HandleDoors : public CleanFixture {
 protected:
  void SetUp() override {
    CleanFixture::SetUp();
    file_ = Fd(::memfd_create("test", MFD_CLOEXEC));
    // A memfd's position has no lock of its own; appending takes the file's.
    EXPECT_EQ(::fcntl(file_.get(), F_SETFL, O_APPEND), 0);
  }
  void TearDown() override {
    file_.reset();
    CleanFixture::TearDown();
  }
  Handle handle() const { return {.descriptors = {file_.get()}, .state = {std::byte{4}, std::byte{2}}}; }
  static Fd enter(const std::string& address, const DoorOptions& options = {}) {
    const std::optional<Handle> got = HandleDoor::enter(kKind, address, options, Deadline::never());
    EXPECT_EQ(got->state, (Bytes{std::byte{4}, std::byte{2}}));
    return Fd(got->descriptors.at(0));
  }
  static void sign(const Fd& file) { EXPECT_EQ(::write(file.get(), "x", 1), 1); }
  static off_t signatures(const Fd& file) { return ::lseek(file.get(), 0, SEEK_END); }

  Fd file_;
};

TEST_F(HandleDoors, A30_EveryClientGetsACopyWithoutACallOfTheCreator) {
  const HandleDoor door(kKind, "unix:", {}, handle());
  constexpr int kClients = 20;
  Peer one([&door] {
    for (int i = 0; i < kClients; ++i) sign(enter(door.address()));
  });
  std::thread other([&door] {
    for (int i = 0; i < kClients; ++i) sign(enter(door.address()));
  });
  other.join();
  one.join();
  EXPECT_EQ(signatures(file_), 2 * kClients);
}

TEST_F(HandleDoors, A31_WhoHasACopyGoesOnWhenTheCreatorIsKilled) {
  SharedBox<std::array<char, 128>> address;
  Event open;
  Peer creator([&] {
    const HandleDoor door(kKind, "unix:", {}, handle());
    door.address().copy(address->data(), address->size() - 1);
    open.set();
    pause();
  });
  open.wait();
  const Fd copy = enter(address->data());
  creator.kill();
  creator.join();
  sign(copy);
  EXPECT_EQ(signatures(file_), 1);
  EXPECT_THROW((void)enter(address->data()), NotFound);
}

TEST_F(HandleDoors, A32_AnythingElseBehindTheDoorIsRefused) {
  const HandleDoor door(kKind, "unix:", {}, handle());
  EXPECT_THROW((void)context("unix_socket").connect(door.address()), Auth) << "a pipe's client";
  constexpr HandleDoor::Kind kOther = {.object = "other object", .scheme = "unix", .descriptors = 1};
  EXPECT_THROW((void)HandleDoor::enter(kOther, door.address(), {}, Deadline::never()), Auth) << "another object";
  const std::unique_ptr<Listener> pipes = context("unix_socket").listen("unix:");
  EXPECT_THROW((void)enter(pipes->address()), Auth) << "a pipe's door";
  EXPECT_THROW((void)HandleDoor(kKind, door.address(), {}, handle()), Exists);
  sign(enter(door.address()));
}

TEST_F(HandleDoors, A33_WithAKeyOnlyWhoKnowsItGetsACopy) {
  const DoorOptions keyed = {.authkey = Bytes(8, std::byte{1})};
  const HandleDoor door(kKind, "unix:", keyed, handle());
  EXPECT_THROW((void)enter(door.address()), Auth);
  EXPECT_THROW((void)enter(door.address(), {.authkey = Bytes(8, std::byte{2})}), Auth);
  sign(enter(door.address(), keyed));
}

TEST_F(HandleDoors, A34_TheNameGoesWithItsCreatorAndNotWithAFork) {
  const std::string directory = ::testing::TempDir();
  const std::string path = directory + "handle_door_" + std::to_string(::getpid());
  HandleDoor door(kKind, "unix:" + path, {}, handle());
  Peer fork([&door] {
    door.close();
    EXPECT_EQ(door.address().substr(0, 5), "unix:");
  });
  fork.join();
  sign(enter(door.address()));
  door.close();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
  EXPECT_THROW((void)enter("unix:" + path), NotFound);
}

}  // namespace
}  // namespace crucible::testing
