// The tutorial programs, as a first reader would write them, and what they must show.
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/mechanism.h"
#include "conformance/support/children.h"
#include "conformance/support/events.h"
#include "conformance/support/fixture.h"
#include "conformance/support/peer.h"
#include "conformance/tutorial_support.h"
#include "core/condition.h"
#include "core/event.h"
#include "core/lock.h"
#include "core/process.h"
#include "core/semaphore.h"

namespace crucible::testing {
namespace {

class Tutorial : public CleanFixture {};
class TutorialPipe : public MechanismTest {};

// All of them are inside at some time, or none leaves: that they overlap needs no clock.
struct Meeting {
  std::atomic<int> arrived = 0;
  void attend(int parties) {
    ++arrived;
    arrived.notify_all();
    while (arrived < parties) ::sched_yield();
  }
};

TEST_F(Tutorial, T1_OneProcessAndOneThatIsTerminated) {
  const std::string text = output_of([] {
    Process worker([](int id) { std::printf("Worker %d is running.\n", id); }, 1);
    worker.start();
    worker.join();
    EXPECT_EQ(worker.exit_code(), 0);

    Process asleep(sleep_forever);
    asleep.start();
    const pid_t pid = asleep.pid().value();
    asleep.terminate();
    asleep.join();
    EXPECT_EQ(asleep.exit_code(), -15);
    EXPECT_TRUE(is_forgotten(pid));
  });
  EXPECT_EQ(text, "Worker 1 is running.\n");
}

void expect_three_users_then_the_master(const std::string& text) {
  std::vector<std::string> lines = lines_of(text);
  ASSERT_EQ(lines.size(), 4U) << text;
  EXPECT_EQ(lines.back(), "MasterProcess End");
  std::sort(lines.begin(), lines.end() - 1);
  EXPECT_EQ(lines.at(0), "SubProcess user_0");
  EXPECT_EQ(lines.at(1), "SubProcess user_1");
  EXPECT_EQ(lines.at(2), "SubProcess user_2");
}

TEST_F(Tutorial, T2_ThreeProcessesFromOneFunction) {
  const std::string text = output_of([] {
    const SharedBox<Meeting> meeting;
    const auto work = [&meeting](const std::string& user) {
      meeting->attend(3);
      std::cout << "SubProcess " + user + "\n";
    };
    std::vector<std::unique_ptr<Process>> processes;
    for (int i = 0; i < 3; ++i) processes.push_back(std::make_unique<Process>(work, "user_" + std::to_string(i)));
    for (const auto& process : processes) process->start();
    for (const auto& process : processes) process->join();
    std::cout << "MasterProcess End\n";
  });
  expect_three_users_then_the_master(text);
}

class UserProcess final : public Process {
 public:
  UserProcess(std::string user, Meeting& meeting) : user_(std::move(user)), meeting_(meeting) { set_name(user_); }

 private:
  int run() override {
    if (current_process().name != user_ || current_process().daemon) return 1;
    meeting_.attend(4);
    std::printf("SubProcess %s\n", user_.c_str());
    return 0;
  }

  std::string user_;
  Meeting& meeting_;
};

TEST_F(Tutorial, T3_ThreeProcessesByDeriving) {
  const std::string text = output_of([] {
    const SharedBox<Meeting> meeting;
    std::vector<std::unique_ptr<UserProcess>> processes;
    for (int i = 0; i < 3; ++i) {
      processes.push_back(std::make_unique<UserProcess>("user_" + std::to_string(i), *meeting));
      EXPECT_EQ(processes.back()->name(), "user_" + std::to_string(i));
      EXPECT_FALSE(processes.back()->is_alive());
      EXPECT_EQ(processes.back()->pid(), std::nullopt);
      EXPECT_FALSE(processes.back()->daemon());
    }
    for (const auto& process : processes) process->start();
    for (const auto& process : processes) {
      EXPECT_TRUE(process->is_alive());
      EXPECT_GT(process->pid().value(), 0);
      EXPECT_EQ(process->exit_code(), std::nullopt);
    }
    meeting->attend(4);  // the three leave when their states have been looked at
    for (const auto& process : processes) process->join();
    for (const auto& process : processes) {
      EXPECT_FALSE(process->is_alive());
      EXPECT_EQ(process->exit_code(), 0);
    }
    std::printf("MasterProcess End\n");
  });
  expect_three_users_then_the_master(text);
}

TEST_F(Tutorial, T8_ThreeProcessesPrintUnderOneLock) {
  constexpr auto kMoment = std::chrono::milliseconds(20);
  const auto begin = std::chrono::steady_clock::now();
  const std::string text = output_of([kMoment] {
    Lock lock;
    const auto work = [kMoment](Lock& printing, const std::string& user) {
      const std::scoped_lock guard(printing);
      std::cout << user + " begins\n" << std::flush;
      std::this_thread::sleep_for(kMoment);
      std::cout << user + " ends\n" << std::flush;
    };
    std::vector<std::unique_ptr<Process>> processes;
    for (int i = 0; i < 3; ++i) {
      processes.push_back(std::make_unique<Process>(work, std::ref(lock), "user_" + std::to_string(i)));
    }
    for (const auto& process : processes) process->start();
    for (const auto& process : processes) process->join();
  });
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 3 * kMoment);
  const std::vector<std::string> lines = lines_of(text);
  ASSERT_EQ(lines.size(), 6U) << text;
  std::set<std::string> users;
  for (std::size_t i = 0; i < lines.size(); i += 2) {
    const std::string user = lines[i].substr(0, lines[i].find(' '));
    EXPECT_EQ(lines[i], user + " begins");
    EXPECT_EQ(lines[i + 1], user + " ends") << "two were inside";
    users.insert(user);
  }
  EXPECT_EQ(users, (std::set<std::string>{"user_0", "user_1", "user_2"}));
}

TEST_P(TutorialPipe, T6_ListThroughAPipeThenEndOfFile) {
  const std::string text = output_of([] {
    auto ipc = crucible::context(mechanism().name);
    auto [here, there] = ipc.pipe();
    Process child([](Connection& end) { end.send(Object::list(42, nullptr, "hello")); }, std::move(there));
    child.start();
    std::cout << here->recv<Object>().to_string() << '\n';
    try {
      (void)here->recv<Object>();
    } catch (const Eof&) {
      std::cout << "end of file\n";
    }
    child.join();
    EXPECT_EQ(child.exit_code(), 0);
  });
  EXPECT_EQ(text, "[42, null, \"hello\"]\nend of file\n");
}

// What the three print comes through one pipe, a line at a time.
TEST_F(Tutorial, T10_EventSemaphoreAndCondition) {
  const std::string text = output_of([] {
    crucible::Event start;
    Semaphore seats(2);
    Condition turn;
    const SharedBox<std::atomic<int>> inside{0};
    const SharedBox<std::atomic<int>> called{0};
    const auto visit = [&](const std::string& user) {
      start.wait();
      std::cout << user + " starts\n" << std::flush;
      for (int i = 0; i < 100; ++i) {
        const auto seat = seats.permit();
        EXPECT_LE(++*inside, 2);
        ::sched_yield();
        --*inside;
      }
      const std::scoped_lock holding(turn);
      EXPECT_EQ(turn.wait(), Status::kOk);
      std::cout << user + " is called\n" << std::flush;
      ++*called;
    };
    std::vector<std::unique_ptr<Process>> processes;
    for (int i = 0; i < 3; ++i) processes.push_back(std::make_unique<Process>(visit, "user_" + std::to_string(i)));
    for (const auto& process : processes) process->start();
    std::cout << "MasterProcess Start\n" << std::flush;
    start.set();
    while (turn.waiters() < 3) ::sched_yield();
    for (int i = 1; i <= 3; ++i) {
      std::cout << "MasterProcess calls\n" << std::flush;
      {
        const std::scoped_lock holding(turn);
        EXPECT_EQ(turn.notify_one(), 1U);
      }
      while (*called < i) ::sched_yield();
    }
    for (const auto& process : processes) process->join();
    for (const auto& process : processes) EXPECT_EQ(process->exit_code(), 0);
    std::cout << "MasterProcess End\n";
  });
  std::vector<std::string> lines = lines_of(text);
  ASSERT_EQ(lines.size(), 11U) << text;
  EXPECT_EQ(lines.front(), "MasterProcess Start");
  std::sort(lines.begin() + 1, lines.begin() + 4);
  for (std::size_t i = 0; i < 3; ++i) {
    const std::string user = "user_" + std::to_string(i);
    EXPECT_EQ(lines.at(1 + i), user + " starts");
    EXPECT_EQ(lines.at(4 + 2 * i), "MasterProcess calls");
    EXPECT_EQ(std::count(lines.begin(), lines.end(), user + " is called"), 1);
  }
  EXPECT_EQ(lines.back(), "MasterProcess End");
}

CRUCIBLE_INSTANTIATE(TutorialPipe);

}  // namespace
}  // namespace crucible::testing
