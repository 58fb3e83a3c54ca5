#include <iostream>

#include "api/mechanism.h"

int main(int, char** arguments) {  // e.g. unix_socket unix:/tmp/hello, or tcp_socket tcp:127.0.0.1:0
  using namespace crucible;
  const auto listener = context(arguments[1]).listen(arguments[2]);
  std::cout << listener->address() << std::endl;  // with the port or the name that the system chose
  std::unique_ptr<Connection> client;
  if (listener->accept(client) != Status::kOk) return 1;
  client->send(Object::list("hello", client->recv<Object>()));
}
