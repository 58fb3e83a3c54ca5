// Locks, semaphores, conditions, events and barriers between processes: alone, handed over, fought for. Against the
// robust mutex of the C library and bare futexes; peers are what else a program can use.
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/barrier.h"
#include "core/condition.h"
#include "core/event.h"
#include "core/lock.h"
#include "core/rlock.h"
#include "core/semaphore.h"
#include "limits/line.h"
#include "limits/sync_raw.h"
#include "peers/cpython.h"
#include "support/case.h"
#include "support/flow.h"
#include "support/gang.h"
#include "support/runner.h"
#include "support/sync_plays.h"

namespace crucible::bench {
namespace {

constexpr std::uint32_t kMostParties = 32;
constexpr std::array<std::size_t, 3> kContenders = {2, 4, 8};
constexpr std::array<std::uint32_t, 3> kWaiters = {2, 4, 8};
constexpr std::array<std::uint32_t, 5> kParties = {2, 4, 8, 16, kMostParties};

using Build = std::function<std::unique_ptr<Side>(const Cpus& cpus)>;

template <class Play>
std::unique_ptr<Side> gang(Play play, std::size_t members, const Cpus& cpus, std::uint64_t fewest = 20) {
  const auto second = [](std::size_t number) { return number % 2 == 1; };
  return std::make_unique<Gang<Play>>(std::move(play), members, cpus, second, nlohmann::json{{"members", members}},
                                      fewest);
}
/// Long enough that the scheduler gives each of them a CPU meanwhile.
template <class Thing>
std::unique_ptr<Side> contest(Thing thing, std::size_t contenders, const Cpus& cpus) {
  return gang(Contended<Thing>(std::move(thing)), contenders, cpus, 4000 * contenders);
}
/// One that wakes all the others, which share the second CPU.
template <class Play>
std::unique_ptr<Side> audience(Play play, std::size_t members, const Cpus& cpus) {
  const auto second = [](std::size_t number) { return number > 0; };
  return std::make_unique<Gang<Play>>(std::move(play), members, cpus, second, nlohmann::json{{"members", members}});
}
Build python(const char* workload, const char* object, std::size_t first = 1) {
  return [=](const Cpus& cpus) {
    return std::make_unique<PythonSide>(PythonTask{.workload = workload, .object = object, .first = first}, cpus);
  };
}

/// What a cell of a workload has, whoever is its subject.
struct Workload {
  std::string name;
  int processes;
  Measure measure;
  double wakes;  ///< messages_per_operation: what a cost is divided by
  std::string limit;
  Build build_limit;
};
struct Subject {
  std::string name;
  std::string role;
  Build build;
  std::string wait = "kernel";
};

std::unique_ptr<Side> futex_round_trip(const Cpus& cpus) {
  constexpr std::size_t kBytes = sizeof(std::uint64_t);
  return std::make_unique<FlowRoundTrip<Line<Sleeping>>>(Line<Sleeping>::make({.buffer_bytes = kBytes}), kBytes, cpus);
}

Workload uncontended() {
  return {.name = "uncontended",
          .processes = 1,
          .measure = Measure::kPairs,
          .wakes = 1,
          .limit = "mutex_pair",
          .build_limit = [](const Cpus& cpus) { return gang(Uncontended(RobustThing()), 1, cpus); }};
}
Workload handoff() {
  return {.name = "handoff",
          .processes = 2,
          .measure = Measure::kLatency,
          .wakes = 2,
          .limit = "futex_round_trip",
          .build_limit = futex_round_trip};
}
Workload contended(std::size_t contenders) {
  return {.name = "contended_" + std::to_string(contenders),
          .processes = static_cast<int>(contenders),
          .measure = Measure::kPairs,
          .wakes = 1,
          .limit = "mutex_robust",
          .build_limit = [=](const Cpus& cpus) { return contest(RobustThing(), contenders, cpus); }};
}
Workload ping_pong() {
  return {.name = "ping_pong",
          .processes = 2,
          .measure = Measure::kLatency,
          .wakes = 2,
          .limit = "futex_round_trip",
          .build_limit = futex_round_trip};
}
template <class Event>
std::unique_ptr<Side> fan_out_side(std::array<Event, 2> events, std::uint32_t waiters, const Cpus& cpus) {
  return audience(FanOut<Event>(std::move(events), waiters), waiters + 1, cpus);
}
Workload fan_out(std::uint32_t waiters) {
  return {.name = "wake_" + std::to_string(waiters),
          .processes = static_cast<int>(waiters) + 1,
          .measure = Measure::kLatency,
          .wakes = static_cast<double>(waiters),
          .limit = "futex_wakes",
          .build_limit = [=](const Cpus& cpus) { return fan_out_side(std::array<FutexEvent, 2>{}, waiters, cpus); }};
}
Workload meeting(std::uint32_t parties) {
  return {
      .name = "meet_" + std::to_string(parties),
      .processes = static_cast<int>(parties),
      .measure = Measure::kLatency,
      .wakes = static_cast<double>(parties - 1),
      .limit = "futex_wakes",
      .build_limit = [=](const Cpus& cpus) { return gang(Meeting(FutexBarrier(parties), parties), parties, cpus); }};
}

class Cells {
 public:
  void add(const Workload& workload, const Subject& subject) {
    const bool alone = workload.processes == 1;
    for (const Placement placement : kPlacements) {
      if (alone && placement == Placement::kCross) continue;  // there is nobody on the other CPU
      Case cell;
      cell.primitive = "sync";
      cell.workload = workload.name;
      cell.name = subject.name;
      cell.role = subject.role;
      cell.wait = subject.wait;
      cell.placement = placement;
      cell.limit = workload.limit;
      cell.processes = workload.processes;
      cell.measure = workload.measure;
      cell.messages_per_operation = workload.wakes;
      cell.make = [workload, build = subject.build](const Cpus& cpus) {
        auto side = build(cpus);
        return std::make_unique<Duel>(std::move(side), workload.build_limit(cpus));
      };
      cases_.push_back(std::move(cell));
    }
  }
  std::vector<Case> take() { return std::move(cases_); }

 private:
  std::vector<Case> cases_;
};

/// Of a lock, `make()` being a new free one. `python`: the class of CPython's multiprocessing, for its workloads.
template <class Make>
void add_lock(Cells& cells, const std::string& name, const std::string& role, Make make, const std::string& wait) {
  const auto add = [&](const Workload& workload, Build build) {
    cells.add(workload, {.name = name, .role = role, .build = std::move(build), .wait = wait});
  };
  add(uncontended(), [make](const Cpus& cpus) { return gang(Uncontended(make()), 1, cpus); });
  add(handoff(), [make](const Cpus& cpus) { return gang(HandOff(std::array{make(), make(), make()}), 2, cpus); });
  for (const std::size_t contenders : kContenders) {
    add(contended(contenders), [make, contenders](const Cpus& cpus) { return contest(make(), contenders, cpus); });
  }
}
/// Of a semaphore, `make(permits)` being a new one.
template <class Make>
void add_semaphore(Cells& cells, const std::string& name, const std::string& role, Make make, const std::string& wait) {
  const auto add = [&](const Workload& workload, Build build) {
    cells.add(workload, {.name = name, .role = role, .build = std::move(build), .wait = wait});
  };
  add(uncontended(), [make](const Cpus& cpus) { return gang(Uncontended(make(1)), 1, cpus); });
  add(handoff(), [make](const Cpus& cpus) { return gang(Permits(make(0), make(0)), 2, cpus); });
  for (const std::size_t contenders : kContenders) {
    add(contended(contenders), [make, contenders](const Cpus& cpus) { return contest(make(1), contenders, cpus); });
  }
}
template <class Make>
void add_condition(Cells& cells, const std::string& name, const std::string& role, Make make, const std::string& wait) {
  cells.add(ping_pong(), {.name = name,
                          .role = role,
                          .build = [make](const Cpus& cpus) { return gang(PingPong(make()), 2, cpus); },
                          .wait = wait});
}
template <class Make>
void add_event(Cells& cells, const std::string& name, const std::string& role, Make make, const std::string& wait) {
  for (const std::uint32_t waiters : kWaiters) {
    const auto build = [make, waiters](const Cpus& cpus) {
      return fan_out_side(std::array{make(), make()}, waiters, cpus);
    };
    cells.add(fan_out(waiters), {.name = name, .role = role, .build = build, .wait = wait});
  }
}
template <class Make>
void add_barrier(Cells& cells, const std::string& name, const std::string& role, Make make, const std::string& wait) {
  for (const std::uint32_t parties : kParties) {
    const auto build = [make, parties](const Cpus& cpus) {
      return gang(Meeting(make(parties), parties), parties, cpus);
    };
    cells.add(meeting(parties), {.name = name, .role = role, .build = build, .wait = wait});
  }
}

/// The same on every mechanism, which have no part in it.
template <class L>
struct OwnedThing {
  void acquire() {
    if (const Status status = lock->acquire(); status != Status::kOk) throw_status(status, "acquire");
  }
  void release() { lock->release(); }
  std::shared_ptr<L> lock = std::make_shared<L>();
};

struct PermitThing {
  explicit PermitThing(unsigned permits) : semaphore(std::make_shared<Semaphore>(permits)) {}
  void acquire() { semaphore->acquire(); }
  void release() { semaphore->release(); }
  std::shared_ptr<Semaphore> semaphore;
};
struct NoticeThing {
  NoticeThing() : held(std::make_shared<Lock>()), condition(std::make_shared<Condition>(*held)) {}
  void lock() { condition->lock(); }
  void unlock() { condition->unlock(); }
  void wait() {
    if (const Status status = condition->wait(); status != Status::kOk) throw_status(status, "wait");
  }
  void notify() { condition->notify(); }
  std::shared_ptr<Lock> held;
  std::shared_ptr<Condition> condition;
};
struct EventThing {
  void set() { event->set(); }
  void clear() { event->clear(); }
  void wait() { (void)event->wait(); }
  std::shared_ptr<Event> event = std::make_shared<Event>();
};
struct BarrierThing {
  explicit BarrierThing(std::uint32_t parties) : barrier(std::make_shared<Barrier>(parties)) {}
  void wait() { barrier->wait(); }
  std::shared_ptr<Barrier> barrier;
};

void add_own(Cells& cells) {
  const std::string role = "mechanism", wait = "kernel";
  add_lock(cells, "lock", role, [] { return OwnedThing<Lock>(); }, wait);
  add_lock(cells, "rlock", role, [] { return OwnedThing<RLock>(); }, wait);
  add_semaphore(cells, "semaphore", role, [](unsigned permits) { return PermitThing(permits); }, wait);
  add_condition(cells, "condition", role, [] { return NoticeThing(); }, wait);
  add_event(cells, "event", role, [] { return EventThing(); }, wait);
  add_barrier(cells, "barrier", role, [](std::uint32_t parties) { return BarrierThing(parties); }, wait);
}

void add_peers(Cells& cells) {
  const std::string role = "peer", wait = "kernel";
  add_lock(cells, "pthread_mutex", role, [] { return PlainThing(); }, wait);
  add_lock(cells, "pthread_mutex_robust", role, [] { return RobustThing(); }, wait);
  add_lock(cells, "boost_mutex", role, [] { return BoostMutexThing(); }, wait);
  add_semaphore(cells, "sem_t", role, [](unsigned permits) { return PosixSemaphoreThing(permits); }, wait);
  add_semaphore(cells, "boost_semaphore", role, [](unsigned permits) { return BoostSemaphoreThing(permits); }, wait);
  add_condition(cells, "pthread_cond", role, [] { return ConditionThing<PosixCondition>(); }, wait);
  add_condition(cells, "boost_condition", role, [] { return ConditionThing<BoostCondition>(); }, wait);
  add_barrier(cells, "pthread_barrier", role, [](std::uint32_t parties) { return PosixBarrier(parties); }, wait);
}

void add_python(Cells& cells) {
  const auto add = [&](const Workload& workload, const char* name, Build build) {
    cells.add(workload, {.name = name, .role = "peer", .build = std::move(build)});
  };
  for (const auto& [name, object] : {std::pair{"cpython_lock", "Lock"}, std::pair{"cpython_rlock", "RLock"},
                                     std::pair{"cpython_semaphore", "Semaphore"}}) {
    add(uncontended(), name, python("uncontended", object));
    add(handoff(), name, python("handoff", object));
    for (const std::size_t contenders : kContenders) {
      add(contended(contenders), name, python("contended", object, contenders));
    }
  }
  add(ping_pong(), "cpython_condition", python("ping_pong", "Condition"));
  for (const std::uint32_t waiters : kWaiters) {
    add(fan_out(waiters), "cpython_event", python("fan_out", "Event", waiters));
  }
  for (const std::uint32_t parties : kParties) {
    add(meeting(parties), "cpython_barrier", python("barrier", "Barrier", parties));
  }
}

std::vector<Case> all_cases(const Options& /*options*/) {
  Cells cells;
  add_own(cells);
  add_peers(cells);
  add_python(cells);
  return cells.take();
}

}  // namespace
}  // namespace crucible::bench

int main(int argc, char** argv) { return crucible::bench::run_benchmarks(argc, argv, crucible::bench::all_cases); }
