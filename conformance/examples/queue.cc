#include <iostream>

#include "api/mechanism.h"
#include "core/process.h"

int main() {
  using namespace crucible;
  const auto queue = context("shm_ring").joinable_queue({.maxsize = 100});
  const auto work = [](Queue& from) {
    for (int number = from.get<int>(); number >= 0; number = from.get<int>()) {
      std::cout << std::to_string(number * number) + "\n" << std::flush;
      from.done();
    }
  };
  Process one(work, std::ref(*queue));  // any number of processes and threads put and get
  Process other(work, std::ref(*queue));
  one.start();
  other.start();
  for (int number = 1; number <= 3; ++number) queue->put(number);
  queue->join();  // until everything that was put is done with: 1, 4 and 9 are printed
  std::cout << "all done\n";
  for (int worker = 0; worker < 2; ++worker) queue->put(-1);
}
