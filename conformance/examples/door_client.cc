#include <iostream>

#include "api/mechanism.h"

int main(int, char** arguments) {  // the same two words
  using namespace crucible;
  const auto server = context(arguments[1]).connect(arguments[2]);
  server->send("Ada");
  std::cout << server->recv<Object>().to_string() << '\n';  // ["hello", "Ada"]
}
