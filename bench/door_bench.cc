// The named door of every mechanism that has one: how fast programs that are no forks of each other meet, and how one
// process serves many. Against bare sockets.
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/connection.h"
#include "api/deadline.h"
#include "api/listener.h"
#include "core/wait.h"
#include "limits/socket_door.h"
#include "mechanisms.h"
#include "support/case.h"
#include "support/crowd.h"
#include "support/runner.h"
#include "support/subject.h"

namespace crucible::bench {
namespace {

constexpr std::size_t kMessageBytes = 64;
constexpr std::size_t kBareBytes = 8;

/// What both services of a mechanism share. Copied into every process of a crowd; there is one connection or listener
/// per process.
template <class M>
class Door {
 public:
  Door(Wait wait, bool keyed, std::size_t bytes) : payload_(std::max(bytes, Payload::kWord)), buffer_(bytes) {
    options_.pipe.wait = wait;
    if (keyed) options_.authkey = Bytes(32, std::byte{7});
    if (bytes > 0) payload_.fill(buffer_);
  }

  std::string open() {
    listener_ = M::listen(std::string(M::kScheme) + ":", options_);
    return listener_->address();
  }
  void enter(const std::string& address) { address_ = address; }
  nlohmann::json fairness() const {
    return {{"handshake", options_.authkey ? "mutual HMAC" : "without a key"}, {"message_bytes", buffer_.size()}};
  }

 protected:
  std::unique_ptr<Connection> accept() {
    std::unique_ptr<Connection> connection;
    check(listener_->accept(connection), "accept");
    return connection;
  }
  std::unique_ptr<Connection> connect() const { return M::connect(address_, options_, Deadline::never()); }
  bool talks() const noexcept { return !buffer_.empty(); }

  void answer(Connection& connection) {
    const std::size_t received = receive(connection);
    payload_.verify(buffer_, received, Payload::sequence_of(buffer_));
    check(connection.send_bytes(buffer_), "send_bytes");
  }
  void ask(Connection& connection) {
    payload_.stamp(buffer_, ++sequence_);
    check(connection.send_bytes(buffer_), "send_bytes");
    payload_.verify(buffer_, receive(connection), sequence_);
  }

 private:
  std::size_t receive(Connection& connection) {
    std::size_t received = 0;
    const Status status = connection.recv_bytes_into(buffer_, received);
    if (status != Status::kTooShort) check(status, "recv_bytes_into");
    return received;
  }
  static void check(Status status, const char* operation) {
    if (status != Status::kOk) throw_status(status, operation);
  }

  DoorOptions options_;
  Payload payload_;
  std::vector<std::byte> buffer_;
  std::uint64_t sequence_ = 0;
  std::string address_;
  std::shared_ptr<Listener> listener_;
};

/// Each operation is a connection and, where there are messages, one there and back.
template <class M>
class Visits : public Door<M> {
 public:
  using Door<M>::Door;
  void admit(std::size_t /*clients*/) {}
  void serve(std::uint64_t operations) {
    for (std::uint64_t i = 0; i < operations; ++i) {
      const std::unique_ptr<Connection> visitor = this->accept();
      if (this->talks()) this->answer(*visitor);
    }
  }
  std::int64_t act() {
    const std::int64_t start = Deadline::now_ns();
    const std::unique_ptr<Connection> connection = this->connect();
    if (this->talks()) this->ask(*connection);
    return Deadline::now_ns() - start;
  }
};

/// Connected for good; one process answers all that wait() shows it.
template <class M>
class Guests : public Door<M> {
 public:
  using Door<M>::Door;
  void enter(const std::string& address) {
    Door<M>::enter(address);
    own_ = this->connect();
  }
  void admit(std::size_t clients) {
    for (std::size_t i = 0; i < clients; ++i) {
      guests_.push_back(this->accept());
      all_.emplace_back(*guests_.back());
    }
  }
  void serve(std::uint64_t operations) {
    while (operations > 0) {
      for (const std::size_t ready : wait(all_)) {
        this->answer(*guests_[ready]);
        --operations;
      }
    }
  }
  std::int64_t act() {
    const std::int64_t start = Deadline::now_ns();
    this->ask(*own_);
    return Deadline::now_ns() - start;
  }

 private:
  std::shared_ptr<Connection> own_;
  std::vector<std::shared_ptr<Connection>> guests_;
  std::vector<WaitItem> all_;
};

struct Errand {
  std::string_view workload;
  std::size_t clients;
  std::size_t bytes;
  bool keyed, stays;
};
constexpr Errand kErrands[] = {
    {.workload = "connect", .clients = 1, .bytes = 0, .keyed = false, .stays = false},
    {.workload = "connect_key", .clients = 1, .bytes = 0, .keyed = true, .stays = false},
    {.workload = "first_message", .clients = 1, .bytes = kMessageBytes, .keyed = false, .stays = false},
    {.workload = "connect_10_clients", .clients = 10, .bytes = 0, .keyed = false, .stays = false},
    {.workload = "connect_100_clients", .clients = 100, .bytes = 0, .keyed = false, .stays = false},
    {.workload = "echo_1_client", .clients = 1, .bytes = kMessageBytes, .keyed = false, .stays = true},
    {.workload = "echo_10_clients", .clients = 10, .bytes = kMessageBytes, .keyed = false, .stays = true},
    {.workload = "echo_100_clients", .clients = 100, .bytes = kMessageBytes, .keyed = false, .stays = true},
};

template <class Subject, class Limit>
std::unique_ptr<Duel> make_duel(const Subject& subject, const Limit& limit, std::size_t clients, const Cpus& cpus) {
  return std::make_unique<Duel>(std::make_unique<Crowd<Subject>>(subject, clients, cpus),
                                std::make_unique<Crowd<Limit>>(limit, clients, cpus));
}

template <class M>
Case errand_case(const Errand& errand, Placement placement, Wait wait) {
  constexpr bool kTcp = M::kPipe.cross_host;
  Case cell;
  cell.primitive = "door";
  cell.workload = errand.workload;
  cell.name = M::kName;
  cell.bytes = errand.bytes;
  cell.placement = placement;
  cell.call = "virtual";
  cell.wait = to_string(wait);
  cell.limit = std::string(kTcp ? "tcp" : "unix") + (errand.stays ? "_echo" : "_connect");
  cell.processes = static_cast<int>(errand.clients) + 1;
  cell.measure = errand.stays ? Measure::kLoad : Measure::kConnections;
  cell.messages_per_operation = static_cast<double>(errand.clients) * (errand.stays ? 2 : 1);
  cell.samples_per_operation = errand.clients;
  cell.make = [errand, wait](const Cpus& cpus) {
    if (errand.stays) {
      return make_duel(Guests<M>(wait, errand.keyed, errand.bytes), SocketGuests(kTcp, errand.bytes), errand.clients,
                       cpus);
    }
    return make_duel(Visits<M>(wait, errand.keyed, errand.bytes),
                     SocketVisits(kTcp, std::max(errand.bytes, kBareBytes)), errand.clients, cpus);
  };
  return cell;
}

template <class M>
void add_cases(std::vector<Case>& cases) {
  if constexpr (requires { M::kScheme; }) {
    for (const Placement placement : kPlacements) {
      for (const Wait wait : waits_of<M>()) {
        for (const Errand& errand : kErrands) cases.push_back(errand_case<M>(errand, placement, wait));
      }
    }
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
  return crucible::bench::run_benchmarks(argc, argv, [](const crucible::bench::Options& /*options*/) {
    return crucible::bench::all_cases(crucible::Mechanisms());
  });
}
