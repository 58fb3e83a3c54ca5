// The tutorial program T9, as a first reader would write it, and what it must show.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "conformance/pool_support.h"
#include "conformance/tutorial_support.h"

namespace crucible::testing {
namespace {

class TutorialPool : public PoolTest {};

TEST_P(TutorialPool, T9_ThreeTasksCallBack) {
  const std::string text = output_of([] {
    const auto pool = make(5);
    const pid_t parent = ::getpid();
    for (int i = 0; i < 3; ++i) {
      (void)pool->apply_async(
          [](int number) {
            await_signal(0);
            return number + 100;
          },
          {i},
          [parent](int result) {
            EXPECT_EQ(::getpid(), parent);
            std::cout << result << '\n' << std::flush;
          });
    }
    std::cout << "MasterProcess Start" << std::endl;
    set_signal(0);
    pool->close();
    pool->join();
    std::cout << "MasterProcess End" << std::endl;
  });
  std::vector<std::string> lines = lines_of(text);
  ASSERT_EQ(lines.size(), 5U) << text;
  std::sort(lines.begin() + 1, lines.end() - 1);
  EXPECT_EQ(lines, (std::vector<std::string>{"MasterProcess Start", "100", "101", "102", "MasterProcess End"}));
}

TEST_P(TutorialPool, T9_ApplyInALoop) {
  const std::string text = output_of([] {
    const auto pool = make(5);
    std::cout << "MasterProcess Start" << std::endl;
    for (int i = 0; i < 3; ++i) std::cout << pool->apply([](int number) { return number + 100; }, {i}) << std::endl;
    pool->close();
    pool->join();
    std::cout << "MasterProcess End" << std::endl;
  });
  EXPECT_EQ(text, "MasterProcess Start\n100\n101\n102\nMasterProcess End\n");
}

}  // namespace

CRUCIBLE_INSTANTIATE_POOLS(TutorialPool);

}  // namespace crucible::testing
