#include <iostream>

#include "api/mechanism.h"
#include "core/process.h"

int main() {
  using namespace crucible;
  auto [here, there] = context("unix_socket").pipe();
  Process child([](Connection& end) { end.send(Object::list(42, nullptr, "hello")); },
                std::move(there));  // given away: this process keeps no copy of that end
  child.start();
  std::cout << here->recv<Object>().to_string() << '\n';  // [42, null, "hello"]
  child.join();                                           // a further recv() would throw Eof
}
