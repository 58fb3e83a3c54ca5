// Tasks given to a Pool of every mechanism of this build: one after the other, mapped, long and short ones, with
// arguments of any size, on one to 32 workers; pools started and stopped. Against bare round trips, processes that need
// not be told anything, and what CPython has.
#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/pool.h"
#include "compose/forms.h"
#include "limits/choice.h"
#include "limits/pairing.h"
#include "mechanisms.h"
#include "peers/cpython.h"
#include "support/case.h"
#include "support/flow.h"
#include "support/gang.h"
#include "support/labour.h"
#include "support/pool_plays.h"
#include "support/runner.h"
#include "support/subject.h"

namespace crucible::bench {
namespace {

constexpr int kWorkers = 2;
constexpr int kCrews[] = {1, 4, 8, 16, 32};
constexpr std::string_view kOwnCrew = "own_2";
constexpr std::string_view kExecutor = "cpython_executor";
/// A map is a stream, whose ends must not be what is measured.
constexpr std::uint64_t kFewestMapped = 1000;

/// Where in the experiment a cell lies, beside its workload.
struct Spot {
  const PoolForm* form;
  Wait wait;
  std::string_view family;  ///< of limits
};

PoolSetting setting_of(const Spot& spot, int workers, const Cpus& cpus) {
  return {.form = spot.form,
          .wait = spot.wait,
          .workers = workers,
          .cpu = cpus ? std::optional(cpus->second) : std::nullopt};
}

/// A play of one process, which owns a pool of so many.
template <class Play>
std::unique_ptr<Side> owner(Play play, const Spot& spot, int workers, const Cpus& cpus, std::uint64_t fewest = 20) {
  const auto second = [](std::size_t /*number*/) { return false; };
  nlohmann::json fairness = {
      {"workers", workers}, {"start_method", "fork"}, {"survives_kill", spot.form->capabilities.survives_kill}};
  return std::make_unique<Gang<Play>>(std::move(play), 1, cpus, second, std::move(fairness), fewest);
}

std::unique_ptr<Duel> make_duel(std::unique_ptr<Side> subject, std::unique_ptr<Side> limit, std::string name = {}) {
  return std::make_unique<Duel>(std::move(subject), std::move(limit), std::move(name));
}

std::unique_ptr<Side> mapping(const Spot& spot, int workers, std::optional<std::ptrdiff_t> chunk, const Cpus& cpus) {
  return owner(Maps(setting_of(spot, workers, cpus), chunk), spot, workers, cpus, kFewestMapped);
}

Case blank(std::string workload, int workers, Placement placement, Measure measure) {
  Case cell;
  cell.primitive = "pool";
  cell.workload = std::move(workload);
  cell.placement = placement;
  cell.processes = workers + 1;
  cell.measure = measure;
  return cell;
}
template <class M>
Case blank(std::string workload, int workers, const Spot& spot, Placement placement, Measure measure) {
  Case cell = blank(std::move(workload), workers, placement, measure);
  cell.name = M::kName;
  cell.form = spot.form->name;
  cell.wait = to_string(spot.wait);
  return cell;
}

/// Asked and answered, one at a time, by one worker.
template <class M>
Case apply(std::size_t bytes, Placement placement, const Spot& spot) {
  Case cell = blank<M>("apply", 1, spot, placement, Measure::kLatency);
  cell.bytes = bytes;
  const auto limits = limits_for(spot.family, Traffic::kRoundTrip, spot.wait, placement, bytes);
  cell.limit = limits.front();
  cell.make = [=](const Cpus& cpus) {
    if (bytes < Payload::kWord) throw UnsupportedCell("a message must hold its 8-byte sequence number");
    if (bytes > spot.form->capabilities.max_message_bytes) {
      throw UnsupportedCell("at most " + std::to_string(spot.form->capabilities.max_message_bytes) +
                            " bytes of arguments");
    }
    auto subject = owner(Applies(setting_of(spot, 1, cpus), bytes), spot, 1, cpus);
    auto [name, limit] =
        fastest_limit<FlowRoundTrip>(limits, Traffic::kRoundTrip, {.bytes = bytes, .cpus = cpus, .subject_buffer = 0});
    return make_duel(std::move(subject), std::move(limit), std::move(name));
  };
  return cell;
}

struct Rival {
  std::string_view versus, limit;
  const char* object;
  std::optional<std::ptrdiff_t> chunk;
};
constexpr Rival kRivals[] = {
    {.versus = "versus_cpython_chunk_1", .limit = PythonSide::kName, .object = "Pool", .chunk = 1},
    {.versus = "versus_cpython_chunk_default", .limit = PythonSide::kName, .object = "Pool", .chunk = {}},
    // Its default is a chunk of one.
    {.versus = "versus_executor_chunk_1", .limit = kExecutor, .object = "ProcessPoolExecutor", .chunk = 1},
};

/// How many times the rate of what CPython has, in tasks that do nothing.
template <class M>
Case versus(const Rival& rival, const Spot& spot) {
  Case cell = blank<M>(std::string(rival.versus), kWorkers, spot, Placement::kFree, Measure::kTasks);
  cell.limit = rival.limit;
  cell.make = [=](const Cpus& cpus) {
    const PythonTask task = {.workload = "pool_map",
                             .object = rival.object,
                             .first = kWorkers,
                             .second = static_cast<std::size_t>(rival.chunk.value_or(0))};
    return std::make_unique<Duel>(mapping(spot, kWorkers, rival.chunk, cpus), std::make_unique<PythonSide>(task, cpus),
                                  std::string(), Pairing::kSameTime);
  };
  return cell;
}

/// What more workers than CPUs, or one alone, make of the rate.
template <class M>
Case crew(int workers, const Spot& spot) {
  Case cell = blank<M>("workers_" + std::to_string(workers), workers, spot, Placement::kFree, Measure::kTasks);
  cell.limit = kOwnCrew;
  cell.make = [=](const Cpus& cpus) {
    return make_duel(mapping(spot, workers, 1, cpus), mapping(spot, kWorkers, 1, cpus));
  };
  return cell;
}

struct Length {
  std::string_view workload;
  double usual_ns, rare_ns;
  std::uint64_t each;    ///< of so many tasks one is a rare one
  std::uint64_t fewest;  ///< in a block
};
constexpr Length kLengths[] = {
    {.workload = "tasks_0", .usual_ns = 0, .rare_ns = 0, .each = 10, .fewest = kFewestMapped},
    {.workload = "tasks_10us", .usual_ns = 10e3, .rare_ns = 10e3, .each = 10, .fewest = 200},
    {.workload = "tasks_1ms", .usual_ns = 1e6, .rare_ns = 1e6, .each = 10, .fewest = 20},
    {.workload = "tasks_mixed", .usual_ns = 10e3, .rare_ns = 1e6, .each = 10, .fewest = 100},
};

std::size_t cpus_here() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) throw_errno("sched_getaffinity");
  return static_cast<std::size_t>(CPU_COUNT(&set));
}

/// The share of the rate of processes that find their tasks without being given any.
template <class M>
Case tasks(const Length& length, const Spot& spot) {
  Case cell = blank<M>(std::string(length.workload), kWorkers, spot, Placement::kFree, Measure::kTasks);
  cell.limit = "bare_crew";
  cell.make = [=](const Cpus& cpus) {
    const Schedule schedule(length.usual_ns, length.rare_ns, length.each);
    const std::size_t members = std::min<std::size_t>(kWorkers, cpus_here());
    const auto second = [](std::size_t number) { return number > 0; };
    auto limit = std::make_unique<Gang<BareCrew>>(BareCrew(members, schedule), members, cpus, second,
                                                  nlohmann::json{{"workers", members}});
    return make_duel(owner(Labours(setting_of(spot, kWorkers, cpus), schedule), spot, kWorkers, cpus, length.fewest),
                     std::move(limit));
  };
  return cell;
}

template <class M>
Case life(Half half, const Spot& spot) {
  constexpr int kProcesses = kWorkers + 1;  // and who forks them
  Case cell = blank<M>(half == Half::kStart ? "start" : "stop", kWorkers, spot, Placement::kFree, Measure::kLatency);
  cell.limit = "fork_exit_wait_" + std::to_string(kProcesses);
  cell.make = [=](const Cpus& cpus) {
    const auto second = [](std::size_t /*number*/) { return false; };
    return make_duel(owner(Lives(setting_of(spot, kWorkers, cpus), half), spot, kWorkers, cpus),
                     std::make_unique<Gang<BareForks>>(BareForks(kProcesses), 1, cpus, second,
                                                       nlohmann::json{{"processes", kProcesses}}));
  };
  return cell;
}

/// CPython's by themselves, in what is not told by a rate.
void add_python(const Options& options, std::vector<Case>& cases) {
  for (const auto& [name, object] :
       {std::pair{PythonSide::kName, "Pool"}, std::pair{kExecutor, "ProcessPoolExecutor"}}) {
    const auto add = [&](std::string workload, int workers, std::size_t bytes, Placement placement) {
      Case cell = blank(workload, workers, placement, Measure::kLatency);
      cell.role = "peer";
      cell.name = name;
      cell.bytes = bytes;
      const PythonTask task = {.workload = "pool_" + workload,
                               .object = object,
                               .first = static_cast<std::size_t>(workers),
                               .second = 1,
                               .bytes = bytes};
      cell.make = [task](const Cpus& cpus) { return make_duel(std::make_unique<PythonSide>(task, cpus), nullptr); };
      cases.push_back(std::move(cell));
    };
    for (const std::size_t bytes : options.sizes) {
      for (const Placement placement : kPlacements) add("apply", 1, bytes, placement);
    }
    for (const char* half : {"start", "stop"}) add(half, kWorkers, 0, Placement::kFree);
  }
}

template <class M>
void add_cases(const Options& options, std::vector<Case>& cases) {
  for (const PoolForm& form : kPoolForms<M>) {
    for (const Wait wait : waits_of(form.waits)) {
      const Spot spot = {.form = &form, .wait = wait, .family = limit_of<M>()};
      for (const std::size_t bytes : options.sizes) {
        for (const Placement placement : kPlacements) cases.push_back(apply<M>(bytes, placement, spot));
      }
      for (const Rival& rival : kRivals) cases.push_back(versus<M>(rival, spot));
      for (const int workers : kCrews) cases.push_back(crew<M>(workers, spot));
      for (const Length& length : kLengths) cases.push_back(tasks<M>(length, spot));
      for (const Half half : {Half::kStart, Half::kStop}) cases.push_back(life<M>(half, spot));
    }
  }
}

template <class... M>
std::vector<Case> all_cases(const Options& options, TypeList<M...> /*mechanisms*/) {
  std::vector<Case> cases;
  (add_cases<M>(options, cases), ...);
  add_python(options, cases);
  return cases;
}

}  // namespace
}  // namespace crucible::bench

int main(int argc, char** argv) {
  return crucible::bench::run_benchmarks(argc, argv, [](const crucible::bench::Options& options) {
    return crucible::bench::all_cases(options, crucible::Mechanisms());
  });
}
