#include <iostream>

#include "api/mechanism.h"
#include "core/process.h"

int main() {
  using namespace crucible;
  const auto manager = context("unix_socket").manager();
  const auto ages = manager->dict<std::string, int>();
  const auto names = manager->list<std::string>();
  const auto lock = manager->lock();
  const auto enter = [&](const std::string& name, int age) {
    const std::scoped_lock guard(lock);  // between any processes; a dead holder's is free, and says so
    names.append(name);
    ages.set(name, age);
    ages.update("sum", [age](std::optional<int> sum) { return sum.value_or(0) + age; });  // atomic by itself
  };
  Process ada(enter, "Ada", 36);
  Process bob(enter, "Bob", 41);
  ada.start();
  bob.start();
  ada.join();
  bob.join();
  std::cout << ages.text() << ", " << names.size() << " names\n";
}
