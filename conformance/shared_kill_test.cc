// Clauses S16, S17, S27 and H39: processes killed at any moment.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "api/status.h"
#include "conformance/pipe_support.h"
#include "conformance/random.h"
#include "conformance/shared_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"
#include "core/shared_memory.h"

namespace crucible::testing {
namespace {

using Memory = crucible::SharedMemory;

class SharedKill : public CleanFixture {};

bool has_name(const std::string& name) { return ::access(folder_of(name).c_str(), F_OK) == 0; }

// The next program: what it does first must not depend on what this process has done.
void start_another() {
  Peer next([] { (void)Memory::create(1); });
  next.join();
}

TEST_F(SharedKill, S16_AKilledCreatorsSegmentIsGoneWithTheNextStart) {
  for (const int signal : {SIGKILL, SIGTERM}) {
    const std::string name = fresh_name();
    Event made;
    Peer creator([&] {
      const Memory memory = Memory::create(name, 100);
      made.set();
      for (;;) ::pause();
    });
    made.wait();
    creator.kill(signal);
    creator.join();
    start_another();
    EXPECT_FALSE(has_name(name));
    EXPECT_THROW((void)Memory::attach(name), NotFound);
  }
}

TEST_F(SharedKill, S17_WhoAttachesAndEndsLeavesTheSegment) {
  const Memory memory = Memory::create(100);
  memory.view()[0] = std::byte{1};
  Peer returns([&] { (void)Memory::attach(memory.name()); });
  returns.join();
  Peer leaves([&] {
    const Memory attached = Memory::attach(memory.name());
    ::_exit(0);
  });
  leaves.join();
  start_another();
  EXPECT_EQ(Memory::attach(memory.name()).view()[0], std::byte{1});
}

TEST_F(SharedKill, H39_AKilledReaderDestroysNothing) {
  const Memory memory = Memory::create(100);
  for (int round = 0; round < 10; ++round) {
    Event attached;
    Peer reader([&] {
      const Memory own = Memory::attach(memory.name());
      attached.set();
      for (;;) ::pause();
    });
    attached.wait();
    reader.kill();
    reader.join();
    start_another();
    ASSERT_EQ(Memory::attach(memory.name()).size(), 100U);
  }
}

TEST_F(SharedKill, H39_AKilledCreatorsSegmentLastsAsLongAsItsUsers) {
  const std::string name = fresh_name();
  Event made;
  Peer creator([&] {
    const Memory memory = Memory::create(name, 100);
    memory.view()[99] = std::byte{9};
    made.set();
    for (;;) ::pause();
  });
  made.wait();
  {
    const Memory user = Memory::attach(name);
    creator.kill();
    creator.join();
    start_another();
    EXPECT_TRUE(has_name(name));
    EXPECT_EQ(Memory::attach(name).view()[99], std::byte{9});
  }
  EXPECT_FALSE(has_name(name)) << "its last user has removed it";
}

// Where a victim was when it died.
struct Victim {
  std::atomic<std::uint64_t> begun{0};
  std::atomic<std::uint64_t> returned{0};
  template <class Call>
  void during(Call call) {
    ++begun;
    call();
    ++returned;
  }
};

constexpr std::size_t kBytes = 20'000;
constexpr char kWhole = 0x5a;

bool is_whole(const Block& block) {
  const auto* const bytes = static_cast<const char*>(block.data());
  return block.bytes() == kBytes && std::count(bytes, bytes + kBytes, kWhole) == kBytes;
}

// Creates, attaches, unlinks and closes under one of a few names, in turn and without end.
void use_names(const std::vector<std::string>& names, Victim& victim, std::uint64_t seed,
               const std::atomic<bool>& stop) {
  std::mt19937_64 random(seed);
  const auto one_in = [&random](unsigned n) { return random() % n == 0; };
  while (!stop) {
    const std::string& name = names[random() % names.size()];
    std::optional<Block> block;
    try {
      victim.during([&] {
        if (one_in(2)) {
          block = Block::create(name, kTestKind, kBytes, [](Block& b) { std::memset(b.data(), kWhole, kBytes); });
        } else {
          block = Block::open(name, kTestKind);
        }
      });
      ASSERT_TRUE(is_whole(*block));
      if (one_in(3)) victim.during([&] { block->unlink(); });
    } catch (const Exists&) {
    } catch (const NotFound&) {
    }
    victim.returned = victim.begun.load();
    victim.during([&] { block.reset(); });
  }
}

TEST_F(SharedKill, S27_KilledAnywhereNothingIsLeftForGoodOrHalfMade) {
  constexpr unsigned kKills = 240;
  Random random;
  const std::string kept_name = fresh_name();
  const Block kept = Block::create(kept_name, kTestKind, 8, [](Block& b) { b.as<std::uint64_t>() = 77; });
  std::vector<std::string> names;
  for (int i = 0; i < 4; ++i) names.push_back(fresh_name());
  SharedBox<std::atomic<bool>> stop(false);
  SharedBox<Victim> of_rival;
  const std::uint64_t seed = random.between(0, 1'000'000);
  Peer rival([&] { use_names(names, *of_rival, seed, *stop); });
  unsigned inside = 0;
  for (unsigned round = 0; round < kKills; ++round) {
    SharedBox<Victim> victim;
    const auto when = std::chrono::nanoseconds(random.between(20'000, random.one_in(2) ? 400'000 : 3'000'000));
    Peer dies([&] {
      const SignalTimer death(SIGKILL, when);
      use_names(names, *victim, seed + round + 1, *stop);
    });
    ASSERT_EQ(dies.wait_status(), SIGKILL);
    dies.kill();
    if (victim->begun != victim->returned) ++inside;
    ASSERT_EQ(Block::open(kept_name, kTestKind).as<std::uint64_t>(), 77U);
  }
  *stop = true;
  rival.join();
  start_another();
  for (const std::string& name : names) EXPECT_FALSE(has_name(name));
  EXPECT_GT(of_rival->returned, kKills) << "the rival was held up";
  std::printf("[  kills   ] users of names: survived %u / %u, inside a call %u\n", kKills, kKills, inside);
  EXPECT_GE(2 * inside, kKills) << "fewer than half struck inside a call";
}

}  // namespace
}  // namespace crucible::testing
