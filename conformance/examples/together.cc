#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/condition.h"
#include "core/event.h"
#include "core/process.h"
#include "core/semaphore.h"

int main() {
  using namespace crucible;
  Event doors_open;
  Semaphore seats(2);
  Condition turn;

  const auto visit = [&](const std::string& user) {  // a fork: what is captured by reference is the same for all
    doors_open.wait();
    {
      const auto seat = seats.permit();  // given back at the end of the scope, or of the process
      std::cout << user + " sits\n" << std::flush;
    }
    const std::scoped_lock holding(turn);
    if (turn.wait() == Status::kOk) std::cout << user + " is called\n" << std::flush;
  };
  std::vector<std::unique_ptr<Process>> processes;
  for (int i = 0; i < 3; ++i) processes.push_back(std::make_unique<Process>(visit, "user_" + std::to_string(i)));
  for (const auto& process : processes) process->start();

  std::cout << "MasterProcess Start\n" << std::flush;
  doors_open.set();
  while (turn.waiters() < 3) std::this_thread::yield();
  for (int i = 0; i < 3; ++i) {
    const std::scoped_lock holding(turn);
    turn.notify_one();
  }
  for (const auto& process : processes) process->join();
  std::cout << "MasterProcess End\n";
}
