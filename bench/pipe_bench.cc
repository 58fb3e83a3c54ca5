// Messages through a Pipe of every mechanism of this build, against the bare loop over the same kernel object or the
// same kind of memory.
#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/connection.h"
#include "limits/choice.h"
#include "limits/pairing.h"
#include "mechanisms.h"
#include "support/case.h"
#include "support/loan.h"
#include "support/runner.h"
#include "support/subject.h"
#include "support/transfer.h"

namespace crucible::bench {
namespace {

constexpr std::size_t kBatch = 64;
constexpr std::size_t kLargestBatched = 64U << 10U;
constexpr std::size_t kVirtualBytes = 64;
constexpr std::size_t kLineBytes = 48;

template <class End>
using Stream = OneWay<End>;
template <class End>
using BatchedStream = OneWay<End, kBatch>;

/// Where in the experiment a cell lies, beside its mechanism and its workload.
struct Spot {
  std::size_t bytes;
  Placement placement;
  Wait wait;
};

template <class M>
void check_size(std::size_t bytes) {
  if (bytes < Payload::kWord) throw UnsupportedCell("a message must hold its 8-byte sequence number");
  if (bytes > M::kPipe.max_message_bytes) {
    throw UnsupportedCell("at most " + std::to_string(M::kPipe.max_message_bytes) + " bytes in a message");
  }
}

template <class M>
Case blank(std::string workload, Traffic traffic, const Spot& spot) {
  Case cell;
  cell.primitive = "pipe";
  cell.workload = std::move(workload);
  cell.name = M::kName;
  cell.bytes = spot.bytes;
  cell.placement = spot.placement;
  cell.wait = to_string(spot.wait);
  cell.limit = limits_for(limit_of<M>(), traffic, spot.wait, spot.placement, spot.bytes).front();
  return cell;
}

template <class M, class C, template <class> class Workload>
std::unique_ptr<Duel> make_duel(Traffic traffic, const Spot& spot, const Cpus& cpus, const PipeOptions& options) {
  check_size<M>(spot.bytes);
  auto link = subject_link<M, C>(options);
  const auto buffer = link.fairness["kernel_buffer_bytes"].template get<std::size_t>();
  auto subject = std::make_unique<Workload<ConnectionEnd<C>>>(std::move(link), spot.bytes, cpus);
  auto [name, limit] =
      fastest_limit<Workload>(limits_for(limit_of<M>(), traffic, spot.wait, spot.placement, spot.bytes), traffic,
                              {.bytes = spot.bytes, .cpus = cpus, .subject_buffer = buffer});
  return std::make_unique<Duel>(std::move(subject), std::move(limit), std::move(name));
}

template <class M, class C>
Case round_trip(const Spot& spot) {
  Case cell = blank<M>("round_trip", Traffic::kRoundTrip, spot);
  cell.call = std::same_as<C, Connection> ? "virtual" : "direct";
  cell.messages_per_operation = 2;
  cell.make = [spot](const Cpus& cpus) {
    return make_duel<M, C, RoundTrip>(Traffic::kRoundTrip, spot, cpus, {.wait = spot.wait});
  };
  return cell;
}

template <class M>
Case one_way(const Spot& spot) {
  Case cell = blank<M>("one_way", Traffic::kOneWay, spot);
  cell.measure = Measure::kRate;
  cell.make = [spot](const Cpus& cpus) {
    return make_duel<M, typename M::Connection, Stream>(Traffic::kOneWay, spot, cpus, {.wait = spot.wait});
  };
  return cell;
}

/// Everything that a mechanism can do to lower the price of small messages.
template <class M>
Case one_way_many(const Spot& spot) {
  Case cell = blank<M>("one_way_many", Traffic::kOneWay, spot);
  cell.measure = Measure::kRate;
  cell.make = [spot](const Cpus& cpus) {
    if (spot.bytes > kLargestBatched) throw UnsupportedCell("batches are measured with messages of up to 64 KiB");
    return make_duel<M, typename M::Connection, BatchedStream>(Traffic::kOneWay, spot, cpus,
                                                               {.wait = spot.wait, .read_ahead = reads_ahead<M>()});
  };
  return cell;
}

/// The limit is that of a message which fits a cache line, whatever the size: nothing is copied.
template <class M>
Case loan(const Spot& spot) {
  const Spot line = {.bytes = kLineBytes, .placement = spot.placement, .wait = spot.wait};
  Case cell = blank<M>("loan", Traffic::kRoundTrip, spot);
  cell.limit = limits_for(limit_of<M>(), Traffic::kRoundTrip, spot.wait, spot.placement, kLineBytes).front();
  cell.messages_per_operation = 2;
  cell.make = [spot, line](const Cpus& cpus) -> std::unique_ptr<Duel> {
    if (!M::kPipe.zero_copy) throw UnsupportedCell("declares no zero_copy");
    check_size<M>(spot.bytes);
    using End = ConnectionEnd<typename M::Connection>;
    auto subject =
        std::make_unique<LoanTrip<End>>(subject_link<M, typename M::Connection>({.wait = spot.wait}), spot.bytes, cpus);
    auto [name, limit] =
        fastest_limit<RoundTrip>(limits_for(limit_of<M>(), Traffic::kRoundTrip, line.wait, line.placement, line.bytes),
                                 Traffic::kRoundTrip, {.bytes = line.bytes, .cpus = cpus, .subject_buffer = 0});
    return std::make_unique<Duel>(std::move(subject), std::move(limit), std::move(name));
  };
  return cell;
}

template <class M>
void add_cases(const Options& options, std::vector<Case>& cases) {
  for (const Placement placement : kPlacements) {
    for (const Wait wait : waits_of<M>()) {
      for (const std::size_t bytes : options.sizes) {
        const Spot spot = {.bytes = bytes, .placement = placement, .wait = wait};
        cases.push_back(round_trip<M, typename M::Connection>(spot));
        if (bytes == kVirtualBytes) cases.push_back(round_trip<M, Connection>(spot));
        cases.push_back(one_way<M>(spot));
        cases.push_back(one_way_many<M>(spot));
        cases.push_back(loan<M>(spot));
      }
    }
  }
}

template <class... M>
std::vector<Case> all_cases(const Options& options, TypeList<M...> /*mechanisms*/) {
  std::vector<Case> cases;
  (add_cases<M>(options, cases), ...);
  return cases;
}

}  // namespace
}  // namespace crucible::bench

int main(int argc, char** argv) {
  return crucible::bench::run_benchmarks(argc, argv, [](const crucible::bench::Options& options) {
    return crucible::bench::all_cases(options, crucible::Mechanisms());
  });
}
