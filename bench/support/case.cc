#include "support/case.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

namespace crucible::bench {
namespace {

constexpr double kNanosecondsPerSecond = 1e9;

Json identity(const Case& cell) {
  Json line = {{"case", cell.full_name()},
               {"primitive", cell.primitive},
               {"workload", cell.workload},
               {"role", cell.role},
               {"name", cell.name},
               {"wait", cell.wait},
               {"placement", to_string(cell.placement)},
               {"bytes", cell.bytes},
               {"processes", cell.processes},
               {"call", cell.call},
               {"form", cell.form}};
  if (!cell.limit.empty()) line["limit"] = cell.limit;
  return line;
}

void add_latencies(Json& figures, const Latencies& latencies) {
  constexpr std::array<std::pair<std::string_view, double>, 4> kPercentiles = {
      {{"latency_p50_ns", 0.5}, {"latency_p90_ns", 0.9}, {"latency_p99_ns", 0.99}, {"latency_p999_ns", 0.999}}};
  for (const auto& [key, quantile] : kPercentiles) {
    if (const auto value = latencies.percentile_ns(quantile)) figures[std::string(key)] = *value;
  }
  figures["latency_max_ns"] = latencies.max_ns();
}

void add_spectrum(Json& line, const char* key, const Latencies& latencies) {
  if (Json found = spectrum(latencies); !found.empty()) line[key] = std::move(found);
}

/// Of the median block.
void add_rates(Json& figures, const Case& cell, const Tally& tally, std::uint64_t operations) {
  const std::vector<double> times(tally.block_ns.begin(), tally.block_ns.end());
  const double messages = static_cast<double>(operations) * cell.messages_per_operation;
  const double rate = messages / median(times) * kNanosecondsPerSecond;
  if (cell.measure == Measure::kConnections) {
    figures["connections_per_s"] = rate;
    return;
  }
  if (cell.measure == Measure::kPairs) {
    figures["pairs_per_s"] = rate;
    return;
  }
  if (cell.measure == Measure::kTasks) {
    figures["tasks_per_s"] = rate;
    return;
  }
  figures["messages_per_s"] = rate;
  figures["bytes_per_s"] = rate * static_cast<double>(cell.bytes);
}

double sum(const std::vector<std::int64_t>& values) {
  return static_cast<double>(std::accumulate(values.begin(), values.end(), std::int64_t{0}));
}

void add_cpu_shares(Json& figures, const Case& cell, const Tally& tally, double messages) {
  const double elapsed = sum(tally.block_ns);
  figures["cpu_percent"] = 100 * sum(tally.cpu_ns) / elapsed;
  if (cell.measure != Measure::kPaced) return;
  figures["offered_per_s"] = cell.offered_per_s;
  figures["achieved_per_s"] = messages / elapsed * kNanosecondsPerSecond;
}

/// Microseconds per message are seconds per million messages.
void add_costs(Json& figures, const Usage& usage, double messages) {
  const auto total = static_cast<double>(usage.user_us + usage.system_us) / messages;
  // Of other processes the parts are known to the tick only, which a short run may have none of, or one too many.
  const double user = std::clamp(static_cast<double>(usage.user_us) / messages, 0.0, total);
  figures["cpu_s_per_million"] = total;
  figures["cpu_user_s_per_million"] = user;
  figures["cpu_system_s_per_million"] = total - user;
  figures["context_switches_per_message"] = static_cast<double>(usage.context_switches) / messages;
}

}  // namespace

std::string Case::full_name() const {
  return primitive + '/' + workload + '/' + name + '/' + std::to_string(bytes) + '/' +
         std::string(to_string(placement)) + '/' + wait + '/' + call + '/' + form;
}

double fairness_index(const std::vector<std::uint64_t>& shares) {
  double sum = 0;
  double squares = 0;
  for (const std::uint64_t share : shares) {
    const auto value = static_cast<double>(share);
    sum += value;
    squares += value * value;
  }
  return squares == 0 ? 1 : sum * sum / (static_cast<double>(shares.size()) * squares);
}

Json spectrum(const Latencies& latencies) {
  Json quantiles = Json::array();
  Json values = Json::array();
  for (const double quantile : {0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99995,
                                0.99999, 0.999995, 0.999999}) {
    const auto value = latencies.percentile_ns(quantile);
    if (!value) break;
    quantiles.push_back(quantile);
    values.push_back(std::llround(*value));
  }
  if (quantiles.empty()) return Json::object();
  return {{"quantile", std::move(quantiles)}, {"latency_ns", std::move(values)}};
}

Json metrics(const Case& cell, const Tally& tally, std::uint64_t operations) {
  Json figures = Json::object();
  const auto total = static_cast<double>(operations * tally.block_ns.size());
  const double messages = total * cell.messages_per_operation;
  if (tally.latencies.samples() > 0) add_latencies(figures, tally.latencies);
  if (cell.measure == Measure::kRate || cell.measure == Measure::kLoad || cell.measure == Measure::kConnections ||
      cell.measure == Measure::kPairs || cell.measure == Measure::kTasks) {
    add_rates(figures, cell, tally, operations);
  }
  if (quantity_of(cell.measure) == Quantity::kCpu) add_cpu_shares(figures, cell, tally, messages);
  if (tally.shares.size() > 1) figures["fairness_index"] = fairness_index(tally.shares);
  figures["samples"] = static_cast<std::uint64_t>(total) * cell.samples_per_operation;
  if (cell.measure != Measure::kIdle) add_costs(figures, tally.usage, messages);
  return figures;
}

Json record(const Case& cell, const Duel& duel, const Cpus& cpus, const Outcome& outcome) {
  Json line = identity(cell);
  if (!duel.limit_name().empty()) line["limit"] = duel.limit_name();
  const Quantity quantity = quantity_of(cell.measure);
  line["metrics"] = metrics(cell, outcome.subject, outcome.operations);
  add_spectrum(line, "spectrum", outcome.subject.latencies);
  line["blocks"] = {{"operations", outcome.operations},
                    {"seed", Duel::kSeed},
                    {"samples_per_operation", cell.samples_per_operation},
                    {"quantity", quantity == Quantity::kTime ? "time" : "cpu"},
                    {"subject_ns", outcome.subject.of(quantity)}};
  line["fairness"] = {{"messages_per_operation", cell.messages_per_operation}, {"subject", duel.subject().fairness()}};
  if (duel.limit() != nullptr) {
    line["limit_metrics"] = metrics(cell, outcome.limit, outcome.limit_operations);
    line["blocks"]["limit_operations"] = outcome.limit_operations;
    add_spectrum(line, "limit_spectrum", outcome.limit.latencies);
    // Of nothing at all there is no ratio.
    line["blocks"][cell.measure == Measure::kIdle ? "limit_cpu_ns" : "limit_ns"] = outcome.limit.of(quantity);
    line["blocks"]["order"] = outcome.order;
    line["fairness"]["limit"] = duel.limit()->fairness();
  }
  if (cpus) line["fairness"]["cpus"] = {cpus->first, cpus->second};
  return line;
}

Json record(const Case& cell, const Cpus& cpus, const Json& found) {
  Json line = identity(cell);
  line.update(found);
  if (cpus) line["fairness"]["cpus"] = {cpus->first, cpus->second};
  return line;
}

Json unsupported_record(const Case& cell, const std::string& reason) {
  Json line = identity(cell);
  line["unsupported"] = reason;
  return line;
}

}  // namespace crucible::bench
