#include <iostream>
#include <mutex>

#include "core/lock.h"
#include "core/process.h"

int main() {
  using namespace crucible;
  Lock lock;
  const auto print = [](Lock& printing, int user) {
    const std::scoped_lock guard(printing);  // throws OwnerDied if somebody died in here
    std::cout << "user_" << user << " was here" << std::endl;
  };
  Process first(print, std::ref(lock), 1);
  Process second(print, std::ref(lock), 2);
  first.start();
  second.start();
}  // joins them
