// Starting a child process and joining it, against the bare system calls.
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "api/deadline.h"
#include "core/process.h"
#include "limits/fork_exit_wait.h"
#include "support/case.h"
#include "support/payload.h"
#include "support/runner.h"

namespace crucible::bench {
namespace {

struct StartJoin {
  static int run() {
    Process child([] {});
    child.start();
    child.join();
    return child.exit_code().value_or(-1);
  }
};

std::size_t resident_bytes() {
  std::size_t total = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

/// Runs Operation::run() in this process; its children are reaped, so that their usage is known.
template <class Operation>
class Offspring final : public Side {
 public:
  Offspring() : latencies_(kMostOperations) {}

  Block run(std::uint64_t operations) override {
    once();
    const Usage own = Usage::now();
    const Usage children = Usage::now(RUSAGE_CHILDREN);
    const std::int64_t start = Deadline::now_ns();
    std::int64_t last = start;
    for (std::uint64_t i = 0; i < operations; ++i) {
      once();
      const std::int64_t now = Deadline::now_ns();
      latencies_[i] = now - last;
      last = now;
    }
    Usage usage = Usage::now() - own;
    usage += Usage::now(RUSAGE_CHILDREN) - children;
    return {.elapsed_ns = last - start, .usage = usage, .latencies = std::span(latencies_).first(operations)};
  }
  nlohmann::json fairness() const override { return {{"resident_bytes", resident_bytes()}}; }

 private:
  static void once() {
    if (const int code = Operation::run(); code != 0) {
      throw VerificationError("verification failed: a child ended with " + std::to_string(code) + " instead of 0");
    }
  }

  std::vector<std::int64_t> latencies_;
};

std::vector<Case> all_cases(const Options& /*options*/) {
  std::vector<Case> cases;
  for (const Placement placement : {Placement::kFree, Placement::kSame}) {
    Case cell;
    cell.primitive = "process";
    cell.workload = "start_join";
    cell.name = "fork";
    cell.placement = placement;
    cell.limit = "fork_exit_wait";
    cell.make = [](const Cpus& /*cpus*/) {
      return std::make_unique<Duel>(std::make_unique<Offspring<StartJoin>>(),
                                    std::make_unique<Offspring<ForkExitWait>>());
    };
    cases.push_back(std::move(cell));
  }
  return cases;
}

}  // namespace
}  // namespace crucible::bench

int main(int argc, char** argv) { return crucible::bench::run_benchmarks(argc, argv, crucible::bench::all_cases); }
