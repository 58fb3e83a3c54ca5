// A program of ExecPeer's that opens a queue: it knows a mechanism's name, an address and, when told, a form.
//   open <form>                           "native", "composed"
//   put, get <size> <seed> <count>        pattern(size, seed), pattern(size, seed + 1), ... ; a get compares
//   size, full, empty, done, join, close  what they come to
//   flood, drain <us>                     puts and takes stamped messages, noting progress, until it SIGKILLs itself
//   exit
#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "api/mechanism.h"
#include "conformance/exec_peer_program.h"
#include "conformance/pipe_support.h"
#include "conformance/stamp.h"

namespace crucible::testing {
namespace {

class Program {
 public:
  Program(const char* mechanism, std::string address)
      : mechanism_(context(mechanism).mechanism()), address_(std::move(address)), progress_(map_progress()) {}

  std::string obey(const std::string& order) {
    std::istringstream words(order);
    std::string verb;
    words >> verb;
    if (verb == "open") {
      std::string form;
      words >> form;
      return open(form);
    }
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    std::uint64_t c = 0;
    words >> a >> b >> c;
    if (verb == "put") return put(a, b, c);
    if (verb == "get") return get(a, b, c);
    if (verb == "size") return std::to_string(queue_->size());
    if (verb == "full") return queue_->full() ? "full" : "not full";
    if (verb == "done") return name(queue_->task_done());
    if (verb == "join") return name(queue_->join_until(Deadline::never()));
    if (verb == "close") return close();
    if (verb == "flood") return flood(a);
    if (verb == "drain") return drain(a);
    if (verb == "exit") std::exit(0);
    return "no such order: " + order;
  }

 private:
  static std::string name(Status status) { return std::string(to_string(status)); }

  std::string open(const std::string& form) {
    for (const QueueForm& row : mechanism_.queues) {
      if (row.name == form) queue_ = row.open(address_, {}, Deadline::never());
    }
    return queue_ ? "Ok" : "no such form: " + form;
  }
  std::string put(std::size_t size, std::uint64_t seed, std::uint64_t count) {
    Status status = Status::kOk;
    for (std::uint64_t i = 0; i < count && status == Status::kOk; ++i) {
      status = queue_->put_bytes(pattern(size, seed + i));
    }
    return name(status);
  }
  std::string get(std::size_t size, std::uint64_t seed, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      Bytes message;
      const Status status = queue_->get_bytes(message);
      if (status != Status::kOk) return name(status);
      const ::testing::AssertionResult equal = same(message, pattern(size, seed + i));
      if (!equal) return equal.message();
    }
    return "Ok";
  }
  std::string close() {
    queue_->close();
    return name(queue_->put_bytes({}));
  }
  std::string flood(std::uint64_t death_us) {
    const SignalTimer death(SIGKILL, std::chrono::microseconds(death_us));
    for (std::uint64_t i = 0;; ++i) {
      const Bytes message = stamped(1, i, traffic_size(i));
      ++progress_->begun;
      if (const Status status = queue_->put_bytes(message); status != Status::kOk) return name(status);
      ++progress_->returned;
    }
  }
  std::string drain(std::uint64_t death_us) {
    const SignalTimer death(SIGKILL, std::chrono::microseconds(death_us));
    for (Bytes message;;) {
      ++progress_->begun;
      if (const Status status = queue_->get_bytes(message); status != Status::kOk) return name(status);
      ++progress_->returned;
      if (!read_whole(message)) return "torn";
    }
  }

  const Mechanism& mechanism_;
  const std::string address_;
  ExecPeer::Progress* progress_;
  std::unique_ptr<Queue> queue_;
};

}  // namespace
}  // namespace crucible::testing

int main(int argc, char** argv) { return crucible::testing::serve<crucible::testing::Program>(argc, argv); }
