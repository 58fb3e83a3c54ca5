// Manager: a process that holds objects for any number of others.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "api/capabilities.h"
#include "api/deadline.h"
#include "api/listener.h"
#include "api/managed_containers.h"
#include "api/managed_pool.h"
#include "api/managed_queue.h"
#include "api/managed_sync.h"
#include "api/managed_types.h"
#include "api/object_server.h"
#include "api/proxy.h"

namespace crucible {

struct ManagerOptions {
  /// The door's key and time limit. A manager without an address has the process's own key (Process::authkey()), which
  /// all its relatives know, however started; one with an address and no key takes the kernel's word.
  DoorOptions door = {};
  ManagedTypes types = {};
  std::size_t memory_bytes =
      0;  ///< address space of the server process; what goes beyond throws std::bad_alloc. 0: any
  /// How this process waits for answers and the server, if it is started here, for requests. Nothing: the mechanism's
  /// default, which a proxy that came in a message has, too. BadArgument unless the mechanism offers this one.
  std::optional<WaitStrategy> wait = {};
};

/// Starts a server of objects, connects to one, or is one. Objects are made here and used by their proxies, which any
/// process may be given, in any way; they do not need the manager. See managed:: for the types.
///
/// The server holds nobody up for anybody: not for a client that waits, sends garbage or half a request, does not read
/// its answers or dies. With a client go the locks and permits it holds, its place in every line, and its references.
/// The server ignores SIGINT, and ends at shutdown(), or when nobody is left who could reach it: no process of its
/// creator's family, and no program that connected.
///
/// Any thread. In a forked child the handle makes objects, too, but shutdown() is the starting process's.
class Manager {
 public:
  Manager() = default;
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;
  /// In the process that started it, shutdown().
  virtual ~Manager() = default;

  /// Starts the server; `initializer` runs in it first; what that throws comes out as Broken, its text inside.
  /// StateError: started, connected or shut down before. Throws BadArgument (the address), Exists, std::system_error.
  virtual void start(const std::function<void()>& initializer = {}) = 0;
  /// Uses the server at the address. False: the deadline passed first. StateError as start(). Throws NotFound, Refused,
  /// Auth, BadArgument, Eof, std::system_error.
  virtual bool connect(Deadline deadline = Deadline::never()) = 0;
  /// Serves in this process, on this thread, until another calls shutdown() on this handle. `ready` is told the address
  /// when clients can come. StateError, BadArgument, Exists, std::system_error as start().
  virtual void serve_forever(const std::function<void(const std::string&)>& ready = {}) = 0;
  /// Ends the server, at first gently; every use of its objects is Broken from then on. Idempotent. StateError: not
  /// started, only connected, or started by another process.
  virtual void shutdown() = 0;
  /// Of the server, if it was started here and was not shut down.
  virtual std::optional<pid_t> pid() const = 0;
  /// What connect() takes elsewhere, with what the system chose filled in.
  virtual const std::string& address() const noexcept = 0;
  /// StateError before start() or connect(), and after shutdown().
  virtual const std::shared_ptr<ObjectServer>& server() const = 0;
  virtual std::string_view mechanism() const noexcept = 0;
  virtual std::string_view form() const noexcept = 0;

  // --- Objects -------------------------------------------------------------------------------------------

  /// One of a registered type. Throws what its constructor does; NotFound: there is no such type.
  template <class... Args>
  managed::Proxy create(std::string_view type, const Args&... args) const {
    return managed::Proxy(root().call<Reference>("create", type, args...));
  }
  template <class K = Object, class V = Object>
  managed::Dict<K, V> dict(const std::map<K, V>& items = {}) const {
    return managed::Dict<K, V>(create("dict", items));
  }
  template <class T = Object>
  managed::List<T> list(const std::vector<T>& items = {}) const {
    return managed::List<T>(create("list", items));
  }
  managed::Namespace attributes() const { return managed::Namespace(create("namespace")); }
  template <class T = Object>
  managed::Value<T> value(const T& value = {}) const {
    return managed::Value<T>(create("value", value));
  }
  template <class T>
  managed::Array<T> array(const std::vector<T>& items) const {
    return managed::Array<T>(create("array", std::is_floating_point_v<T>, items));
  }
  template <class T>
  managed::Array<T> array(std::size_t size) const {
    return array(std::vector<T>(size));
  }
  managed::Lock lock() const { return managed::Lock(create("lock")); }
  managed::RLock rlock() const { return managed::RLock(create("rlock")); }
  /// Throw BadArgument: below 0 or above 2^31 - 1.
  managed::Semaphore semaphore(std::int64_t value = 1) const { return managed::Semaphore(create("semaphore", value)); }
  managed::BoundedSemaphore bounded_semaphore(std::int64_t value = 1) const {
    return managed::BoundedSemaphore(create("bounded_semaphore", value));
  }
  /// Over an RLock of its own, or a Lock or RLock of this server.
  managed::Condition condition() const { return condition(rlock()); }
  managed::Condition condition(const managed::Lock& lock) const {
    return managed::Condition(create("condition", lock.reference()));
  }
  managed::Event event() const { return managed::Event(create("event")); }
  /// Throws BadArgument: no parties, or more than 4096.
  managed::Barrier barrier(std::uint32_t parties, std::function<void()> action = {},
                           std::optional<std::chrono::nanoseconds> timeout = std::nullopt) const {
    const std::int64_t patience = timeout ? std::max<std::int64_t>(timeout->count(), 0) : -1;
    return managed::Barrier(create("barrier", parties, patience), std::move(action));
  }
  template <class T = Object>
  managed::Queue<T> queue(std::size_t maxsize = 0) const {
    return managed::Queue<T>(create("queue", maxsize));
  }
  template <class T = Object>
  managed::JoinableQueue<T> joinable_queue(std::size_t maxsize = 0) const {
    return managed::JoinableQueue<T>(create("joinable_queue", maxsize));
  }
  /// Worker processes of the server's. The initializer, if there is one, is a plain function. BadArgument (options) and
  /// std::system_error as PoolForm::create.
  managed::Pool pool(const PoolOptions& options = {}) const {
    return managed::Pool(create("pool", managed::pack_options(options)));
  }

  /// How many objects there are.
  std::size_t object_count() const { return root().call<std::size_t>("count"); }

 private:
  managed::Proxy root() const;
};

/// One way in which a mechanism has a Manager.
struct ManagerForm {
  std::string_view name;  ///< "native", "composed"
  Capabilities capabilities;
  std::span<const WaitStrategy> waits;  ///< as Mechanism::waits
  /// Starts nothing. Without an address the server chooses one. Throws BadArgument: what the options ask for.
  std::unique_ptr<Manager> (*make)(const std::string& address, const ManagerOptions& options);
  /// See arrived_reference() (api/object_server.h).
  Reference (*arrived)(const TravellingReference& reference);
  /// A bare connection to a server, for who speaks its language himself (impl/compose/README.md). Null: the deadline
  /// passed first. Throws as Mechanism::connect.
  std::unique_ptr<Connection> (*reach)(const std::string& address, const DoorOptions& options, Deadline deadline);
};

}  // namespace crucible
