// What is counted rather than timed, of every mechanism of this build: what becomes of a pipe whose
// peer is killed, how many system calls a message takes, and what objects hold.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/mechanism.h"
#include "api/pool.h"
#include "api/queue.h"
#include "api/status.h"
#include "mechanisms.h"
#include "support/case.h"
#include "support/death.h"
#include "support/footprint.h"
#include "support/payload.h"
#include "support/runner.h"
#include "support/spot.h"
#include "support/subject.h"
#include "support/system_calls.h"
#include "support/transfer.h"
#include "support/worker.h"

namespace crucible::bench {
namespace {

constexpr std::size_t kBytes = 64;

template <class End>
using Stream = OneWay<End>;

template <class M>
Case death(const Spot& spot) {
  Case cell = study_of<M>("pipe", "death", spot);
  cell.study = [wait = spot.wait](const Cpus& /*cpus*/) {
    return study_death([wait] { return context(M::kName).pipe({.wait = wait}); });
  };
  return cell;
}

void require(Status status, const char* operation) {
  if (status != Status::kOk) throw_status(status, operation);
}

/// Of one message of a round trip (two are counted) or of a stream.
template <class M, template <class> class Workload>
Case system_calls(std::string workload, double messages_per_operation, const Spot& spot) {
  Case cell = study_of<M>("pipe", std::move(workload), spot);
  cell.study = [spot, messages_per_operation](const Cpus& cpus) {
    using C = typename M::Connection;
    const auto make = [&]() -> std::unique_ptr<Side> {
      return std::make_unique<Workload<ConnectionEnd<C>>>(subject_link<M, C>({.wait = spot.wait}), spot.bytes, cpus);
    };
    return count_system_calls(make, messages_per_operation);
  };
  return cell;
}

/// Has `act` done by another process that has inherited everything, which stays until this is gone.
class Partner {
 public:
  explicit Partner(const std::function<void()>& act)
      : worker_(std::nullopt, [&act](Post& post) {
          (void)post.next_block();
          act();
          post.answer();
          (void)post.next_block();
        }) {
    worker_.order(1);
  }
  void await() { (void)worker_.await(); }

 private:
  Worker worker_;
};

void hold_pipes(const Mechanism& mechanism, const Spot& spot, int count, const std::function<void()>& look) {
  std::vector<ConnectionPair> pipes;
  for (int i = 0; i < count; ++i) pipes.push_back(mechanism.make_pipe({.wait = spot.wait}));
  Partner receiver([&] {
    Bytes message;
    for (auto& [here, there] : pipes) {
      here.reset();
      require(there->recv_bytes(message), "recv_bytes");
    }
  });
  const std::vector<std::byte> message(spot.bytes);
  for (auto& [here, there] : pipes) {
    there.reset();
    require(here->send_bytes(message), "send_bytes");
  }
  receiver.await();
  look();
}

void hold_queues(const QueueForm& form, const Spot& spot, int count, const std::function<void()>& look) {
  QueueOptions options;
  options.wait = spot.wait;
  std::vector<std::unique_ptr<Queue>> queues;
  for (int i = 0; i < count; ++i) queues.push_back(form.create({}, options));
  Partner consumer([&] {
    const Buffer buffer(spot.bytes);
    std::size_t received = 0;
    for (auto& queue : queues) require(queue->get_bytes_into(buffer.span(), received), "get_bytes_into");
  });
  const std::vector<std::byte> message(spot.bytes);
  for (auto& queue : queues) require(queue->put_bytes(message), "put_bytes");
  consumer.await();
  look();
}

int successor(int number) { return number + 1; }

/// The objects are the workers of one pool.
void hold_workers(const Mechanism& mechanism, const Spot& spot, int count, const std::function<void()>& look) {
  PoolOptions options;
  options.wait = spot.wait;
  const auto pool = Context(mechanism).pool(count, options);
  std::vector<int> numbers(static_cast<std::size_t>(4 * count));
  if (pool->map(&successor, numbers, 1).size() != numbers.size()) throw VerificationError("results are missing");
  look();
  pool->terminate();
}

template <class M>
void add_memory(std::vector<Case>& cases) {
  const Mechanism& mechanism = context(M::kName).mechanism();
  const auto add = [&](const char* primitive, std::string_view form, const std::vector<Wait>& waits, auto hold) {
    for (const Wait wait : waits) {
      const Spot spot = {.bytes = kBytes, .placement = Placement::kFree, .wait = wait};
      Case cell = study_of<M>(primitive, "memory", spot);
      cell.form = form;
      cell.study = [hold, spot](const Cpus& /*cpus*/) {
        return study_footprint([&](int count, const auto& look) { hold(spot, count, look); });
      };
      cases.push_back(std::move(cell));
    }
  };
  add("pipe", "native", waits_of<M>(),
      [&mechanism](const Spot& spot, int count, const auto& look) { hold_pipes(mechanism, spot, count, look); });
  for (const QueueForm& form : mechanism.queues) {
    add("queue", form.name, waits_of(form.waits),
        [&form](const Spot& spot, int count, const auto& look) { hold_queues(form, spot, count, look); });
  }
  for (const PoolForm& form : mechanism.pools) {
    add("pool", form.name, waits_of(form.waits),
        [&mechanism](const Spot& spot, int count, const auto& look) { hold_workers(mechanism, spot, count, look); });
  }
}

template <class M>
void add_cases(std::vector<Case>& cases) {
  add_memory<M>(cases);
  for (const Wait wait : waits_of<M>()) {
    const Spot spot = {.bytes = kBytes, .placement = Placement::kFree, .wait = wait};
    cases.push_back(death<M>(spot));
    cases.push_back(system_calls<M, RoundTrip>("system_calls", 2, spot));
    cases.push_back(system_calls<M, Stream>("system_calls_one_way", 1, spot));
  }
}

template <class... M>
std::vector<Case> all_cases(TypeList<M...> /*mechanisms*/) {
  std::vector<Case> cases;
  (add_cases<M>(cases), ...);
  return cases;
}

}  // namespace
}  // namespace crucible::bench

int main(int argc, char** argv) {
  const auto cases = [](const crucible::bench::Options& /*options*/) {
    return crucible::bench::all_cases(crucible::Mechanisms());
  };
  return crucible::bench::run_benchmarks(argc, argv, cases);
}
