#include "support/remote.h"

#include <pthread.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "api/connection.h"
#include "api/listener.h"
#include "api/mechanism.h"
#include "support/subject.h"
#include "support/transfer.h"

namespace crucible::bench {
namespace {

const std::string kRoundTrip = "round_trip";
const std::string kOneWay = "one_way";

const Mechanism& mechanism_at(const std::string& address) {
  const Mechanism* found = nullptr;
  for (const Mechanism& mechanism : mechanisms()) {
    const bool fits = !mechanism.scheme.empty() && address.starts_with(std::string(mechanism.scheme) + ':');
    if (fits && (found == nullptr || found->scheme.size() < mechanism.scheme.size())) found = &mechanism;
  }
  if (found == nullptr) throw BadArgument("no mechanism of this build has addresses like " + address);
  return *found;
}

DoorOptions door_options(const Options& options) {
  DoorOptions door;
  const ByteView key = as_bytes(options.key);
  if (!options.key.empty()) door.authkey = Bytes(key.begin(), key.end());
  return door;
}

/// The other host's clock is another clock: all times are of the measuring side, and what the server says is only its
/// usage, as microseconds and counts.
using Report = std::vector<std::int64_t>;
Report report(const Usage& usage) { return {usage.user_us, usage.system_us, usage.context_switches}; }
Usage usage_in(const Report& report) { return {report.at(0), report.at(1), report.at(2)}; }

/// One peer: the name of a workload and a size; then blocks, each announced by its number of operations.
void serve_peer(Connection& peer) {
  const auto workload = peer.recv<std::string>();
  const auto bytes = peer.recv<std::uint64_t>();
  if (bytes > Options::kLargest) throw BadArgument("too large a message was announced");
  const bool echoes = workload == kRoundTrip;
  const Payload payload(bytes);
  const Buffer buffer(bytes);
  std::uint64_t sequence = 0;
  const auto take = [&] {
    std::size_t received = 0;
    const Status status = peer.recv_bytes_into(buffer.span(), received);
    if (status != Status::kOk && status != Status::kTooShort) throw_status(status, "recv_bytes_into");
    payload.verify(buffer.span(), received, ++sequence);
    if (!echoes) return;
    if (const Status sent = peer.send_bytes(buffer.span()); sent != Status::kOk) throw_status(sent, "send_bytes");
  };
  while (true) {
    const auto operations = peer.recv<std::uint64_t>();
    take();
    if (!echoes) peer.send(Report());
    const Usage before = Usage::now();
    for (std::uint64_t i = 0; i < operations; ++i) take();
    peer.send(report(Usage::now() - before));
  }
}

class RemoteSide final : public Side {
 public:
  RemoteSide(std::unique_ptr<Connection> connection, const std::string& workload, std::size_t bytes)
      : connection_(std::move(connection)),
        echoes_(workload == kRoundTrip),
        payload_(bytes),
        buffer_(bytes),
        latencies_(kMostOperations) {
    payload_.fill(buffer_.span());
    connection_->send(workload);
    connection_->send(std::uint64_t{bytes});
  }

  Block run(std::uint64_t operations) override {
    connection_->send(operations);
    once();
    if (!echoes_) (void)connection_->recv<Report>();
    const Usage before = Usage::now();
    const std::int64_t start = Deadline::now_ns();
    std::int64_t last = start;
    for (std::uint64_t i = 0; i < operations; ++i) {
      once();
      const std::int64_t now = Deadline::now_ns();
      latencies_[i] = now - last;
      last = now;
    }
    Usage usage = Usage::now() - before;
    usage += usage_in(connection_->recv<Report>());
    if (!echoes_) return {.elapsed_ns = Deadline::now_ns() - start, .usage = usage, .latencies = {}};
    return {.elapsed_ns = last - start, .usage = usage, .latencies = std::span(latencies_).first(operations)};
  }
  nlohmann::json fairness() const override {
    nlohmann::json sheet = {{"limit", "not measured: no raw loop is at the other host"}};
    if (!echoes_) sheet["clock"] = "stops when the receiver's word that it verified all is here";
    return sheet;
  }

 private:
  void once() {
    payload_.stamp(buffer_.span(), ++sequence_);
    if (const Status sent = connection_->send_bytes(buffer_.span()); sent != Status::kOk) {
      throw_status(sent, "send_bytes");
    }
    if (!echoes_) return;
    std::size_t received = 0;
    const Status status = connection_->recv_bytes_into(buffer_.span(), received);
    if (status != Status::kOk && status != Status::kTooShort) throw_status(status, "recv_bytes_into");
    payload_.verify(buffer_.span(), received, sequence_);
  }

  std::unique_ptr<Connection> connection_;
  bool echoes_;
  Payload payload_;
  Buffer buffer_;
  std::vector<std::int64_t> latencies_;
  std::uint64_t sequence_ = 0;
};

Case remote_case(const Mechanism& mechanism, const std::string& workload, std::size_t bytes, const Options& options) {
  Case cell;
  cell.primitive = "pipe";
  cell.workload = workload;
  cell.name = mechanism.name;
  cell.bytes = bytes;
  cell.placement = Placement::kRemote;
  cell.call = "virtual";
  cell.wait = mechanism.waits.empty() ? "kernel" : crucible::to_string(mechanism.waits.front());
  cell.measure = workload == kRoundTrip ? Measure::kLatency : Measure::kRate;
  cell.messages_per_operation = workload == kRoundTrip ? 2 : 1;
  cell.make = [&mechanism, workload, bytes, options](const Cpus& /*cpus*/) {
    if (bytes < Payload::kWord) throw UnsupportedCell("a message must hold its 8-byte sequence number");
    if (bytes > std::min<std::uint64_t>(mechanism.pipe.max_message_bytes, Options::kLargest)) {
      throw UnsupportedCell("at most " + std::to_string(mechanism.pipe.max_message_bytes) + " bytes in a message");
    }
    auto connection = mechanism.connect(options.connect, door_options(options), Deadline::never());
    return std::make_unique<Duel>(std::make_unique<RemoteSide>(std::move(connection), workload, bytes), nullptr);
  };
  return cell;
}

}  // namespace

void serve_remote(const Options& options) {
  // One thread waits for the signals that end this; every later thread inherits the mask.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  const std::unique_ptr<Listener> listener = mechanism_at(options.listen).listen(options.listen, door_options(options));
  std::thread([&] {
    int signal = 0;
    sigwait(&ends, &signal);
    listener->close();  // takes the name away
    std::_Exit(EXIT_SUCCESS);
  }).detach();
  std::printf("%s\n", listener->address().c_str());
  std::fflush(stdout);
  while (true) {
    std::unique_ptr<Connection> peer;
    if (listener->accept(peer) != Status::kOk) continue;
    try {
      serve_peer(*peer);
    } catch (const Eof&) {
      // It has measured what it wanted.
    } catch (const std::exception& error) {
      std::fprintf(stderr, "a peer was given up: %s\n", error.what());
    }
  }
}

std::vector<Case> remote_cases(const Options& options) {
  const Mechanism& mechanism = mechanism_at(options.connect);
  std::vector<Case> cases;
  for (const std::size_t bytes : options.sizes) {
    for (const std::string& workload : {kRoundTrip, kOneWay}) {
      cases.push_back(remote_case(mechanism, workload, bytes, options));
    }
  }
  return cases;
}

}  // namespace crucible::bench
