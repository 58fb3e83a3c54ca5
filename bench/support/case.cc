#include "support/case.h"

#include <array>
#include <string_view>
#include <utility>
#include <vector>

namespace crucible::bench {
namespace {

Json identity(const Case& cell) {
  return {{"case", cell.full_name()},
          {"primitive", cell.primitive},
          {"workload", cell.workload},
          {"role", "mechanism"},
          {"name", cell.name},
          {"wait", cell.wait},
          {"placement", to_string(cell.placement)},
          {"bytes", cell.bytes},
          {"processes", 2},
          {"call", cell.call},
          {"form", "native"},
          {"limit", cell.limit}};
}

void add_latencies(Json& figures, const Latencies& latencies) {
  constexpr std::array<std::pair<std::string_view, double>, 4> kPercentiles = {
      {{"latency_p50_ns", 0.5}, {"latency_p90_ns", 0.9}, {"latency_p99_ns", 0.99}, {"latency_p999_ns", 0.999}}};
  for (const auto& [key, quantile] : kPercentiles) {
    if (const auto value = latencies.percentile_ns(quantile)) figures[std::string(key)] = *value;
  }
  figures["latency_max_ns"] = latencies.max_ns();
}

void add_rates(Json& figures, const Case& cell, const Tally& tally, std::uint64_t operations) {
  constexpr double kNanosecondsPerSecond = 1e9;
  const std::vector<double> times(tally.block_ns.begin(), tally.block_ns.end());
  const double messages = static_cast<double>(operations) * cell.messages_per_operation;
  const double rate = messages / median(times) * kNanosecondsPerSecond;
  figures["messages_per_s"] = rate;
  figures["bytes_per_s"] = rate * static_cast<double>(cell.bytes);
}

}  // namespace

std::string Case::full_name() const {
  return primitive + '/' + workload + '/' + name + '/' + std::to_string(bytes) + '/' +
         std::string(to_string(placement)) + '/' + wait + '/' + call;
}

Json metrics(const Case& cell, const Tally& tally, std::uint64_t operations) {
  Json figures = Json::object();
  const auto total = static_cast<double>(operations * tally.block_ns.size());
  const double messages = total * cell.messages_per_operation;
  if (cell.measure == Measure::kLatency) {
    add_latencies(figures, tally.latencies);
  } else {
    add_rates(figures, cell, tally, operations);
  }
  figures["samples"] = static_cast<std::uint64_t>(total);
  // Microseconds per message are seconds per million messages.
  const auto user = static_cast<double>(tally.usage.user_us) / messages;
  const auto system = static_cast<double>(tally.usage.system_us) / messages;
  figures["cpu_s_per_million"] = user + system;
  figures["cpu_user_s_per_million"] = user;
  figures["cpu_system_s_per_million"] = system;
  figures["context_switches_per_message"] = static_cast<double>(tally.usage.context_switches) / messages;
  return figures;
}

Json record(const Case& cell, const Duel& duel, const Cpus& cpus, const Outcome& outcome) {
  Json line = identity(cell);
  if (!duel.limit_name().empty()) line["limit"] = duel.limit_name();
  line["metrics"] = metrics(cell, outcome.subject, outcome.operations);
  line["limit_metrics"] = metrics(cell, outcome.limit, outcome.operations);
  line["blocks"] = {{"operations", outcome.operations},
                    {"seed", Duel::kSeed},
                    {"subject_ns", outcome.subject.block_ns},
                    {"limit_ns", outcome.limit.block_ns},
                    {"order", outcome.order}};
  line["fairness"] = {{"messages_per_operation", cell.messages_per_operation},
                      {"subject", duel.subject().fairness()},
                      {"limit", duel.limit().fairness()}};
  if (cpus) line["fairness"]["cpus"] = {cpus->first, cpus->second};
  return line;
}

Json unsupported_record(const Case& cell, const std::string& reason) {
  Json line = identity(cell);
  line["unsupported"] = reason;
  return line;
}

}  // namespace crucible::bench
