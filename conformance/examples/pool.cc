#include <cstdlib>
#include <iostream>
#include <vector>

#include "api/mechanism.h"

int main() {
  using namespace crucible;
  const auto pool = context("shm_ring").pool(4);  // four processes, forks of this one
  const auto square = [](int i) { return i * i; };
  for (const int result : pool->map(square, std::vector<int>{1, 2, 3})) std::cout << result << '\n';
  const auto slow = pool->apply_async(square, {5}, [](int result) { std::cout << "called with " << result << '\n'; });
  slow.wait();  // or wait_for(1s), get(), get_for(1s)
  try {
    pool->apply([] { std::abort(); });
  } catch (const WorkerLost& lost) {  // that task only; the worker is replaced
    std::cout << "lost by signal " << -lost.exit_code() << '\n';
  }
  pool->close();
  pool->join();
}
