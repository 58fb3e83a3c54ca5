// How late messages come under a load that does not wait for them, over a Pipe of every mechanism of this build; and
// what the harness itself takes.
#include <memory>
#include <vector>

#include "mechanisms.h"
#include "support/case.h"
#include "support/null_trip.h"
#include "support/open_loop.h"
#include "support/runner.h"
#include "support/spot.h"
#include "support/subject.h"

namespace crucible::bench {
namespace {

template <class M>
Case load(const Spot& spot) {
  Case cell = study_of<M>("pipe", "load", spot);
  cell.study = [spot](const Cpus& cpus) {
    if (spot.placement == Placement::kSame) {
      throw UnsupportedCell("who keeps the schedule needs a CPU of its own, or the schedule is what is measured");
    }
    check_size<M>(spot.bytes);
    using C = typename M::Connection;
    LoadStream<ConnectionEnd<C>> stream(subject_link<M, C>({.wait = spot.wait}), spot.bytes, cpus);
    return explore_load(stream);
  };
  return cell;
}

/// What every round trip contains of the harness.
Case harness(std::size_t bytes) {
  Case cell;
  cell.primitive = "pipe";
  cell.workload = "harness";
  cell.role = "limit";
  cell.name = "null";
  cell.bytes = bytes;
  cell.placement = Placement::kSame;
  cell.messages_per_operation = 2;
  cell.make = [bytes](const Cpus& cpus) {
    check_holds_number(bytes);
    return std::make_unique<Duel>(std::make_unique<NullTrip>(bytes, cpus), nullptr);
  };
  return cell;
}

template <class M>
void add_cases(const Options& options, std::vector<Case>& cases) {
  for (const Placement placement : kPlacements) {
    for (const Wait wait : waits_of<M>()) {
      for (const std::size_t bytes : options.sizes) {
        cases.push_back(load<M>({.bytes = bytes, .placement = placement, .wait = wait}));
      }
    }
  }
}

template <class... M>
std::vector<Case> all_cases(const Options& options, TypeList<M...> /*mechanisms*/) {
  std::vector<Case> cases;
  (add_cases<M>(options, cases), ...);
  for (const std::size_t bytes : options.sizes) cases.push_back(harness(bytes));
  return cases;
}

}  // namespace
}  // namespace crucible::bench

int main(int argc, char** argv) {
  const auto cases = [](const crucible::bench::Options& options) {
    return crucible::bench::all_cases(options, crucible::Mechanisms());
  };
  return crucible::bench::run_benchmarks(argc, argv, cases);
}
