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
#include "limits/futex_pair.h"
#include "limits/memory_copy.h"
#include "limits/pairing.h"
#include "mechanisms.h"
#include "support/case.h"
#include "support/idle.h"
#include "support/loan.h"
#include "support/paced.h"
#include "support/remote.h"
#include "support/runner.h"
#include "support/spot.h"
#include "support/subject.h"
#include "support/transfer.h"

namespace crucible::bench {
namespace {

constexpr std::size_t kBatch = 64;
constexpr std::size_t kLargestBatched = 64U << 10U;
constexpr std::size_t kVirtualBytes = 64;
constexpr std::size_t kLineBytes = 48;
constexpr std::size_t kIdleBytes = 8;
constexpr double kPacedPerSecond = 1e9 / PacedStream<FutexPair>::kPeriodNs;

template <class End>
using Stream = OneWay<End>;
template <class End>
using BatchedStream = OneWay<End, kBatch>;

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

/// With default options if such a loan fits, else with as much room as it takes.
template <class M>
Link<ConnectionEnd<typename M::Connection>> lending_link(const Spot& spot) {
  for (const std::size_t capacity : {std::size_t{0}, 4 * spot.bytes}) {
    try {
      auto link = subject_link<M, typename M::Connection>({.capacity_bytes = capacity, .wait = spot.wait});
      (void)link.here.reserve(spot.bytes);
      link.fairness["capacity_bytes"] = capacity;  // 0: the default
      return link;
    } catch (const BadLength&) {
      // the next one
    } catch (const BadArgument&) {
      // a capacity that it cannot have
    }
  }
  throw UnsupportedCell("a loan of " + std::to_string(spot.bytes) +
                        " bytes is longer than it has room for in one piece");
}

/// The limit is that of a message which fits a cache line, whatever the size: nothing is copied.
template <class M>
Case loan(const Spot& spot) {
  const Spot line = {.bytes = kLineBytes, .placement = spot.placement, .wait = spot.wait};
  Case cell = blank<M>("loan", Traffic::kRoundTrip, spot);
  cell.limit = limits_for(limit_of<M>(), Traffic::kRoundTrip, spot.wait, spot.placement, kLineBytes).front();
  cell.messages_per_operation = 2;
  cell.make = [spot, line](const Cpus& cpus) -> std::unique_ptr<Duel> {
    check_size<M>(spot.bytes);
    if (!M::kPipe.zero_copy) throw UnsupportedCell("declares no zero_copy");
    using End = ConnectionEnd<typename M::Connection>;
    auto subject = std::make_unique<LoanTrip<End>>(lending_link<M>(spot), spot.bytes, cpus);
    auto [name, limit] =
        fastest_limit<RoundTrip>(limits_for(limit_of<M>(), Traffic::kRoundTrip, line.wait, line.placement, line.bytes),
                                 Traffic::kRoundTrip, {.bytes = line.bytes, .cpus = cpus, .subject_buffer = 0});
    return std::make_unique<Duel>(std::move(subject), std::move(limit), std::move(name));
  };
  return cell;
}

/// Compared with two processes that share a line and a futex, whatever the mechanism: how much it costs to sleep.
template <class M, template <class> class Workload>
Case quiet(std::string workload, Measure measure, Spot spot, std::size_t bytes) {
  spot.bytes = bytes;
  Case cell = blank<M>(std::move(workload), Traffic::kOneWay, spot);
  cell.limit = "futex_pair";
  cell.measure = measure;
  cell.offered_per_s = kPacedPerSecond;
  cell.make = [spot](const Cpus& cpus) {
    using End = ConnectionEnd<typename M::Connection>;
    return std::make_unique<Duel>(
        std::make_unique<Workload<End>>(subject_link<M, typename M::Connection>({.wait = spot.wait}), spot.bytes, cpus),
        std::make_unique<Workload<FutexPair>>(FutexPair::make(), spot.bytes, cpus));
  };
  return cell;
}

Case memory_copy(const char* name, std::size_t bytes, MemoryCopy::Caches caches) {
  Case cell;
  cell.primitive = "pipe";
  cell.workload = "memcpy";
  cell.role = "limit";
  cell.name = name;
  cell.bytes = bytes;
  cell.placement = Placement::kSame;
  cell.processes = 1;
  cell.measure = Measure::kRate;
  cell.make = [bytes, caches](const Cpus& /*cpus*/) {
    check_holds_number(bytes);
    return std::make_unique<Duel>(std::make_unique<MemoryCopy>(bytes, caches), nullptr);
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
      const Spot spot = {.bytes = 0, .placement = placement, .wait = wait};
      cases.push_back(quiet<M, IdleReceiver>("idle", Measure::kIdle, spot, kIdleBytes));
      cases.push_back(quiet<M, PacedStream>("paced", Measure::kPaced, spot, kLineBytes));
    }
  }
}

template <class... M>
std::vector<Case> all_cases(const Options& options, TypeList<M...> /*mechanisms*/) {
  std::vector<Case> cases;
  (add_cases<M>(options, cases), ...);
  for (const std::size_t bytes : options.sizes) {
    cases.push_back(memory_copy("memcpy_hot", bytes, MemoryCopy::Caches::kHot));
    cases.push_back(memory_copy("memcpy_cold", bytes, MemoryCopy::Caches::kCold));
  }
  return cases;
}

}  // namespace
}  // namespace crucible::bench

int main(int argc, char** argv) {
  using crucible::bench::Options;
  const auto cases = [](const Options& options) {
    if (!options.listen.empty()) crucible::bench::serve_remote(options);
    if (!options.connect.empty()) return crucible::bench::remote_cases(options);
    return crucible::bench::all_cases(options, crucible::Mechanisms());
  };
  return crucible::bench::run_benchmarks(argc, argv, cases, crucible::bench::Program::kTwoHosts);
}
