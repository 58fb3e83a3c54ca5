// The benchmarks' own workloads over liars, which the verification of what arrived, or the figures, must expose.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "conformance/liars/liars.h"
#include "support/case.h"
#include "support/runner.h"
#include "support/subject.h"
#include "support/transfer.h"

namespace crucible::bench {
namespace {

template <class End>
using Stream = OneWay<End>;

template <class M, template <class> class Workload>
Case cell(std::string workload, Measure measure, std::size_t bytes) {
  Case made;
  made.primitive = "pipe";
  made.workload = std::move(workload);
  made.name = M::kName;
  made.bytes = bytes;
  made.measure = measure;
  made.messages_per_operation = measure == Measure::kLatency ? 2 : 1;
  made.make = [bytes](const Cpus& cpus) {
    using C = typename M::Connection;
    return std::make_unique<Duel>(std::make_unique<Workload<ConnectionEnd<C>>>(subject_link<M, C>({}), bytes, cpus),
                                  nullptr);
  };
  return made;
}

template <class... M>
std::vector<Case> all_cases(const Options& options) {
  std::vector<Case> cases;
  for (const std::size_t bytes : options.sizes) {
    (cases.push_back(cell<M, Stream>("one_way", Measure::kRate, bytes)), ...);
    (cases.push_back(cell<M, RoundTrip>("round_trip", Measure::kLatency, bytes)), ...);
  }
  return cases;
}

}  // namespace
}  // namespace crucible::bench

int main(int argc, char** argv) {
  using namespace crucible;  // NOLINT(google-build-using-namespace)
  return bench::run_benchmarks(argc, argv,
                               bench::all_cases<liars::Honest, liars::Drops, liars::Truncates, liars::Stalls>);
}
