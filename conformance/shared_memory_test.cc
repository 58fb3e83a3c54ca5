// Clauses S9 to S15 and H42: bytes under a name.
#include "core/shared_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/codec.h"
#include "api/mechanism.h"
#include "api/status.h"
#include "conformance/shared_support.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

using Memory = crucible::SharedMemory;

class SharedMemory : public CleanFixture {};

std::byte letter(char c) { return static_cast<std::byte>(c); }

TEST_F(SharedMemory, S9_ItHasItsSizeItsNameAndZeros) {
  const std::string name = fresh_name();
  const Memory memory = Memory::create(name, 512);
  EXPECT_EQ(memory.name(), name);
  EXPECT_EQ(memory.size(), 512U);
  EXPECT_EQ(memory.view().size(), 512U);
  const auto view = memory.const_view();
  EXPECT_TRUE(std::ranges::all_of(view.span(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST_F(SharedMemory, S9_ANameOfItsOwnIsTriedUntilOneIsFree) {
  const Memory taken = Memory::create(fresh_name(), 1);
  const std::string free = fresh_name();
  int tries = 0;
  const Memory memory = Memory::create(16, [&] { return ++tries < 3 ? taken.name() : free; });
  EXPECT_EQ(memory.name(), free);
  EXPECT_EQ(tries, 3);
  const Memory one = Memory::create(16);
  const Memory other = Memory::create(16);
  EXPECT_NE(one.name(), other.name());
}

TEST_F(SharedMemory, S10_WhoAttachesSeesTheSameBytes) {
  const Memory memory = Memory::create(300);
  memory.view()[299] = letter('x');
  const Memory attached = Memory::attach(memory.name());
  EXPECT_EQ(attached.size(), 300U);
  EXPECT_EQ(attached.view()[299], letter('x'));
  attached.view()[0] = letter('y');
  EXPECT_EQ(memory.view()[0], letter('y'));
}

TEST_F(SharedMemory, S10_WhoAttachesForReadingReadsOnly) {
  const Memory memory = Memory::create(8);
  memory.view()[3] = letter('r');
  const Memory reader = Memory::attach(memory.name(), Memory::Access::kReadOnly);
  EXPECT_FALSE(reader.writable());
  EXPECT_EQ(reader.const_view()[3], letter('r'));
  EXPECT_THROW((void)reader.view(), BadArgument);
  EXPECT_EQ(memory.view()[3], letter('r'));
}

TEST_F(SharedMemory, S11_WrongArgumentsAreToldApart) {
  const Memory memory = Memory::create(8);
  EXPECT_THROW((void)Memory::create(memory.name(), 8), Exists);
  EXPECT_THROW((void)Memory::attach(fresh_name()), NotFound);
  EXPECT_THROW((void)Memory::create(fresh_name(), 0), BadArgument);
  EXPECT_THROW((void)Memory::create(fresh_name(), static_cast<std::size_t>(-1)), BadArgument);
  EXPECT_THROW((void)Memory::attach(""), BadArgument);
  EXPECT_THROW((void)Memory::create(std::string("a\0b", 3), 8), BadArgument);
  EXPECT_THROW((void)Memory::attach(std::string("a\0b", 3)), BadArgument);
  const Block other = Block::create(fresh_name(), kTestKind, 8, {});
  EXPECT_THROW((void)Memory::attach(other.name()), BadArgument);
}

TEST_F(SharedMemory, S12_AChildWritesThroughNameAndInheritedHandle) {
  const Memory memory = Memory::create(2);
  Peer peer([&] {
    memory.view()[0] = letter('h');
    Memory::attach(memory.name()).view()[1] = letter('n');
  });
  peer.join();
  EXPECT_EQ(memory.view()[0], letter('h'));
  EXPECT_EQ(memory.view()[1], letter('n'));
}

TEST_F(SharedMemory, S13_AHandleInAMessageLeadsToTheSameBytes) {
  const Memory memory = Memory::create(4);
  auto [here, there] = Context(mechanisms().front()).pipe();
  Peer peer([end = std::move(there)] {
    const Memory attached = Memory::attach(end->recv<Memory::Handle>());
    attached.view()[1] = attached.view()[0];
    end->send(attached.handle());
    (void)end->recv<bool>();
  });
  memory.view()[0] = letter('q');
  here->send(memory.handle());
  const Memory back = Memory::attach(here->recv<Memory::Handle>());
  EXPECT_EQ(memory.view()[1], letter('q'));
  memory.view()[2] = letter('z');
  EXPECT_EQ(back.view()[2], letter('z'));
  here->send(true);
  peer.join();
}

TEST_F(SharedMemory, S13_AHandleIsAsLongForAnyContent) {
  const Memory small = Memory::create("a" + fresh_name(), 1);
  const Memory large = Memory::create("b" + small.name().substr(1), 1'000'000);
  EXPECT_EQ(encode(small.handle()).view().size(), encode(large.handle()).view().size());
}

TEST_F(SharedMemory, S13_AHandleOfWhatIsGoneIsNotFoundWhateverHasTheNameNow) {
  const std::string name = fresh_name();
  std::optional<Memory::Handle> handle;
  {
    const Memory memory = Memory::create(name, 4);
    handle = decode<Memory::Handle>(encode(memory.handle()).view());
    memory.unlink();
    EXPECT_THROW((void)Memory::attach(*handle), NotFound);
  }
  const Memory other = Memory::create(name, 4);
  EXPECT_THROW((void)Memory::attach(*handle), NotFound);
  EXPECT_EQ(Memory::attach(name).size(), 4U);
}

TEST_F(SharedMemory, S14_CloseEndsAccessHereAndNothingElse) {
  Memory memory = Memory::create(4);
  memory.view()[0] = letter('k');
  memory.close();
  memory.close();
  EXPECT_TRUE(memory.closed());
  EXPECT_EQ(memory.size(), 4U);
  EXPECT_THROW((void)memory.view(), Closed);
  EXPECT_THROW((void)memory.const_view(), Closed);
  EXPECT_EQ(Memory::attach(memory.name()).view()[0], letter('k'));
}

TEST_F(SharedMemory, S14_UnlinkWorksAfterCloseAndOnce) {
  Memory memory = Memory::create(4);
  memory.close();
  memory.unlink();
  EXPECT_THROW(memory.unlink(), NotFound);
  EXPECT_THROW((void)Memory::attach(memory.name()), NotFound);
}

TEST_F(SharedMemory, S15_AfterUnlinkWhoIsAttachedGoesOn) {
  const Memory memory = Memory::create(4);
  const Memory attached = Memory::attach(memory.name());
  memory.unlink();
  attached.view()[1] = letter('u');
  EXPECT_EQ(memory.view()[1], letter('u'));
}

TEST_F(SharedMemory, S15_TheNameCanBeGivenToADifferentSegment) {
  const std::string name = fresh_name();
  const Memory first = Memory::create(name, 4);
  first.unlink();
  const Memory second = Memory::create(name, 8);
  first.view()[0] = letter('1');
  EXPECT_EQ(second.view()[0], std::byte{0});
  EXPECT_EQ(Memory::attach(name).size(), 8U);
  EXPECT_THROW(first.unlink(), NotFound) << "the name is another's";
  EXPECT_EQ(Memory::attach(name).size(), 8U);
}

TEST_F(SharedMemory, H42_AViewIsClosedWithItsMemoryAndNeverFaults) {
  Memory memory = Memory::create(5'000);
  const auto view = memory.view();
  const auto part = view.part(4'096, 10);
  const std::span<std::byte> raw = part.span();
  raw[9] = letter('v');
  memory.close();
  EXPECT_THROW((void)view[0], Closed);
  EXPECT_THROW((void)view.span(), Closed);
  EXPECT_THROW((void)part.part(0, 1), Closed);
  EXPECT_EQ(part.size(), 10U);
  EXPECT_EQ(raw[9], letter('v')) << "mapped for as long as a view lives";
}

TEST_F(SharedMemory, H42_AViewOutlivesItsMemory) {
  std::unique_ptr<Memory> memory(new Memory(Memory::create(64)));
  const std::string name = memory->name();
  {
    const auto view = memory->view();
    const std::span<std::byte> raw = view.span();
    memory.reset();
    raw[63] = letter('o');
    EXPECT_THROW((void)view[63], Closed);
  }
  EXPECT_THROW((void)Memory::attach(name), NotFound) << "its last user is gone";
}

TEST_F(SharedMemory, H42_WhatLiesBeyondAViewIsAnError) {
  const Memory memory = Memory::create(16);
  const auto view = memory.view();
  EXPECT_THROW((void)view[16], std::out_of_range);
  EXPECT_THROW((void)view.part(16, 1), std::out_of_range);
  EXPECT_THROW((void)view.part(8, static_cast<std::size_t>(-4)), std::out_of_range);
  const auto part = view.part(4, 4);
  EXPECT_THROW((void)part[4], std::out_of_range);
  part[3] = letter('p');
  EXPECT_EQ(view[7], letter('p'));
  EXPECT_EQ(view.part(16, 0).size(), 0U);
}

}  // namespace
}  // namespace crucible::testing
