#include "peers/cpython.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "api/status.h"
#include "core/fd.h"
#include "support/payload.h"

namespace crucible::bench {
namespace {

constexpr const char* kScript = CRUCIBLE_PEERS "/cpython";
constexpr int kNoInterpreter = 127;  // as a shell has it

std::pair<Fd, Fd> pipe_ends() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
  return {Fd(ends[0]), Fd(ends[1])};
}

[[noreturn]] void become(const std::vector<std::string>& words, int input, int output) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  if (dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0) execvp(arguments[0], arguments.data());
  _exit(kNoInterpreter);
}

}  // namespace

PythonSide::PythonSide(const PythonTask& task, const Cpus& cpus) {
  start({"python3", "-B", kScript, task.workload, task.object, std::to_string(task.first), std::to_string(task.second),
         std::to_string(task.bytes), cpus ? std::to_string(cpus->first) + ',' + std::to_string(cpus->second) : "-"});
  fairness_ = line();
  if (!fairness_.is_null()) return;
  int status = 0;
  waitpid(std::exchange(pid_, -1), &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNoInterpreter) throw UnsupportedCell("there is no python3 here");
  throw UnsupportedCell("python3 here cannot do this; its message is on stderr");
}

PythonSide::~PythonSide() {
  if (pid_ < 0) return;
  // Not by the end of its input, which processes forked since then may hold open. Its own processes die with it.
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void PythonSide::start(const std::vector<std::string>& words) {
  auto [order_source, order_sink] = pipe_ends();
  auto [answer_source, answer_sink] = pipe_ends();
  pid_ = fork();
  if (pid_ < 0) throw_errno("fork");
  if (pid_ == 0) become(words, order_source.get(), answer_sink.get());
  orders_.reset(fdopen(order_sink.release(), "w"));
  answers_.reset(fdopen(answer_source.release(), "r"));
  if (!orders_ || !answers_) throw_errno("fdopen");
}

nlohmann::json PythonSide::line() {
  char* text = nullptr;
  std::size_t room = 0;
  const ssize_t length = getline(&text, &room, answers_.get());
  const std::unique_ptr<char, decltype(&std::free)> owner(text, &std::free);
  if (length <= 0) return nullptr;
  return nlohmann::json::parse(text, text + length, nullptr, false);
}

Block PythonSide::run(std::uint64_t operations) {
  std::fprintf(orders_.get(), "%llu\n", static_cast<unsigned long long>(operations));
  std::fflush(orders_.get());
  const nlohmann::json found = line();
  if (!found.is_object()) throw VerificationError("verification failed in the peer, or it ended");
  latencies_ = found.at("latencies").get<std::vector<std::int64_t>>();
  Block block;
  block.elapsed_ns = found.at("elapsed_ns");
  block.usage = {.user_us = found.at("user_us"),
                 .system_us = found.at("system_us"),
                 .context_switches = found.at("context_switches")};
  block.latencies = latencies_;
  block.shares = found.at("shares").get<std::vector<std::uint64_t>>();
  return block;
}

}  // namespace crucible::bench
