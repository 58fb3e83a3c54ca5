// Clause M37: clients of a store that are killed at any instruction.
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "conformance/manager_support.h"
#include "conformance/random.h"
#include "conformance/single_step.h"
#include "conformance/stamp.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class StoreKill : public ManagerTest {
 protected:
  using Dict = managed::Dict<std::string, std::string>;

  static std::unique_ptr<Manager> small() {
    ManagerOptions options;
    options.memory_bytes = 128U << 10U;
    return start(options);
  }
  struct Step {
    const char* what;
    std::function<void(const Dict&)> call;
    std::map<std::string, std::string> before, after;
    bool changes = true;
  };
  static inline const std::string kText = std::string(100, 'x');

  /// At every instruction of the call: what it does is done or not, or the store says that it is broken.
  static void kill_everywhere_in(const Step& step) {
    std::unique_ptr<Manager> manager;
    Dict dict;
    unsigned whole = 0;
    unsigned broken = 0;
    kill_everywhere(
        step.what,
        [&] {
          manager = small();
          dict = manager->dict<std::string, std::string>(step.before);
        },
        [&] { step.call(dict); },
        [&] {
          try {
            const auto items = within(10s, dict).copy();
            EXPECT_TRUE(items == step.before || items == step.after) << "half of what was " << step.what;
            ++whole;
            expect_serves(*manager);
          } catch (const Broken&) {
            ++broken;
            EXPECT_THROW((void)manager->list(), Broken) << "it was broken a moment ago";
          }
        },
        [&] { (void)dict.size(); });
    if (IsSkipped()) return;
    EXPECT_GT(whole, 0U) << step.what;
    EXPECT_EQ(broken > 0, step.changes) << step.what << ": broke " << broken << " of " << broken + whole;
    std::printf("[  kills   ] %s: broke the store %u / %u\n", step.what, broken, broken + whole);
  }
  /// Ends wherever it is.
  static void end_amid(const std::function<void()>& call, std::chrono::nanoseconds after) {
    Event begun;
    Peer victim([&] {
      begun.set();
      for (;;) call();
    });
    begun.wait();
    std::this_thread::sleep_for(after);
    victim.kill();
    victim.join();
  }
};

TEST_P(StoreKill, M37_AReplacementKilledAnywhereIsWholeOrBreaksTheStore) {
  kill_everywhere_in({"replaced", [](const Dict& dict) { dict.set("a", kText); }, {{"a", "1"}}, {{"a", kText}}});
}
TEST_P(StoreKill, M37_AnAdditionKilledAnywhereIsWholeOrBreaksTheStore) {
  kill_everywhere_in(
      {"added", [](const Dict& dict) { dict.set("b", kText); }, {{"a", "1"}}, {{"a", "1"}, {"b", kText}}});
}
TEST_P(StoreKill, M37_AnErasureKilledAnywhereIsWholeOrBreaksTheStore) {
  kill_everywhere_in({"erased", [](const Dict& dict) { dict.erase("a"); }, {{"a", "1"}, {"b", "2"}}, {{"b", "2"}}});
}
TEST_P(StoreKill, M37_AnUpdateKilledAnywhereIsWholeOrBreaksTheStore) {
  kill_everywhere_in({"updated",
                      [](const Dict& dict) { dict.update({{"a", "9"}, {"b", "9"}}); },
                      {{"a", "1"}},
                      {{"a", "9"}, {"b", "9"}}});
}
TEST_P(StoreKill, M37_ALookUpKilledAnywhereHarmsNobody) {
  kill_everywhere_in({"got", [](const Dict& dict) { (void)dict.get("a"); }, {{"a", "1"}}, {{"a", "1"}}, false});
}

TEST_P(StoreKill, M37_AReaderThatIsKilledHarmsNobody) {
  const auto manager = start();
  std::map<int, std::string> items;
  for (int key = 0; key < 2'000; ++key) items[key] = "item";
  const auto dict = manager->dict<int, std::string>(items);
  Random random;
  for (int round = 0; round < 40; ++round) {
    end_amid([&] { (void)dict.text(); }, moment(random));
    ASSERT_EQ(within(10s, dict).size(), items.size());
  }
  dict.set(1, "changed");
  EXPECT_EQ(dict.get(1), "changed");
}

TEST_P(StoreKill, M37_WhoIsKilledAmidALongChangeBreaksTheStoreForAll) {
  const auto manager = start();
  std::vector<int> many(50'000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<int>((i * 7'919) % many.size());
  const auto list = manager->list<int>(many);
  Peer other([&] { EXPECT_THROW(for (;;)(void) list.size(), Broken); });
  Random random;
  for (bool is_broken = false; !is_broken;) {
    end_amid([&] { list.sort(); }, moment(random));
    try {
      (void)within(10s, list).size();
    } catch (const Broken&) {
      is_broken = true;
    }
  }
  other.join();
  EXPECT_THROW((void)list.size(), Broken);
  EXPECT_THROW((void)manager->dict(), Broken);
  manager->shutdown();
  expect_serves(*start());
}

// Two hundred: the survivor goes on, or gets the one error that is documented.
TEST_P(StoreKill, M37_ClientsKilledAmidUpdatesHangNobody) {
  using Counts = managed::Dict<int, std::pair<std::uint64_t, Bytes>>;
  Random random;
  Score score;
  unsigned broken = 0;
  std::unique_ptr<Manager> manager;
  Counts dict;
  for (int round = 0; round < 200; ++round) {
    if (manager == nullptr) {
      manager = start();
      dict = manager->dict<int, std::pair<std::uint64_t, Bytes>>();
    }
    const SharedBox<Victim> victim;
    const auto when = moment(random);
    const std::size_t size = round % 4 == 0 ? 20'000 : 100;
    Peer client([&] {
      std::map<int, std::pair<std::uint64_t, Bytes>> items;
      const SignalTimer death(SIGKILL, when);
      for (std::uint64_t i = 0;; ++i) {
        for (int key = 0; key < 8; ++key) items[key] = {i, Bytes(size)};
        ++victim->begun;
        dict.update(items);
        ++victim->returned;
      }
    });
    ASSERT_EQ(client.wait_status(), SIGKILL);
    score.count(victim->inside());
    try {
      const auto items = within(10s, dict).copy();
      for (const auto& [key, item] : items) {
        ASSERT_EQ(items.size(), 8U);
        ASSERT_EQ(item.first, items.begin()->second.first) << "half an update, of key " << key;
        ASSERT_EQ(item.second.size(), items.begin()->second.second.size());
      }
      expect_serves(*manager);
    } catch (const Broken&) {
      ++broken;
      manager.reset();
    }
  }
  score.report("clients amid updates", GetParam().name());
  std::printf("[  kills   ] %s: broke the store %u / 200\n", GetParam().name().c_str(), broken);
  EXPECT_GT(broken, 0U);
}

}  // namespace

CRUCIBLE_INSTANTIATE_MANAGERS_OVER(StoreKill, all_stores());
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreKill);

}  // namespace crucible::testing
