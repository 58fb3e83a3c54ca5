// Objects that a server holds for others: dictionaries, lists and locks of a Manager over every mechanism of this
// build, with one to sixteen clients, each a process of its own. Against a bare round trip over the same transport,
// against a map that nobody shares, and against CPython's Manager and Redis.
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/manager.h"
#include "api/mechanism.h"
#include "compose/forms.h"
#include "limits/choice.h"
#include "limits/pairing.h"
#include "limits/private_map.h"
#include "mechanisms.h"
#include "peers/cpython.h"
#include "peers/redis.h"
#include "support/case.h"
#include "support/flow.h"
#include "support/gang.h"
#include "support/managed.h"
#include "support/runner.h"
#include "support/store_plays.h"
#include "support/subject.h"
#include "support/sync_plays.h"

namespace crucible::bench {
namespace {

constexpr std::uint64_t kEntries = 1000;
constexpr std::size_t kLargestValue = 64U << 10U;
constexpr std::size_t kMostBytes = 256U << 20U;
constexpr std::array<std::size_t, 5> kClients = {1, 2, 4, 8, 16};
constexpr std::array<std::uint64_t, 3> kManyEntries = {10'000, 100'000, 1'000'000};
constexpr std::string_view kOwnClient = "own_1";

struct NamedMix {
  std::string_view name;
  Mix mix;
};
constexpr NamedMix kMixes[] = {
    {.name = "get", .mix = kGets}, {.name = "set", .mix = kSets}, {.name = "mixed", .mix = kMixed}};

/// What is asked of a dictionary, and by how many.
struct Work {
  NamedMix mix = kMixes[0];
  std::size_t clients = 1;
  std::uint64_t entries = kEntries;
  bool pipelined = false;
};

/// A manager, or a store, and where in the experiment a cell of it lies.
struct Spot {
  const ManagerForm* form;
  std::string_view mechanism, family;
  std::size_t bytes;
  Placement placement;
  Wait wait;
};

void check_size(std::size_t bytes, std::uint64_t entries = 1) {
  if (bytes < Payload::kWord) throw UnsupportedCell("a value must hold its 8-byte stamp");
  if (bytes > kLargestValue) throw UnsupportedCell("values of up to 64 KiB are measured");
  if (bytes * entries > kMostBytes) throw UnsupportedCell("so many values of this size are more than 256 MiB");
}

// --- Sides ---------------------------------------------------------------------------------------------------------

template <class Play>
std::unique_ptr<Side> served(const Spot& spot, const Manager& manager, Play play, std::size_t clients, const Cpus& cpus,
                             nlohmann::json fairness) {
  fairness["helper_processes"] = 1;
  auto side = clients_of(std::move(play), clients, cpus, std::move(fairness), {*manager.pid()});
  if (spot.wait != WaitStrategy::kSpin) return side;
  return std::make_unique<StoppedBetween>(std::move(side), *manager.pid());
}

std::unique_ptr<Side> dict_side(const Spot& spot, const Work& work, const Cpus& cpus) {
  const Values values(spot.bytes, work.entries);
  ManagedStore store = filled_store(started_manager(*spot.form, spot.wait), values);
  const Manager& manager = *store.manager;
  const nlohmann::json fairness = {{"entries", work.entries}, {"pipelined", work.pipelined ? kPipelined : 1}};
  if (work.pipelined) {
    return served(spot, manager, StorePlay<ManagedStore, kPipelined>(store, work.mix.mix, work.clients, values),
                  work.clients, cpus, fairness);
  }
  return served(spot, manager, StorePlay<ManagedStore>(store, work.mix.mix, work.clients, values), work.clients, cpus,
                fairness);
}
std::unique_ptr<Side> list_side(const Spot& spot, std::size_t clients, const Cpus& cpus) {
  auto manager = started_manager(*spot.form, spot.wait);
  const ManagedList list = {.manager = manager, .list = manager->list<Bytes>()};
  return served(spot, *manager, AppendPlay(list, clients, Values(spot.bytes, 1)), clients, cpus,
                {{"emptied", "after each block"}});
}
std::unique_ptr<Side> lock_side(const Spot& spot, const Cpus& cpus) {
  auto manager = started_manager(*spot.form, spot.wait);
  const auto make = [&] { return ManagedLockThing{.manager = manager, .lock = manager->lock()}; };
  return served(spot, *manager, HandOff(std::array{make(), make(), make()}), 2, cpus, {{"locks", 3}});
}

/// Clients that do everything themselves.
std::unique_ptr<Side> store_dict_side(const Spot& spot, const Work& work, const Cpus& cpus) {
  const Values values(spot.bytes, work.entries);
  const ManagedStore store = filled_store(made_store(*spot.form, spot.bytes, work.entries), values);
  return clients_of(StorePlay<ManagedStore>(store, work.mix.mix, work.clients, values), work.clients, cpus,
                    {{"entries", work.entries}});
}
std::unique_ptr<Side> store_list_side(const Spot& spot, const Cpus& cpus) {
  const auto manager = made_store(*spot.form, spot.bytes, Side::kMostOperations + 2);
  const ManagedList list = {.manager = manager, .list = manager->list<Bytes>()};
  return clients_of(AppendPlay(list, 1, Values(spot.bytes, 1)), 1, cpus, {{"emptied", "after each block"}});
}

// --- Limits and peers ----------------------------------------------------------------------------------------------

/// There and back of one word, whatever the value's size: nothing that asks a server can be faster.
std::vector<std::string_view> round_trips(const Spot& spot) {
  return limits_for(spot.family, Traffic::kRoundTrip, spot.wait, spot.placement, Payload::kWord);
}
std::pair<std::string, std::unique_ptr<Side>> round_trip(const Spot& spot, const Cpus& cpus) {
  return fastest_limit<FlowRoundTrip>(round_trips(spot), Traffic::kRoundTrip,
                                      {.bytes = Payload::kWord, .cpus = cpus, .subject_buffer = 0});
}
std::unique_ptr<Side> python_dict(const Work& work, std::size_t bytes, const Cpus& cpus) {
  const PythonTask task = {.workload = "dict_" + std::string(work.mix.name),
                           .object = "Manager",
                           .first = work.clients,
                           .second = work.entries,
                           .bytes = bytes};
  return std::make_unique<PythonSide>(task, cpus);
}
std::unique_ptr<Side> redis_dict(const Work& work, std::size_t bytes, const Cpus& cpus) {
  return redis_side({.what = work.pipelined ? RedisTask::What::kPipelinedDict : RedisTask::What::kDict,
                     .mix = work.mix.mix,
                     .clients = work.clients,
                     .bytes = bytes,
                     .entries = work.entries},
                    cpus);
}

// --- Cells ---------------------------------------------------------------------------------------------------------

std::string name_of(const Work& work) {
  return std::string(work.mix.name) + '_' + std::to_string(work.clients) + (work.pipelined ? "_pipelined" : "");
}

Case blank(std::string workload, std::size_t clients, std::size_t bytes, Placement placement) {
  Case cell;
  cell.primitive = "manager";
  cell.workload = std::move(workload);
  cell.bytes = bytes;
  cell.placement = placement;
  cell.processes = static_cast<int>(clients) + 1;
  cell.measure = Measure::kLoad;
  return cell;
}
Case own(std::string workload, std::size_t clients, const Spot& spot, std::string_view limit) {
  Case cell = blank(std::move(workload), clients, spot.bytes, spot.placement);
  cell.name = spot.mechanism;
  cell.form = spot.form->name;
  cell.wait = to_string(spot.wait);
  cell.limit = limit;
  return cell;
}

using Build = std::function<std::unique_ptr<Side>(const Cpus& cpus)>;

std::function<std::unique_ptr<Duel>(const Cpus&)> duel(std::size_t bytes, std::uint64_t entries, Build subject,
                                                       Build limit, Pairing pairing = Pairing::kSameWork) {
  return [=](const Cpus& cpus) {
    check_size(bytes, entries);
    auto side = subject(cpus);
    return std::make_unique<Duel>(std::move(side), limit ? limit(cpus) : nullptr, std::string(), pairing);
  };
}
std::function<std::unique_ptr<Duel>(const Cpus&)> against_round_trip(const Spot& spot, Build subject) {
  return [=](const Cpus& cpus) {
    check_size(spot.bytes);
    auto side = subject(cpus);
    auto [name, limit] = round_trip(spot, cpus);
    return std::make_unique<Duel>(std::move(side), std::move(limit), std::move(name));
  };
}

/// One client against a bare round trip; several, and requests sent ahead of answers, against one who waits for each.
Case dict_cell(const Spot& spot, const Work& work) {
  const bool alone = work.clients == 1 && !work.pipelined;
  Case cell = own("dict_" + name_of(work), work.clients, spot, alone ? round_trips(spot).front() : kOwnClient);
  const Build subject = [=](const Cpus& cpus) { return dict_side(spot, work, cpus); };
  if (alone) {
    cell.make = against_round_trip(spot, subject);
  } else {
    const Build one = [=](const Cpus& cpus) { return dict_side(spot, {.mix = work.mix}, cpus); };
    cell.make = duel(spot.bytes, work.entries, subject, one);
  }
  return cell;
}
/// One client against a map that nobody shares, several against one.
Case store_dict_cell(const Spot& spot, const Work& work) {
  Case cell = own("dict_" + name_of(work), work.clients, spot, work.clients == 1 ? PrivateMap::kName : kOwnClient);
  cell.processes = static_cast<int>(work.clients);
  const Build subject = [=](const Cpus& cpus) { return store_dict_side(spot, work, cpus); };
  const Build limit = [=](const Cpus& cpus) {
    if (work.clients > 1) return store_dict_side(spot, {.mix = work.mix}, cpus);
    return private_map_side(work.mix.mix, Values(spot.bytes, work.entries), cpus);
  };
  cell.make = duel(spot.bytes, work.entries, subject, limit);
  return cell;
}
Case store_list_cell(const Spot& spot) {
  Case cell = own("list_append_1", 1, spot, PrivateList::kName);
  cell.processes = 1;
  cell.make = duel(
      spot.bytes, Side::kMostOperations, [=](const Cpus& cpus) { return store_list_side(spot, cpus); },
      [=](const Cpus& cpus) { return private_list_side(Values(spot.bytes, 1), cpus); });
  return cell;
}
Case large_dict_cell(const Spot& spot, std::uint64_t entries) {
  const Work work = {.entries = entries};
  Case cell = own("dict_get_of_" + std::to_string(entries), 1, spot, PrivateMap::kName);
  cell.make = duel(
      spot.bytes, entries, [=](const Cpus& cpus) { return dict_side(spot, work, cpus); },
      [=](const Cpus& cpus) { return private_map_side(work.mix.mix, Values(spot.bytes, entries), cpus); });
  return cell;
}
Case list_cell(const Spot& spot, std::size_t clients) {
  Case cell = own("list_append_" + std::to_string(clients), clients, spot,
                  clients == 1 ? round_trips(spot).front() : kOwnClient);
  const Build subject = [=](const Cpus& cpus) { return list_side(spot, clients, cpus); };
  if (clients == 1) {
    cell.make = against_round_trip(spot, subject);
  } else {
    cell.make = duel(spot.bytes, 1, subject, [=](const Cpus& cpus) { return list_side(spot, 1, cpus); });
  }
  return cell;
}
Case lock_cell(Spot spot) {
  spot.bytes = 0;
  Case cell = own("lock_handoff", 2, spot, round_trips(spot).front());
  cell.measure = Measure::kLatency;
  cell.messages_per_operation = 2;
  spot.bytes = Payload::kWord;
  cell.make = against_round_trip(spot, [=](const Cpus& cpus) { return lock_side(spot, cpus); });
  return cell;
}

using Peer = std::unique_ptr<Side> (*)(const Work& work, std::size_t bytes, const Cpus& cpus);

/// How many times the rate of what others have.
Case versus(const Spot& spot, std::string_view name, Peer peer, const Work& work) {
  Case cell = own("versus_" + std::string(name) + '_' + name_of(work), work.clients, spot, name);
  cell.make = duel(
      spot.bytes, work.entries, [=](const Cpus& cpus) { return dict_side(spot, work, cpus); },
      [=](const Cpus& cpus) { return peer(work, spot.bytes, cpus); }, Pairing::kSameTime);
  return cell;
}

void add_cells(const Spot& spot, std::vector<Case>& cases) {
  for (const NamedMix& mix : kMixes) {
    for (const std::size_t clients : kClients) cases.push_back(dict_cell(spot, {.mix = mix, .clients = clients}));
    cases.push_back(dict_cell(spot, {.mix = mix, .pipelined = true}));
  }
  for (const std::uint64_t entries : kManyEntries) cases.push_back(large_dict_cell(spot, entries));
  for (const std::size_t clients : {1, 4}) cases.push_back(list_cell(spot, clients));
  for (const std::size_t clients : {1, 2}) {
    for (const NamedMix& mix : kMixes) {
      const Work work = {.mix = mix, .clients = clients};
      cases.push_back(versus(spot, PythonSide::kName, python_dict, work));
      cases.push_back(versus(spot, kRedis, redis_dict, work));
    }
  }
  cases.push_back(versus(spot, kRedis, redis_dict, {.pipelined = true}));
}

template <class M>
void add_stores(const Options& options, std::vector<Case>& cases) {
  for (const ManagerForm& form : kStoreForms<M>) {
    for (const Placement placement : kPlacements) {
      for (const std::size_t bytes : options.sizes) {
        const Spot spot = {.form = &form,
                           .mechanism = M::kName,
                           .family = limit_of<M>(),
                           .bytes = bytes,
                           .placement = placement,
                           .wait = {}};
        for (const NamedMix& mix : kMixes) {
          for (const std::size_t clients : {1, 2, 4}) {
            cases.push_back(store_dict_cell(spot, {.mix = mix, .clients = clients}));
          }
        }
        cases.push_back(store_list_cell(spot));
      }
    }
  }
}

template <class M>
void add_mechanism(const Options& options, std::vector<Case>& cases) {
  for (const ManagerForm& form : kManagerForms<M>) {
    for (const Placement placement : kPlacements) {
      for (const Wait wait : waits_of(form.waits)) {
        Spot spot = {.form = &form,
                     .mechanism = M::kName,
                     .family = limit_of<M>(),
                     .bytes = 0,
                     .placement = placement,
                     .wait = wait};
        cases.push_back(lock_cell(spot));
        for (const std::size_t bytes : options.sizes) {
          spot.bytes = bytes;
          add_cells(spot, cases);
        }
      }
    }
  }
}

/// What others reach by themselves, in the same workloads.
void add_peers(std::size_t bytes, Placement placement, std::vector<Case>& cases) {
  const auto add = [&](std::string workload, std::size_t clients, std::string_view name, std::string_view role,
                       std::uint64_t entries, Build build) {
    Case cell = blank(std::move(workload), clients, bytes, placement);
    cell.name = name;
    cell.role = role;
    cell.make = duel(bytes, entries, std::move(build), nullptr);
    cases.push_back(std::move(cell));
  };
  const auto add_dict = [&](std::string_view name, Peer peer, const Work& work) {
    add("dict_" + name_of(work), work.clients, name, "peer", work.entries,
        [=](const Cpus& cpus) { return peer(work, bytes, cpus); });
  };
  for (const NamedMix& mix : kMixes) {
    for (const std::size_t clients : kClients) {
      add_dict(PythonSide::kName, python_dict, {.mix = mix, .clients = clients});
      add_dict(kRedis, redis_dict, {.mix = mix, .clients = clients});
    }
    add_dict(kRedis, redis_dict, {.mix = mix, .pipelined = true});
    add("dict_" + std::string(mix.name) + "_1", 0, PrivateMap::kName, "limit", kEntries,
        [=](const Cpus& cpus) { return private_map_side(mix.mix, Values(bytes, kEntries), cpus); });
  }
  for (const std::size_t clients : {1, 4}) {
    const std::string workload = "list_append_" + std::to_string(clients);
    add(workload, clients, PythonSide::kName, "peer", 1, [=](const Cpus& cpus) {
      return std::make_unique<PythonSide>(
          PythonTask{.workload = "list_append", .object = "Manager", .first = clients, .bytes = bytes}, cpus);
    });
    add(workload, clients, kRedis, "peer", 1, [=](const Cpus& cpus) {
      return redis_side({.what = RedisTask::What::kList, .clients = clients, .bytes = bytes, .entries = 1}, cpus);
    });
  }
}
void add_python_lock(Placement placement, std::vector<Case>& cases) {
  Case cell = blank("lock_handoff", 2, 0, placement);
  cell.name = PythonSide::kName;
  cell.role = "peer";
  cell.measure = Measure::kLatency;
  cell.messages_per_operation = 2;
  cell.make = [](const Cpus& cpus) {
    const PythonTask task = {.workload = "handoff", .object = "Manager.Lock"};
    return std::make_unique<Duel>(std::make_unique<PythonSide>(task, cpus), nullptr);
  };
  cases.push_back(std::move(cell));
}

template <class... M>
std::vector<Case> all_cases(const Options& options, TypeList<M...> /*mechanisms*/) {
  std::vector<Case> cases;
  (add_mechanism<M>(options, cases), ...);
  (add_stores<M>(options, cases), ...);
  for (const Placement placement : kPlacements) {
    add_python_lock(placement, cases);
    for (const std::size_t bytes : options.sizes) add_peers(bytes, placement, cases);
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
