// Case: one cell of the experiment, by the name that scripts and reports know it by.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/duel.h"
#include "support/placement.h"
#include "support/transfer.h"

namespace crucible::bench {

using Json = nlohmann::ordered_json;

/// What an operation is, for the metrics made of it.
enum class Measure {
  kLatency,      ///< operations follow one another and each is timed
  kRate,         ///< a stream, timed as a whole
  kLoad,         ///< several clients' operations, each timed, and their rate
  kConnections,  ///< the same of connections
  kIdle,         ///< nothing happens; what it costs is compared
  kPaced,        ///< operations on a schedule; each is timed from when it was due, what they cost is compared
  kPairs,        ///< taking something and giving it back; those who compete are timed while they wait for it
  kTasks,        ///< a stream of tasks, timed as a whole
};
/// What of the blocks is compared with the limit's.
constexpr Quantity quantity_of(Measure measure) noexcept {
  return measure == Measure::kIdle || measure == Measure::kPaced ? Quantity::kCpu : Quantity::kTime;
}

struct Case {
  std::string primitive, workload, name;
  std::string role = "mechanism";
  std::size_t bytes = 0;
  Placement placement = Placement::kFree;
  std::string call = "direct";
  std::string wait = "kernel";
  std::string form = "native";
  std::string limit;  ///< empty: there is none
  int processes = 2;
  Measure measure = Measure::kLatency;
  double messages_per_operation = 1;
  std::uint64_t samples_per_operation = 1;  ///< where several clients do one at a time
  double offered_per_s = 0;                 ///< of a schedule
  /// Throws UnsupportedCell. This process is already where it belongs; workers go to cpus->second.
  std::function<std::unique_ptr<Duel>(const Cpus& cpus)> make;
  /// Instead of `make`, where blocks against a limit do not fit: measures everything in one go, under the same
  /// conditions. The members that the record has beside its identity: metrics, fairness and others.
  std::function<Json(const Cpus& cpus)> study;

  /// primitive/workload/name/bytes/placement/wait/call/form
  std::string full_name() const;
};

/// Jain's index of how evenly `shares` are: 1 if all are equal, 1/n if one has everything.
double fairness_index(const std::vector<std::uint64_t>& shares);

/// The distribution by its percentiles, ascending, as far as enough samples lie beyond: {"quantile", "latency_ns"}.
/// Empty without samples.
Json spectrum(const Latencies& latencies);

/// One side's figures under their keys in the records file.
Json metrics(const Case& cell, const Tally& tally, std::uint64_t operations);
/// The line of a measured case.
Json record(const Case& cell, const Duel& duel, const Cpus& cpus, const Outcome& outcome);
/// The line of a case that is a study; `found` is what it gave.
Json record(const Case& cell, const Cpus& cpus, const Json& found);
/// The line of a case that cannot be measured.
Json unsupported_record(const Case& cell, const std::string& reason);

}  // namespace crucible::bench
