// A program of ExecPeer's that uses a manager's server: it knows a mechanism's name and an address.
//   open [key]             connects
//   make <n>               a list of its own of so many items
//   share                  puts it into the dict that was given
//   dict <hex>             the proxy that was sent, in a message
//   set <key> <value>      in that
//   get <key>
//   pool <what> <n>        has a task done by a pool of its own: square, which has a name that the server knows;
//   address,
//                          unknown, initializer, which it refuses
//   serve [key]            says its address, and serves there until it is killed
//   shutdown
//   exit
#include <cstdint>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string>

#include "api/manager.h"
#include "api/mechanism.h"
#include "conformance/exec_peer_program.h"
#include "conformance/pipe_support.h"
#include "core/function.h"

namespace crucible::testing {
namespace {

int square(int x) { return x * x; }
const Function named_square{"managed pool: square", &square};
const Function unknown{"managed pool: unknown", &square};

class Program {
 public:
  Program(const char* mechanism, std::string address)
      : context_(context(mechanism)), address_(std::move(address)), progress_(map_progress()) {}

  std::string obey(const std::string& order) {
    std::istringstream words(order);
    std::string verb;
    std::string first;
    std::string second;
    words >> verb >> first >> second;
    if (verb == "open") {
      manager_ = context_.open_manager(address_, options(first));
      return "Ok";
    }
    if (verb == "dict") {
      dict_ = decode<Dict>(from_hex(first));
      return "Ok";
    }
    if (verb == "make") {
      list_ = manager_->list<int>(std::vector<int>(std::stoul(first), 7));
      return "Ok";
    }
    if (verb == "share") {
      dict_.set("list", list_);
      return "Ok";
    }
    if (verb == "set") {
      dict_.set(first, second);
      return "Ok";
    }
    if (verb == "get") return dict_.get(first).to_string();
    if (verb == "shutdown") {
      manager_->shutdown();
      return "Ok";
    }
    if (verb == "pool") return use_pool(first, std::stoi(second));
    if (verb == "serve") return serve(first);
    if (verb == "exit") std::exit(0);
    return "no such order: " + order;
  }

 private:
  using Dict = managed::Dict<std::string, Object>;

  static ManagerOptions options(const std::string& key) {
    ManagerOptions options;
    if (!key.empty()) options.door.authkey = text(key);
    return options;
  }
  static Bytes from_hex(const std::string& digits) {
    Bytes bytes;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
      bytes.push_back(static_cast<std::byte>(std::stoul(digits.substr(i, 2), nullptr, 16)));
    }
    return bytes;
  }
  std::string use_pool(const std::string& what, int number) {
    try {
      PoolOptions options = {.processes = 1};
      if (what == "initializer") options.initializer = +[] {};
      const auto pool = manager_->pool(options);
      if (what == "square") return std::to_string(pool->apply(named_square, {number}));
      if (what == "unknown") return std::to_string(pool->apply(unknown, {number}));
      return std::to_string(pool->apply_async([](int x) { return x; }, {number}).get());
    } catch (const BadArgument&) {
      return "BadArgument";
    }
  }
  std::string serve(const std::string& key) {
    const auto manager = context_.unstarted_manager(address_, options(key));
    manager->serve_forever(
        [](const std::string& address) { (void)!::send(STDIN_FILENO, address.data(), address.size(), MSG_NOSIGNAL); });
    return "served";
  }

  const Context context_;
  const std::string address_;
  ExecPeer::Progress* const progress_;
  std::unique_ptr<Manager> manager_;
  managed::List<int> list_;
  Dict dict_;
};

}  // namespace
}  // namespace crucible::testing

int main(int argc, char** argv) { return crucible::testing::serve<crucible::testing::Program>(argc, argv); }
