// Clauses S22 to S26: memory under a name.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "api/status.h"
#include "conformance/shared_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"

namespace crucible::testing {
namespace {

class SharedBlock : public CleanFixture {};

using Word = std::atomic<std::uint64_t>;

Block make(const std::string& name, std::uint64_t value = 1) {
  return Block::create(name, kTestKind, sizeof(Word), [value](Block& block) { block.as<Word>() = value; });
}

TEST_F(SharedBlock, S22_AnotherProcessOpensWhatWasCreated) {
  const std::string name = fresh_name();
  const Block here = make(name, 7);
  EXPECT_EQ(here.name(), name);
  Peer peer([name] {
    const Block there = Block::open(name, kTestKind);
    EXPECT_EQ(there.bytes(), sizeof(Word));
    EXPECT_EQ(there.as<Word>().exchange(8), 7U);
  });
  peer.join();
  EXPECT_EQ(here.as<Word>(), 8U);
}

TEST_F(SharedBlock, S22_ItIsZeroAndAligned) {
  constexpr std::size_t kBytes = 70'001;
  const Block block = Block::create(fresh_name(), kTestKind, kBytes, {});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block.data()) % Block::kAlignment, 0U);
  const std::string zeros(kBytes, '\0');
  EXPECT_EQ(std::memcmp(block.data(), zeros.data(), kBytes), 0);
}

TEST_F(SharedBlock, S22_WhatIsSeenIsWhole) {
  constexpr int kSeen = 100;
  const std::string name = fresh_name();
  SharedBox<std::atomic<bool>> stop(false);
  Peer maker([&] {
    while (!*stop) {
      try {
        const auto fill = [](Block& block) { std::memset(block.data(), 0x5a, 40'000); };
        const Block block = Block::create(name, kTestKind, 40'000, fill);
        std::this_thread::yield();
      } catch (const Exists&) {  // the other side still has the last one
      }
    }
  });
  for (int seen = 0; seen < kSeen;) {
    try {
      const Block block = Block::open(name, kTestKind);
      const auto* bytes = static_cast<const char*>(block.data());
      ASSERT_EQ(std::count(bytes, bytes + block.bytes(), 0x5a), 40'000);
      block.unlink();
      ++seen;
    } catch (const NotFound&) {
    }
  }
  *stop = true;
  maker.join();
}

TEST_F(SharedBlock, S22_WhileItIsInitialisedNobodyFindsIt) {
  const std::string name = fresh_name();
  const Block block = Block::create(name, kTestKind, 8, [&](Block&) {
    EXPECT_THROW((void)Block::open(name, kTestKind), NotFound);
    Peer next([&] { EXPECT_THROW((void)Block::open(name, kTestKind), NotFound); });
    next.join();
  });
  EXPECT_EQ(Block::open(name, kTestKind).bytes(), 8U) << "the sweep of a program that has just begun took it for dead";
}

TEST_F(SharedBlock, S22_AnInitialiserThatThrowsLeavesNothing) {
  const std::string name = fresh_name();
  const auto fails = [](Block&) { throw std::logic_error("no"); };
  EXPECT_THROW((void)Block::create(name, kTestKind, 8, fails), std::logic_error);
  EXPECT_THROW((void)Block::open(name, kTestKind), NotFound);
  const Block block = make(name);
}

TEST_F(SharedBlock, S23_ATakenNameIsExists) {
  const std::string name = fresh_name();
  const Block block = make(name, 3);
  EXPECT_THROW((void)make(name, 4), Exists);
  EXPECT_EQ(Block::open(name, kTestKind).as<Word>(), 3U);
}

TEST_F(SharedBlock, S23_AMissingNameIsNotFound) { EXPECT_THROW((void)Block::open(fresh_name(), kTestKind), NotFound); }

TEST_F(SharedBlock, S23_WhatIsNoNameIsBadArgument) {
  for (const std::string& name : {std::string(), std::string("a/b"), std::string("a\0b", 3), std::string(201, 'x')}) {
    EXPECT_THROW((void)make(name), BadArgument) << name;
    EXPECT_THROW((void)Block::open(name, kTestKind), BadArgument) << name;
  }
  const std::string longest(200, 'x');
  const Block block = make(longest);
  EXPECT_EQ(Block::open(longest, kTestKind).as<Word>(), 1U);
}

TEST_F(SharedBlock, S23_AnotherKindOrVersionIsBadArgumentAndStays) {
  const std::string name = fresh_name();
  const Block block = make(name);
  EXPECT_THROW((void)Block::open(name, {"tes", 1}), BadArgument);
  EXPECT_THROW((void)Block::open(name, {"test2", 1}), BadArgument);
  EXPECT_THROW((void)Block::open(name, {"test", 2}), BadArgument);
  EXPECT_EQ(Block::open(name, kTestKind).as<Word>(), 1U);
}

TEST_F(SharedBlock, S24_TheNameGoesWithItsLastUser) {
  const std::string name = fresh_name();
  {
    Event opened;
    Event done;
    auto block = std::make_unique<Block>(make(name));
    Peer peer([&, name, block = std::move(block)]() mutable {
      const Block own = Block::open(name, kTestKind);
      block.reset();
      opened.set();
      done.wait();
    });
    opened.wait();
    EXPECT_EQ(Block::open(name, kTestKind).as<Word>(), 1U);
    done.set();
    peer.join();
  }
  EXPECT_EQ(::access(folder_of(name).c_str(), F_OK), -1);
  EXPECT_THROW((void)Block::open(name, kTestKind), NotFound);
}

TEST_F(SharedBlock, S24_AForkedCopyKeepsItAlive) {
  const std::string name = fresh_name();
  Event done;
  auto block = std::make_unique<Block>(make(name));
  Peer peer([&] { done.wait(); });
  block.reset();
  EXPECT_EQ(Block::open(name, kTestKind).as<Word>(), 1U);
  done.set();
  peer.join();
  EXPECT_THROW((void)Block::open(name, kTestKind), NotFound);
}

// Creates it in a process that is killed when it has.
void make_and_die(const std::string& name) {
  Event made;
  Peer peer([&] {
    const Block block = make(name);
    made.set();
    for (;;) ::pause();
  });
  made.wait();
  EXPECT_THROW((void)make(name), Exists);
  peer.kill();
  peer.join();
}

TEST_F(SharedBlock, S24_WhatAKilledProcessLeftIsNotFound) {
  const std::string name = fresh_name();
  make_and_die(name);
  EXPECT_THROW((void)Block::open(name, kTestKind), NotFound);
}

TEST_F(SharedBlock, S24_TheNameThatAKilledProcessHadIsFree) {
  const std::string name = fresh_name();
  make_and_die(name);
  const Block again = make(name, 2);
  EXPECT_EQ(Block::open(name, kTestKind).as<Word>(), 2U);
}

TEST_F(SharedBlock, S24_AStoppedUserKeepsItsName) {
  const std::string name = fresh_name();
  Event made;
  Peer peer([&, name] {
    const Block block = make(name, 5);
    made.set();
    for (;;) ::pause();
  });
  made.wait();
  ::kill(peer.pid(), SIGSTOP);
  ASSERT_EQ(::waitpid(peer.pid(), nullptr, WUNTRACED), peer.pid());
  Peer next([name] {
    EXPECT_THROW((void)make(name), Exists);
    EXPECT_EQ(Block::open(name, kTestKind).as<Word>(), 5U);
  });
  next.join();
  peer.kill();
  peer.join();
  EXPECT_THROW((void)Block::open(name, kTestKind), NotFound);
}

TEST_F(SharedBlock, S24_OfManyWhoCreateOneDoes) {
  constexpr int kRounds = 50;
  constexpr int kMakers = 4;
  struct Board {
    std::array<std::atomic<int>, kRounds> arrived;
    std::array<std::atomic<int>, kRounds> created;
    std::array<std::atomic<int>, kRounds> over;
  };
  const SharedBox<Board> board;
  const std::string name = fresh_name();
  const auto maker = [&] {
    const auto await_all = [](const std::atomic<int>& count) {
      while (count < kMakers) std::this_thread::yield();
    };
    for (std::size_t i = 0; i < kRounds; ++i) {
      ++board->arrived[i];
      await_all(board->arrived[i]);
      std::optional<Block> block;
      try {
        block = make(name + std::to_string(i));
        ++board->created[i];
      } catch (const Exists&) {
      }
      ++board->over[i];
      await_all(board->over[i]);
    }
  };
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < kMakers; ++i) peers.push_back(std::make_unique<Peer>(maker));
  for (const auto& peer : peers) peer->join();
  for (const auto& created : board->created) EXPECT_EQ(created, 1);
}

TEST_F(SharedBlock, S24_OfManyWhoUnlinkOneDoesAndTheNextOwnersNameStays) {
  constexpr int kRounds = 100;
  const std::string name = fresh_name();
  for (int i = 0; i < kRounds; ++i) {
    auto first = std::make_unique<Block>(make(name, 1));
    SharedBox<std::atomic<int>> unlinked(0);
    const auto unlink = [&] {
      try {
        first->unlink();
        ++*unlinked;
      } catch (const NotFound&) {
      }
    };
    Peer other(unlink);
    unlink();
    const Block second = make(name, 2);
    other.join();
    first.reset();
    ASSERT_EQ(*unlinked, 1);
    ASSERT_EQ(Block::open(name, kTestKind).as<Word>(), 2U);
  }
}

}  // namespace
}  // namespace crucible::testing
