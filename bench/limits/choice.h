// From the name of a limit to the loop itself.
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "limits/boost_raw.h"
#include "limits/line.h"
#include "limits/pairing.h"
#include "limits/pipe_raw.h"
#include "limits/ring_copy.h"
#include "limits/ring_u64.h"
#include "limits/tcp_raw.h"
#include "limits/unix_raw.h"
#include "support/duel.h"
#include "support/transfer.h"
#ifdef CRUCIBLE_ZEROMQ
#include "limits/zmq_raw.h"
#endif

namespace crucible::bench {

/// What a limit is made for.
struct LimitOrder {
  std::size_t bytes;
  Cpus cpus;
  std::size_t subject_buffer;  ///< what the kernel holds for the subject
};

/// The same workload over a raw loop, in the setting that is best for this message size and place.
template <template <class> class Workload, class Raw>
std::unique_ptr<Side> best_raw(const LimitOrder& order) {
  std::vector<std::function<std::unique_ptr<Side>()>> candidates;
  const std::vector<RawSetting> settings = Raw::settings(order.bytes, order.subject_buffer);
  for (const RawSetting& setting : settings) {
    candidates.emplace_back([&, setting] {
      Link<Raw> link = Raw::make(setting);
      link.fairness["settings_tried"] = settings.size();
      return std::make_unique<Workload<Raw>>(std::move(link), order.bytes, order.cpus);
    });
  }
  return fastest(candidates).side;
}

struct NamedLimit {
  std::string_view name;
  std::unique_ptr<Side> (*make)(const LimitOrder& order);
};

/// Loops over transports, for any workload: ONE LINE PER LIMIT.
template <template <class> class Workload>
std::vector<NamedLimit> transport_limits() {
  return {
      {"pipe_raw", best_raw<Workload, PipeRaw>},  {"unix_raw", best_raw<Workload, UnixRaw>},
      {"tcp_raw", best_raw<Workload, TcpRaw>},    {"boost_raw", best_raw<Workload, BoostRaw>},
#ifdef CRUCIBLE_ZEROMQ
      {"zmq_raw", best_raw<Workload, ZmqRawIpc>}, {"zmq_raw_tcp", best_raw<Workload, ZmqRawTcp>},
#endif
  };
}

/// Loops over shared memory fit one kind of traffic each: a line holds one message, a ring flows one way.
template <template <class> class Workload>
std::vector<NamedLimit> known_limits(Traffic traffic) {
  std::vector<NamedLimit> known = transport_limits<Workload>();
  if (traffic == Traffic::kRoundTrip) {
    known.push_back({"line_round_trip", best_raw<Workload, Line<Pausing>>});
    known.push_back({"yield_round_trip", best_raw<Workload, Line<Yielding>>});
    known.push_back({"futex_round_trip", best_raw<Workload, Line<Sleeping>>});
  } else {
    known.push_back({"ring_u64", best_raw<Workload, RingU64>});
    known.push_back({"ring_copy", best_raw<Workload, RingCopy>});
  }
  return known;
}

/// The fastest of the named limits, with its name.
template <template <class> class Workload>
std::pair<std::string, std::unique_ptr<Side>> fastest_limit(const std::vector<std::string_view>& names, Traffic traffic,
                                                            const LimitOrder& order) {
  const std::vector<NamedLimit> known = known_limits<Workload>(traffic);
  std::vector<std::function<std::unique_ptr<Side>()>> candidates;
  for (const std::string_view name : names) {
    const auto found = std::ranges::find(known, name, &NamedLimit::name);
    if (found == known.end()) throw std::invalid_argument("there is no limit " + std::string(name));
    candidates.emplace_back([make = found->make, &order] { return make(order); });
  }
  auto [side, index] = fastest(candidates);
  return {std::string(names[index]), std::move(side)};
}

}  // namespace crucible::bench
