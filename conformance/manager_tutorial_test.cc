// The tutorial program T7, as a first reader would write it, and what it must show.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "conformance/manager_support.h"
#include "conformance/support/proc.h"
#include "conformance/tutorial_support.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

class TutorialManager : public ManagerTest {};

TEST_P(TutorialManager, T7_ThreeProcessesFillADictAndAList) {
  const std::string text = output_of([] {
    pid_t server = 0;
    {
      const auto manager = context(mechanism().name).manager();
      server = *manager->pid();
      const managed::Dict<> dict = manager->dict();
      const managed::List<> list = manager->list();
      std::vector<std::unique_ptr<Process>> processes;
      for (int i = 0; i < 3; ++i) {
        processes.push_back(std::make_unique<Process>(
            [](const managed::Dict<>& d, const managed::List<>& l, const std::string& name) {
              d.set(name, Object::dict({{name, name}}));
              l.append(name);
            },
            dict, list, "user_" + std::to_string(i)));
        processes.back()->start();
      }
      for (const auto& process : processes) process->join();
      std::cout << dict.text() << '\n';
      for (const Object& name : list) std::cout << name.to_string() << '\n';
    }
    EXPECT_TRUE(proc::thread(server, server).gone()) << "its server outlived the manager's scope";
  });
  std::vector<std::string> lines = lines_of(text);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0],
            R"({"user_0": {"user_0": "user_0"}, "user_1": {"user_1": "user_1"}, "user_2": {"user_2": "user_2"}})");
  std::sort(lines.begin() + 1, lines.end());
  EXPECT_EQ(std::vector<std::string>(lines.begin() + 1, lines.end()),
            (std::vector<std::string>{"\"user_0\"", "\"user_1\"", "\"user_2\""}));
}

}  // namespace

CRUCIBLE_INSTANTIATE_MANAGERS(TutorialManager);

}  // namespace crucible::testing
