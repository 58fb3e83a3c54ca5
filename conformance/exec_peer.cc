// The program of ExecPeer: started by exec, it knows a mechanism's name and an address, and obeys what it reads.
#include "conformance/exec_peer.h"

#include <spawn.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "api/connection.h"
#include "api/mechanism.h"
#include "conformance/exec_peer_program.h"
#include "conformance/flood.h"
#include "conformance/pipe_support.h"

namespace crucible::testing {
namespace {

class Program {
 public:
  Program(const char* mechanism, std::string address) : context_(context(mechanism)), address_(std::move(address)) {
    progress_ = map_progress();
  }

  std::string obey(const std::string& order) {
    std::istringstream words(order);
    std::string verb;
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    std::uint64_t c = 0;
    words >> verb >> a >> b >> c;
    if (verb == "connect") return connect(a, b);
    if (verb == "send") return send(a, b, c);
    if (verb == "many") return send_many(a, b);
    if (verb == "receive") return receive(a, b, c);
    if (verb == "look") return look();
    if (verb == "echo") return echo();
    if (verb == "storm") return storm();
    if (verb == "flood") return flood(a);
    if (verb == "drain") return drain(a);
    if (verb == "run") return run_program();
    if (verb == "close") return close();
    if (verb == "exit") std::exit(0);
    return "no such order: " + order;
  }

 private:
  static std::string name(Status status) { return std::string(to_string(status)); }

  std::string connect(std::size_t capacity, std::uint64_t death_us) {
    if (death_us != 0) die(death_us);
    const DoorOptions options = {.pipe = {.capacity_bytes = capacity}};
    end_ = context_.connect(address_, options);
    return name(Status::kOk);
  }
  std::string send(std::size_t size, std::uint64_t seed, std::uint64_t count) {
    Status status = Status::kOk;
    for (std::uint64_t i = 0; i < count && status == Status::kOk; ++i)
      status = end_->send_bytes(pattern(size, seed + i));
    return name(status);
  }
  std::string send_many(std::size_t size, std::uint64_t count) {
    std::vector<Bytes> messages;
    for (std::uint64_t i = 0; i < count; ++i) messages.push_back(pattern(size, i));
    const std::vector<ByteView> views(messages.begin(), messages.end());
    std::size_t sent = 0;
    const Status status = end_->send_many(views, sent);
    return name(status) + " " + std::to_string(sent);
  }
  std::string receive(std::size_t size, std::uint64_t seed, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      Bytes message;
      const Status status = end_->recv_bytes(message);
      if (status != Status::kOk) return name(status);
      const ::testing::AssertionResult equal = same(message, pattern(size, seed + i));
      if (!equal) return equal.message();
    }
    return "Ok";
  }
  std::string look() {
    Bytes message;
    const Status status = end_->recv_bytes(message);
    std::string text = name(status);
    if (status == Status::kOk) text.append(" ").append(std::to_string(message.size()));
    return text;
  }
  std::string echo() {
    Bytes message;
    Status status = Status::kOk;
    while (status == Status::kOk) {
      status = end_->recv_bytes(message);
      if (status == Status::kOk) status = end_->send_bytes(message);
    }
    return name(status);
  }
  std::string storm() {
    storm_.emplace();
    return "Ok";
  }
  std::string flood(std::uint64_t death_us) {
    die(death_us);
    Status status = Status::kOk;
    for (std::uint64_t i = 0; status == Status::kOk; ++i) {
      const ByteView message = flood_.message(i);
      ++progress_->begun;
      status = end_->send_bytes(message);
      ++progress_->returned;
    }
    return name(status);
  }
  std::string drain(std::uint64_t death_us) {
    die(death_us);
    Bytes message;
    for (std::uint64_t i = 0;; ++i) {
      ++progress_->begun;
      const Status status = end_->recv_bytes(message);
      if (status != Status::kOk) return name(status);
      ++progress_->returned;
      if (!flood_.is(message, i)) return "torn";
    }
  }
  void die(std::uint64_t death_us) { death_.emplace(SIGKILL, std::chrono::microseconds(death_us)); }
  std::string close() {
    end_->close();
    return name(Status::kOk);
  }
  static std::string run_program() {
    std::string program = "cat";
    const std::array<char*, 2> arguments = {program.data(), nullptr};
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, "cat", nullptr, nullptr, arguments.data(), environ);
    return error == 0 ? std::to_string(pid) : "posix_spawnp failed";
  }

  Context context_;
  std::string address_;
  std::unique_ptr<Connection> end_;
  ExecPeer::Progress* progress_ = nullptr;
  Flood flood_;
  std::optional<SignalStorm> storm_;
  std::optional<SignalTimer> death_;
};

}  // namespace
}  // namespace crucible::testing

int main(int argc, char** argv) { return crucible::testing::serve<crucible::testing::Program>(argc, argv); }
