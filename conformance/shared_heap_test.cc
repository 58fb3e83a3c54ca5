// Clause S8: small blocks of inherited memory.
#include "core/shared_heap.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "conformance/random.h"
#include "conformance/shared_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class SharedHeap : public CleanFixture {
 protected:
  using Heap = crucible::SharedHeap;
  static constexpr std::size_t kUnit = Block::kAlignment;
  static std::size_t whole(std::size_t bytes) { return (bytes + kUnit - 1) / kUnit * kUnit; }

  // What the library itself has taken does not count.
  void SetUp() override {
    CleanFixture::SetUp();
    for (const auto& extent : Heap::get().extents()) before_.insert(extent.arena);
  }
  std::vector<Heap::Extent> extents() const {
    std::vector<Heap::Extent> all = Heap::get().extents();
    std::erase_if(all, [this](const auto& extent) { return before_.contains(extent.arena); });
    return all;
  }

 private:
  std::set<std::byte*> before_;
};

// Each arena is covered without gap or overlap, and no two free extents of it are neighbours.
void expect_seamless(const std::vector<crucible::SharedHeap::Extent>& extents) {
  using State = crucible::SharedHeap::State;
  std::map<std::byte*, std::size_t> covered;
  const crucible::SharedHeap::Extent* last = nullptr;
  for (const auto& extent : extents) {
    EXPECT_EQ(extent.at, extent.arena + covered[extent.arena]);
    covered[extent.arena] += extent.bytes;
    const bool neighbours = last != nullptr && last->arena == extent.arena;
    EXPECT_FALSE(neighbours && last->state == State::kFree && extent.state == State::kFree) << "not merged";
    last = &extent;
  }
  for (const auto& [arena, bytes] : covered) EXPECT_EQ(bytes, crucible::SharedHeap::kArena);
}

TEST_F(SharedHeap, S8_FiveThousandRandomAllocationsLoseNothing) {
  Random random;
  std::vector<Block> live;
  for (int i = 0; i < 5'000; ++i) {
    if (live.size() == 50 || (!live.empty() && random.one_in(3))) {
      std::swap(live[random.between(0, live.size() - 1)], live.back());
      live.pop_back();
    }
    live.push_back(Block::allocate(random.between(1, Heap::kLargest)));
    std::memset(live.back().data(), 0xa5, live.back().bytes());
    if (i % 500 != 0) continue;
    expect_seamless(extents());
    std::size_t used = 0;
    for (const auto& extent : extents()) used += extent.state == Heap::State::kUsed ? extent.bytes : 0;
    std::size_t expected = 0;
    for (const Block& block : live) expected += whole(block.bytes());
    EXPECT_GE(used + Heap::kArena, expected);  // some may lie in an arena that was there before
    EXPECT_LE(used, expected);
  }
  live.clear();
  EXPECT_TRUE(extents().empty()) << "an arena is left";
}

TEST_F(SharedHeap, S8_BlocksNeverOverlapAndAreAligned) {
  Random random;
  std::vector<Block> live;
  for (int i = 0; i < 300; ++i) {
    live.push_back(Block::allocate(random.between(1, 3'000)));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(live.back().data()) % kUnit, 0U);
    std::memset(live.back().data(), i & 0xff, live.back().bytes());
  }
  for (int i = 0; i < 300; ++i) {
    const auto* bytes = static_cast<const unsigned char*>(live[static_cast<std::size_t>(i)].data());
    const auto mine = [i](unsigned char byte) { return byte == (i & 0xff); };
    EXPECT_TRUE(std::all_of(bytes, bytes + live[static_cast<std::size_t>(i)].bytes(), mine)) << i;
  }
}

TEST_F(SharedHeap, S8_WhatIsFreedIsUsedAgain) {
  const Block keeps_the_arena = Block::allocate(1);
  const void* at = nullptr;
  for (int i = 0; i < 1'000; ++i) {
    const Block block = Block::allocate(1'000);
    ASSERT_TRUE(i == 0 || block.data() == at) << i;
    at = block.data();
  }
}

TEST_F(SharedHeap, S8_WhatIsUsedAgainIsZero) {
  const Block keeps_the_arena = Block::allocate(1);
  for (int i = 0; i < 3; ++i) {
    const Block block = Block::allocate(1'000);
    const auto* const bytes = static_cast<const char*>(block.data());
    EXPECT_EQ(std::count(bytes, bytes + 1'000, 0), 1'000);
    std::memset(block.data(), 0xff, 1'000);
  }
}

TEST_F(SharedHeap, S8_WhatAForkedChildMayStillUseIsNotGivenToAnybodyElse) {
  const Block keeps_the_arena = Block::allocate(1);
  auto block = std::make_unique<Block>(Block::allocate(128));
  auto* const word = &block->as<std::atomic<std::uint64_t>>();
  Event used;
  Event go;
  Peer peer([&] {
    *word = 7;
    used.set();
    go.wait();
    EXPECT_EQ(*word, 7U);
  });
  used.wait();
  block.reset();
  std::vector<Block> others;
  for (int i = 0; i < 600; ++i) {
    others.push_back(Block::allocate(128));
    std::memset(others.back().data(), 0xff, 128);
  }
  go.set();
  peer.join();
}

TEST_F(SharedHeap, S8_AChildAllocatesInMemoryOfItsOwn) {
  const Block inherited = Block::allocate(64);
  std::memset(inherited.data(), 0x11, 64);
  Event taken;
  Peer peer([&] {
    taken.wait();
    std::vector<Block> own;
    for (int i = 0; i < 100; ++i) {
      own.push_back(Block::allocate(64));
      std::memset(own.back().data(), 0x22, 64);
    }
    EXPECT_TRUE(std::none_of(own.begin(), own.end(), [&](const Block& b) { return b.data() == inherited.data(); }));
  });
  std::vector<Block> own;
  for (int i = 0; i < 100; ++i) own.push_back(Block::allocate(64));
  taken.set();
  peer.join();
  for (const Block& block : own) EXPECT_EQ(*static_cast<const char*>(block.data()), 0);
  EXPECT_EQ(*static_cast<const char*>(inherited.data()), 0x11);
}

TEST_F(SharedHeap, S8_AChildThatDestroysItsHandleFreesNothingOfItsParents) {
  auto block = std::make_unique<Block>(Block::allocate(64));
  std::memset(block->data(), 0x33, 64);
  Peer peer([&] { block.reset(); });
  peer.join();
  const Block other = Block::allocate(64);
  EXPECT_NE(other.data(), block->data());
  EXPECT_EQ(*static_cast<const char*>(block->data()), 0x33);
}

TEST_F(SharedHeap, S8_AnyThreadFreesWhatAnyOtherAllocated) {
  std::vector<std::vector<Block>> made(4);
  std::vector<std::thread> threads;
  for (auto& blocks : made) {
    threads.emplace_back([&blocks] {
      for (std::size_t i = 0; i < 500; ++i) blocks.push_back(Block::allocate(1 + i * 7));
    });
  }
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  for (std::size_t i = 0; i < made.size(); ++i) {
    threads.emplace_back([&blocks = made[(i + 1) % made.size()]] { blocks.clear(); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(extents().empty());
}

}  // namespace
}  // namespace crucible::testing
