// Messages through a Queue of every mechanism of this build and every form of it: one to eight producers and as many
// consumers, each a process of its own. Against raw loops over the same kernel object, against what it is built on, and
// against what others have.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/queue.h"
#include "compose/forms.h"
#include "compose/queue.h"
#include "limits/choice.h"
#include "limits/pairing.h"
#include "limits/queue_raw.h"
#include "mechanisms.h"
#include "peers/cpython.h"
#include "support/case.h"
#include "support/flow.h"
#include "support/helpers.h"
#include "support/queue_flow.h"
#include "support/runner.h"
#include "support/subject.h"

namespace crucible::bench {
namespace {

constexpr std::size_t kBatch = 64;
constexpr std::size_t kLargestBatched = 64U << 10U;
constexpr Sides kOneToOne = {.producers = 1, .consumers = 1};
constexpr const char* kTooShort = "a message must hold its 8-byte sequence number";
constexpr std::string_view kOwnPair = "own_1x1";
constexpr std::string_view kOwnPipe = "own_pipe";

struct Pattern {
  std::string_view workload;
  Sides sides;
};
constexpr Pattern kPatterns[] = {
    {.workload = "one_way_1x1", .sides = kOneToOne},
    {.workload = "one_way_2x2", .sides = {.producers = 2, .consumers = 2}},
    {.workload = "one_way_4x4", .sides = {.producers = 4, .consumers = 4}},
    {.workload = "one_way_8x8", .sides = {.producers = 8, .consumers = 8}},
    {.workload = "fan_in_4x1", .sides = {.producers = 4, .consumers = 1}},
    {.workload = "fan_out_1x4", .sides = {.producers = 1, .consumers = 4}},
};

/// Where in the experiment a cell lies, beside its form and its workload.
struct Spot {
  const QueueForm* form;
  std::size_t bytes;
  Placement placement;
  Wait wait;
};

using Limit = std::pair<std::string, std::unique_ptr<Side>>;

/// The best setting of a raw queue, in the workload that `build` makes of one.
template <class Raw, class Build>
Limit best_queue(std::size_t bytes, Build build) {
  std::vector<std::function<std::unique_ptr<Side>()>> candidates;
  const std::vector<RawSetting> settings = Raw::settings(bytes);
  for (const RawSetting& setting : settings) candidates.emplace_back([&, setting] { return build(setting); });
  return {Raw::kName, fastest(candidates).side};
}
template <class Raw>
Limit raw_exchange(std::size_t bytes, Sides sides, const Cpus& cpus) {
  return best_queue<Raw>(bytes, [=](const RawSetting& setting) {
    Raw raw = Raw::make(bytes, setting);
    nlohmann::json fairness = raw.fairness;
    return make_exchange(std::move(raw), sides, bytes, cpus, std::move(fairness));
  });
}
template <class Raw>
Limit raw_round_trip(std::size_t bytes, const Cpus& cpus) {
  return best_queue<Raw>(bytes, [=](const RawSetting& setting) {
    const Raw forth = Raw::make(bytes, setting), back = Raw::make(bytes, setting);
    return std::make_unique<FlowRoundTrip<FlowEnd<Raw>>>(
        Link<FlowEnd<Raw>>{{back, forth}, {forth, back}, forth.fairness}, bytes, cpus);
  });
}

/// Runs `use` with the raw queue of a family that has one (of the same kernel object, or the library's own); false for
/// the others.
template <class Use>
bool with_raw(std::string_view family, Use use) {
  if (family == "pipe_raw") return use.template operator()<PipeQueueRaw>(), true;
  if (family == "unix_raw") return use.template operator()<UnixQueueRaw>(), true;
  if (family == "boost_raw") return use.template operator()<BoostQueueRaw>(), true;
  return false;
}

/// The helper processes that there are since this was made.
class Newcomers {
 public:
  std::vector<pid_t> found() const {
    std::vector<pid_t> now = known_helpers();
    std::erase_if(now, [this](pid_t helper) { return std::ranges::find(before_, helper) != before_.end(); });
    return now;
  }

 private:
  std::vector<pid_t> before_ = known_helpers();
};

template <class M, bool kNative>
struct FormClass {
  using type = ComposedQueue;
};
template <class M>
struct FormClass<M, true> {
  using type = typename M::Queue;
};

/// A form's queues, by their final class, whose calls are direct.
template <class M, bool kNative>
struct Queues {
  using Class = typename FormClass<M, kNative>::type;

  static auto make(const Spot& spot, std::size_t maxsize = 0) {
    QueueOptions options;
    options.maxsize = maxsize;
    options.wait = spot.wait;
    std::unique_ptr<Queue> made = spot.form->create({}, options);
    return QueueFlow<Class>{std::shared_ptr<Class>(&dynamic_cast<Class&>(*made.release()))};
  }
  static nlohmann::json fairness(const Spot& spot, std::size_t helpers, std::size_t maxsize = 0) {
    const Capabilities& declared = spot.form->capabilities;
    return {{"maxsize", maxsize},
            {"helper_processes", helpers},
            {"storage_bytes", declared.storage_bytes},
            {"outlives_sender", declared.outlives_sender},
            {"total_order", declared.total_order},
            {"survives_kill", declared.survives_kill}};
  }
  template <std::size_t kMany = 1>
  static std::unique_ptr<Side> exchange(const Spot& spot, Sides sides, const Cpus& cpus, std::size_t maxsize = 0) {
    const Newcomers helpers;
    auto flow = make(spot, maxsize);
    return make_exchange<QueueFlow<Class>, kMany>(std::move(flow), sides, spot.bytes, cpus,
                                                  fairness(spot, helpers.found().size(), maxsize), helpers.found());
  }
  static std::unique_ptr<Side> round_trip(const Spot& spot, const Cpus& cpus) {
    using End = FlowEnd<QueueFlow<Class>>;
    const Newcomers helpers;
    const auto forth = make(spot), back = make(spot);
    return std::make_unique<FlowRoundTrip<End>>(
        Link<End>{{back, forth}, {forth, back}, fairness(spot, helpers.found().size())}, spot.bytes, cpus,
        helpers.found());
  }

  static void check_size(const Spot& spot) {
    if (spot.bytes < Payload::kWord) throw UnsupportedCell(kTooShort);
    if (spot.bytes > spot.form->capabilities.max_message_bytes) {
      throw UnsupportedCell("at most " + std::to_string(spot.form->capabilities.max_message_bytes) +
                            " bytes in a message");
    }
  }
};

template <class M, bool kNative>
std::string_view limit_name(Sides sides) {
  constexpr std::string_view kFamily = limit_of<M>();
  std::string_view name;
  if (kNative && with_raw(kFamily, [&]<class Raw> { name = Raw::kName; })) return name;
  if (sides.members() > 2) return kOwnPair;
  return kFamily == "shared_memory" ? kOwnPipe : kFamily;
}

/// Where the mechanism's own kernel object or library is a queue, that by itself. Elsewhere, of two processes, what the
/// queue is made of; of more, two processes at the same queue.
template <class M, bool kNative>
Limit limit_for(const Spot& spot, Sides sides, const Cpus& cpus) {
  constexpr std::string_view kFamily = limit_of<M>();
  Limit limit;
  if (kNative && with_raw(kFamily, [&]<class Raw> { limit = raw_exchange<Raw>(spot.bytes, sides, cpus); })) {
    return limit;
  }
  const std::string name(limit_name<M, kNative>(sides));
  if (name == kOwnPair) return {name, Queues<M, kNative>::exchange(spot, kOneToOne, cpus)};
  if (name == kOwnPipe) {
    auto link = subject_link<M, typename M::Connection>({.wait = spot.wait});
    return {name,
            std::make_unique<FlowOneWay<ConnectionEnd<typename M::Connection>>>(std::move(link), spot.bytes, cpus)};
  }
  return fastest_limit<FlowOneWay>({kFamily}, Traffic::kOneWay,
                                   {.bytes = spot.bytes, .cpus = cpus, .subject_buffer = 0});
}

template <class M, bool kNative>
Limit round_trip_limit(const Spot& spot, const Cpus& cpus) {
  constexpr std::string_view kFamily = limit_of<M>();
  Limit limit;
  if (kNative && with_raw(kFamily, [&]<class Raw> { limit = raw_round_trip<Raw>(spot.bytes, cpus); })) return limit;
  return fastest_limit<FlowRoundTrip>(limits_for(kFamily, Traffic::kRoundTrip, spot.wait, spot.placement, spot.bytes),
                                      Traffic::kRoundTrip, {.bytes = spot.bytes, .cpus = cpus, .subject_buffer = 0});
}

std::unique_ptr<Duel> make_duel(std::unique_ptr<Side> subject, Limit limit) {
  return std::make_unique<Duel>(std::move(subject), std::move(limit.second), std::move(limit.first));
}

template <class M, bool kNative>
Case blank(std::string workload, Sides sides, const Spot& spot) {
  Case cell;
  cell.primitive = "queue";
  cell.workload = std::move(workload);
  cell.name = M::kName;
  cell.form = spot.form->name;
  cell.bytes = spot.bytes;
  cell.placement = spot.placement;
  cell.wait = to_string(spot.wait);
  cell.processes = static_cast<int>(sides.members());
  cell.measure = Measure::kRate;
  cell.limit = limit_name<M, kNative>(sides);
  return cell;
}

template <class M, bool kNative>
Case one_way(const Pattern& pattern, const Spot& spot) {
  Case cell = blank<M, kNative>(std::string(pattern.workload), pattern.sides, spot);
  cell.make = [spot, sides = pattern.sides](const Cpus& cpus) {
    Queues<M, kNative>::check_size(spot);
    return make_duel(Queues<M, kNative>::exchange(spot, sides, cpus), limit_for<M, kNative>(spot, sides, cpus));
  };
  return cell;
}

template <class M, bool kNative>
Case one_way_many(const Spot& spot) {
  Case cell = blank<M, kNative>("one_way_many_1x1", kOneToOne, spot);
  cell.make = [spot](const Cpus& cpus) {
    Queues<M, kNative>::check_size(spot);
    if (spot.bytes > kLargestBatched) throw UnsupportedCell("batches are measured with messages of up to 64 KiB");
    return make_duel(Queues<M, kNative>::template exchange<kBatch>(spot, kOneToOne, cpus),
                     limit_for<M, kNative>(spot, kOneToOne, cpus));
  };
  return cell;
}

/// What it costs that there is room for so many messages and no more: against the same queue without that bound.
template <class M, bool kNative>
Case bounded(std::size_t depth, const Spot& spot) {
  Case cell = blank<M, kNative>("depth_" + std::to_string(depth) + "_1x1", kOneToOne, spot);
  cell.limit = kOwnPair;
  cell.make = [spot, depth](const Cpus& cpus) {
    Queues<M, kNative>::check_size(spot);
    return make_duel(Queues<M, kNative>::exchange(spot, kOneToOne, cpus, depth),
                     {std::string(kOwnPair), Queues<M, kNative>::exchange(spot, kOneToOne, cpus)});
  };
  return cell;
}

template <class M, bool kNative>
Case round_trip(const Spot& spot) {
  Case cell = blank<M, kNative>("round_trip", kOneToOne, spot);
  cell.measure = Measure::kLatency;
  cell.messages_per_operation = 2;
  if (cell.limit == kOwnPipe) {
    cell.limit = limits_for(limit_of<M>(), Traffic::kRoundTrip, spot.wait, spot.placement, spot.bytes).front();
  }
  cell.make = [spot](const Cpus& cpus) {
    Queues<M, kNative>::check_size(spot);
    return make_duel(Queues<M, kNative>::round_trip(spot, cpus), round_trip_limit<M, kNative>(spot, cpus));
  };
  return cell;
}

Limit boost_peer(std::size_t bytes, Sides sides, const Cpus& cpus) {
  return raw_exchange<BoostQueueRaw>(bytes, sides, cpus);
}
Limit python_peer(std::size_t bytes, Sides sides, const Cpus& cpus) {
  const PythonTask task = {
      .workload = "exchange", .object = "Queue", .first = sides.producers, .second = sides.consumers, .bytes = bytes};
  return {std::string(PythonSide::kName), std::make_unique<PythonSide>(task, cpus)};
}

struct Peer {
  std::string_view versus, name;
  Limit (*make)(std::size_t bytes, Sides sides, const Cpus& cpus);
};
constexpr Peer kPeers[] = {{.versus = "versus_cpython_1x1", .name = PythonSide::kName, .make = python_peer},
                           {.versus = "versus_boost_1x1", .name = BoostQueueRaw::kName, .make = boost_peer}};

/// How many times the rate of what others have.
template <class M, bool kNative>
Case versus(const Peer& peer, const Spot& spot) {
  Case cell = blank<M, kNative>(std::string(peer.versus), kOneToOne, spot);
  cell.limit = peer.name;
  cell.make = [spot, make = peer.make](const Cpus& cpus) {
    Queues<M, kNative>::check_size(spot);
    auto subject = Queues<M, kNative>::exchange(spot, kOneToOne, cpus);
    auto [name, limit] = make(spot.bytes, kOneToOne, cpus);
    return std::make_unique<Duel>(std::move(subject), std::move(limit), std::move(name), Pairing::kSameTime);
  };
  return cell;
}

Case peer_alone(const Peer& peer, const Pattern& pattern, std::size_t bytes, Placement placement) {
  Case cell;
  cell.primitive = "queue";
  cell.workload = pattern.workload;
  cell.role = "peer";
  cell.name = peer.name;
  cell.bytes = bytes;
  cell.placement = placement;
  cell.processes = static_cast<int>(pattern.sides.members());
  cell.measure = Measure::kRate;
  cell.make = [make = peer.make, sides = pattern.sides, bytes](const Cpus& cpus) {
    if (bytes < Payload::kWord) throw UnsupportedCell(kTooShort);
    return std::make_unique<Duel>(make(bytes, sides, cpus).second, nullptr);
  };
  return cell;
}

template <class M, bool kNative>
void add_cells(const Spot& spot, std::vector<Case>& cases) {
  for (const Pattern& pattern : kPatterns) cases.push_back(one_way<M, kNative>(pattern, spot));
  cases.push_back(one_way_many<M, kNative>(spot));
  for (const std::size_t depth : {1, 1024}) cases.push_back(bounded<M, kNative>(depth, spot));
  cases.push_back(round_trip<M, kNative>(spot));
  for (const Peer& peer : kPeers) cases.push_back(versus<M, kNative>(peer, spot));
}

template <class M>
void add_cases(const Options& options, std::vector<Case>& cases) {
  for (const QueueForm& form : kQueueForms<M>) {
    for (const Placement placement : kPlacements) {
      for (const Wait wait : waits_of(form.waits)) {
        for (const std::size_t bytes : options.sizes) {
          const Spot spot = {.form = &form, .bytes = bytes, .placement = placement, .wait = wait};
          if constexpr (requires { typename M::Queue; }) {
            if (form.name == "native") {
              add_cells<M, true>(spot, cases);
              continue;
            }
          }
          add_cells<M, false>(spot, cases);
        }
      }
    }
  }
}

template <class... M>
std::vector<Case> all_cases(const Options& options, TypeList<M...> /*mechanisms*/) {
  std::vector<Case> cases;
  (add_cases<M>(options, cases), ...);
  for (const Peer& peer : kPeers) {
    for (const Pattern& pattern : kPatterns) {
      for (const std::size_t bytes : options.sizes) {
        for (const Placement placement : kPlacements) cases.push_back(peer_alone(peer, pattern, bytes, placement));
      }
    }
  }
  return cases;
}

}  // namespace
}  // namespace crucible::bench

int main(int argc, char** argv) {
  return crucible::bench::run_benchmarks(argc, argv, [](const crucible::bench::Options& options) {
    return crucible::bench::all_cases(options, crucible::Mechanisms());
  });
}
