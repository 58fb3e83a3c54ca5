// The table of mechanisms: what a program that chooses by name, and the conformance suite, hold.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "api/capabilities.h"
#include "api/connection.h"
#include "api/listener.h"
#include "api/manager.h"
#include "api/pool.h"
#include "api/queue.h"
#include "api/simple_queue.h"

namespace crucible {

/// One row of the run-time table. A null function: the mechanism has no such door, declared by leaving it out.
struct Mechanism {
  std::string_view name;
  Capabilities pipe;                    ///< of its Connection
  bool reads_ahead;                     ///< PipeOptions::read_ahead makes a difference
  std::span<const WaitStrategy> waits;  ///< those that a pipe can be asked for, the default first; none: no choice
  ConnectionPair (*make_pipe)(const PipeOptions& options);
  /// The end that `handle` (Connection::handle) describes, whose descriptors it takes over. An empty state: a duplex
  /// end of a kernel object made elsewhere. Throws Unsupported where the mechanism is not transferable, BadArgument for
  /// a wrong number of descriptors, a negative one, or a state that is none; what is not open fails on use with
  /// std::system_error. When it throws, the descriptors stay the caller's.
  std::unique_ptr<Connection> (*adopt)(const Handle& handle);
  std::string_view scheme;  ///< of its addresses; empty: it has no named door
  /// Throws BadArgument (not an address of this scheme), Exists (somebody listens there), std::system_error.
  std::unique_ptr<Listener> (*listen)(const std::string& address, const DoorOptions& options);
  /// Null: the deadline passed first. Throws BadArgument, NotFound, Refused, Auth, Eof (the listener went away),
  /// std::system_error.
  std::unique_ptr<Connection> (*connect)(const std::string& address, const DoorOptions& options, Deadline deadline);
  std::span<const QueueForm> queues;      ///< the ways in which it has a Queue, the default first
  std::span<const PoolForm> pools;        ///< and a Pool
  std::span<const ManagerForm> managers;  ///< and a Manager
  /// The ways in which it has dicts and lists, and no other managed objects, without a server: Managers whose every
  /// other operation is Unsupported.
  std::span<const ManagerForm> stores;
};

/// Throws BadArgument for a wait strategy that M does not offer.
template <class M>
void require_offered(const std::optional<WaitStrategy>& wait) {
  if (!wait) return;
  if constexpr (requires { M::kWaits; }) {
    for (const WaitStrategy offered : M::kWaits) {
      if (offered == *wait) return;
    }
  }
  throw BadArgument(std::string(M::kName) + " does not offer to wait by " + std::string(to_string(*wait)));
}

/// Builds the row of a mechanism's type M (see its mechanism.h): M::kName, M::kPipe, M::Connection with
/// `static pair(PipeOptions)`; where they exist `M::Connection::adopt(Handle)`, M::kReadsAhead, M::kWaits, and for the
/// named door M::kScheme with `static M::listen(...)` and `static M::connect(...)`. compose/forms.h adds the queues and
/// the pools.
template <class M>
constexpr Mechanism describe() {
  Mechanism row = {};
  row.name = M::kName;
  row.pipe = M::kPipe;
  row.make_pipe = [](const PipeOptions& options) -> ConnectionPair {
    require_offered<M>(options.wait);
    return M::Connection::pair(options);
  };
  row.adopt = [](const Handle&) -> std::unique_ptr<Connection> { throw Unsupported("adopt"); };
  row.listen = [](const std::string&, const DoorOptions&) -> std::unique_ptr<Listener> { throw Unsupported("listen"); };
  row.connect = [](const std::string&, const DoorOptions&, Deadline) -> std::unique_ptr<Connection> {
    throw Unsupported("connect");
  };
  constexpr bool kReadsAhead = requires { M::kReadsAhead; };
  row.reads_ahead = kReadsAhead;
  if constexpr (requires { M::kWaits; }) row.waits = M::kWaits;
  if constexpr (requires { M::Connection::adopt(Handle()); }) {
    row.adopt = [](const Handle& handle) -> std::unique_ptr<Connection> { return M::Connection::adopt(handle); };
  }
  if constexpr (requires { M::kScheme; }) {
    row.scheme = M::kScheme;
    row.listen = [](const std::string& address, const DoorOptions& options) -> std::unique_ptr<Listener> {
      require_offered<M>(options.pipe.wait);
      return M::listen(address, options);
    };
    row.connect = [](const std::string& address, const DoorOptions& options,
                     Deadline deadline) -> std::unique_ptr<Connection> {
      require_offered<M>(options.pipe.wait);
      return M::connect(address, options, deadline);
    };
  }
  return row;
}

/// The mechanisms of this build, in the order of impl/CMakeLists.txt.
std::span<const Mechanism> mechanisms() noexcept;

/// A mechanism chosen by name: the factory of every primitive. A value; cheap to copy.
class Context {
 public:
  explicit Context(const Mechanism& mechanism) noexcept : mechanism_(&mechanism) {}
  std::string_view name() const noexcept { return mechanism_->name; }
  const Mechanism& mechanism() const noexcept { return *mechanism_; }
  /// A connected pair. Throws std::system_error (descriptors exhausted), BadArgument.
  ConnectionPair pipe(const PipeOptions& options = {}) const { return mechanism_->make_pipe(options); }
  /// Opens a named door; see Mechanism::listen. The scheme alone ("unix:") lets the system choose the name.
  std::unique_ptr<Listener> listen(const std::string& address, const DoorOptions& options = {}) const {
    return mechanism_->listen(address, options);
  }
  /// Goes through one; see Mechanism::connect.
  std::unique_ptr<Connection> connect(const std::string& address, const DoorOptions& options = {}) const {
    return mechanism_->connect(address, options, Deadline::never());
  }
  /// Null: the duration passed first.
  template <class R, class P>
  std::unique_ptr<Connection> connect_for(const std::string& address, std::chrono::duration<R, P> duration,
                                          const DoorOptions& options = {}) const {
    return mechanism_->connect(address, options, Deadline::after(duration));
  }

  /// A queue for this process and those forked from it, and for others as well if it has an address; see QueueForm.
  std::unique_ptr<Queue> queue(const QueueOptions& options = {}) const { return default_queue().create({}, options); }
  std::unique_ptr<Queue> queue(const std::string& address, const QueueOptions& options = {}) const {
    return default_queue().create(address, options);
  }
  std::unique_ptr<Queue> open_queue(const std::string& address, const QueueOptions& options = {}) const {
    return default_queue().open(address, options, Deadline::never());
  }
  /// One that counts what is not yet done with: the same with QueueOptions::joinable.
  std::unique_ptr<Queue> joinable_queue(QueueOptions options = {}) const;
  SimpleQueue simple_queue() const;
  /// Worker processes, which are forks of this one as it is now; see PoolForm.
  std::unique_ptr<Pool> pool(const PoolOptions& options = {}) const;
  std::unique_ptr<Pool> pool(int processes, PoolOptions options = {}) const;

  /// A started server of objects, of this process's family, or at an address for others as well; see Manager.
  std::unique_ptr<Manager> manager(const ManagerOptions& options = {}) const { return manager({}, options); }
  std::unique_ptr<Manager> manager(const std::string& address, const ManagerOptions& options = {}) const;
  /// One that another program started; throws as Manager::connect().
  std::unique_ptr<Manager> open_manager(const std::string& address, const ManagerOptions& options = {}) const;
  /// Neither started nor connected yet.
  std::unique_ptr<Manager> unstarted_manager(const std::string& address = {}, const ManagerOptions& options = {}) const;
  /// A started store of dicts and lists, which needs no server (see Mechanism::stores); and one that another program
  /// made. Throw Unsupported: this mechanism has none; and as Manager::start() and connect().
  std::unique_ptr<Manager> store(const std::string& address = {}, const ManagerOptions& options = {}) const;
  std::unique_ptr<Manager> open_store(const std::string& address) const;
  /// Null: the duration passed first.
  template <class R, class P>
  std::unique_ptr<Queue> open_queue_for(const std::string& address, std::chrono::duration<R, P> duration,
                                        const QueueOptions& options = {}) const {
    return default_queue().open(address, options, Deadline::after(duration));
  }

 private:
  const QueueForm& default_queue() const;
  const ManagerForm& default_store() const;

  const Mechanism* mechanism_;
};

/// Throws BadArgument, listing the names there are, for a name that is none of them.
Context context(std::string_view name);

/// Sends a copy of `end`, which must be transferable, through a connection that passes descriptors; the sender may
/// close its own at once. Outcomes as Connection::send_descriptors; throws as Connection::handle.
Status send_connection(Connection& through, const Connection& end, Deadline deadline = Deadline::never());
/// Receives one. kBadArgument: the next message is none, or of a mechanism that this program does not have.
Status recv_connection(Connection& through, std::unique_ptr<Connection>& end, Deadline deadline = Deadline::never());

}  // namespace crucible
