// Messages through a Pipe of every mechanism of this build, against the bare loop over the same kernel object.
#include <fcntl.h>
#include <sys/socket.h>

#include <concepts>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/connection.h"
#include "api/mechanism.h"
#include "api/status.h"
#include "limits/pipe_raw.h"
#include "limits/unix_raw.h"
#include "mechanisms.h"
#include "support/case.h"
#include "support/runner.h"
#include "support/transfer.h"

namespace crucible::bench {
namespace {

constexpr std::size_t kBatch = 64;
constexpr std::size_t kLargestBatched = 64U << 10U;
constexpr std::size_t kVirtualBytes = 64;

/// An end as the workloads see it. C is a mechanism's final class, whose calls are direct, or Connection.
template <class C>
class ConnectionEnd {
 public:
  static constexpr bool kBatches = true;

  explicit ConnectionEnd(std::unique_ptr<C> connection) : connection_(std::move(connection)) {}

  void send(ByteView message) {
    const Status status = connection_->send_bytes(message);
    if (status != Status::kOk) [[unlikely]]
      throw_status(status, "send_bytes");
  }
  void send_many(std::span<const ByteView> messages) {
    std::size_t sent = 0;
    const Status status = connection_->send_many(messages, sent);
    if (status != Status::kOk) [[unlikely]]
      throw_status(status, "send_many");
  }
  std::size_t receive(ByteSpan buffer) {
    std::size_t received = 0;
    const Status status = connection_->recv_bytes_into(buffer, received);
    // Too long a message is wrong bytes: the length tells.
    if (status != Status::kOk && status != Status::kTooShort) [[unlikely]]
      throw_status(status, "recv_bytes_into");
    return received;
  }

 private:
  std::unique_ptr<C> connection_;
};

/// What the kernel holds per direction, read back; 0 where no descriptor tells.
std::size_t kernel_buffer(const Connection& connection, const Capabilities& capabilities) {
  if (!capabilities.pollable) return 0;
  const int descriptor = connection.descriptor();
  if (const int capacity = fcntl(descriptor, F_GETPIPE_SZ); capacity > 0) return static_cast<std::size_t>(capacity);
  int buffer = 0;
  socklen_t length = sizeof buffer;
  return getsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &buffer, &length) == 0 ? static_cast<std::size_t>(buffer) : 0;
}

template <class M>
constexpr std::string_view limit_name() {
  if constexpr (requires {
                  { M::kLimit } -> std::convertible_to<std::string_view>;
                }) {
    return M::kLimit;
  } else {
    return "unix_raw";
  }
}

template <class M>
constexpr int copies_per_message() {
  if constexpr (requires {
                  { M::kCopiesPerMessage } -> std::convertible_to<int>;
                }) {
    return M::kCopiesPerMessage;
  } else {
    return 2;  // into the transport and out of it, which byte calls cannot do without
  }
}

/// C is M::Connection, or Connection to make every call virtual.
template <class M, class C>
Link<ConnectionEnd<C>> subject_link() {
  constexpr bool kVirtual = std::same_as<C, Connection>;
  // By name, as a program that chooses at run time has it: no compiler sees through that.
  auto [here, there] = [] {
    if constexpr (kVirtual) {
      return context(M::kName).pipe();
    } else {
      return M::Connection::pair(PipeOptions{});
    }
  }();
  nlohmann::json fairness = {{"kernel_buffer_bytes", kernel_buffer(*here, M::kPipe)},
                             {"storage_bytes", M::kPipe.storage_bytes},
                             {"copies_per_message", copies_per_message<M>()},
                             {"sender_may_reuse_buffer", true},
                             {"outlives_sender", M::kPipe.outlives_sender}};
  return {ConnectionEnd<C>(std::move(here)), ConnectionEnd<C>(std::move(there)), std::move(fairness)};
}

template <class End>
using Stream = OneWay<End>;
template <class End>
using BatchedStream = OneWay<End, kBatch>;

template <template <class> class Workload, class Raw>
std::unique_ptr<Side> best_raw(std::size_t bytes, const Cpus& cpus, std::size_t subject_buffer) {
  std::vector<std::function<std::unique_ptr<Side>()>> candidates;
  const std::vector<RawSetting> settings = Raw::settings(bytes, subject_buffer);
  for (const RawSetting& setting : settings) {
    candidates.emplace_back([&, setting] {
      Link<Raw> link = Raw::make(setting);
      link.fairness["settings_tried"] = settings.size();
      return std::make_unique<Workload<Raw>>(std::move(link), bytes, cpus);
    });
  }
  return fastest(candidates);
}

template <template <class> class Workload>
std::unique_ptr<Side> limit_side(std::string_view limit, std::size_t bytes, const Cpus& cpus, std::size_t buffer) {
  if (limit == "pipe_raw") return best_raw<Workload, PipeRaw>(bytes, cpus, buffer);
  if (limit == "unix_raw") return best_raw<Workload, UnixRaw>(bytes, cpus, buffer);
  throw std::invalid_argument("there is no limit " + std::string(limit));
}

template <class M, class C, template <class> class Workload>
std::unique_ptr<Duel> make_duel(std::size_t bytes, const Cpus& cpus) {
  if (bytes < Payload::kWord) throw UnsupportedCell("a message must hold its 8-byte sequence number");
  if (bytes > M::kPipe.max_message_bytes) {
    throw UnsupportedCell("at most " + std::to_string(M::kPipe.max_message_bytes) + " bytes in a message");
  }
  auto link = subject_link<M, C>();
  const auto buffer = link.fairness["kernel_buffer_bytes"].template get<std::size_t>();
  auto subject = std::make_unique<Workload<ConnectionEnd<C>>>(std::move(link), bytes, cpus);
  return std::make_unique<Duel>(std::move(subject), limit_side<Workload>(limit_name<M>(), bytes, cpus, buffer));
}

template <class M>
Case blank(std::string workload, std::size_t bytes, Placement placement) {
  Case cell;
  cell.primitive = "pipe";
  cell.workload = std::move(workload);
  cell.name = M::kName;
  cell.bytes = bytes;
  cell.placement = placement;
  cell.limit = limit_name<M>();
  return cell;
}

template <class M, class C>
Case round_trip(std::size_t bytes, Placement placement) {
  Case cell = blank<M>("round_trip", bytes, placement);
  cell.call = std::same_as<C, Connection> ? "virtual" : "direct";
  cell.messages_per_operation = 2;
  cell.make = [bytes](const Cpus& cpus) { return make_duel<M, C, RoundTrip>(bytes, cpus); };
  return cell;
}

template <class M>
Case one_way(std::size_t bytes, Placement placement) {
  Case cell = blank<M>("one_way", bytes, placement);
  cell.measure = Measure::kRate;
  cell.make = [bytes](const Cpus& cpus) { return make_duel<M, typename M::Connection, Stream>(bytes, cpus); };
  return cell;
}

template <class M>
Case one_way_many(std::size_t bytes, Placement placement) {
  Case cell = blank<M>("one_way_many", bytes, placement);
  cell.measure = Measure::kRate;
  cell.make = [bytes](const Cpus& cpus) {
    if (bytes > kLargestBatched) throw UnsupportedCell("batches are measured with messages of up to 64 KiB");
    return make_duel<M, typename M::Connection, BatchedStream>(bytes, cpus);
  };
  return cell;
}

template <class M>
void add_cases(const Options& options, std::vector<Case>& cases) {
  for (const Placement placement : kPlacements) {
    for (const std::size_t bytes : options.sizes) {
      cases.push_back(round_trip<M, typename M::Connection>(bytes, placement));
      if (bytes == kVirtualBytes) cases.push_back(round_trip<M, Connection>(bytes, placement));
      cases.push_back(one_way<M>(bytes, placement));
      cases.push_back(one_way_many<M>(bytes, placement));
    }
  }
}

template <class... M>
std::vector<Case> all_cases(const Options& options, TypeList<M...> /*mechanisms*/) {
  std::vector<Case> cases;
  (add_cases<M>(options, cases), ...);
  return cases;
}

}  // namespace
}  // namespace crucible::bench

int main(int argc, char** argv) {
  return crucible::bench::run_benchmarks(argc, argv, [](const crucible::bench::Options& options) {
    return crucible::bench::all_cases(options, crucible::Mechanisms());
  });
}
