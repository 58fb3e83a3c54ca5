// Proxies of managed locks and what is built like them. They behave as their namesakes in impl/core, between any
// programs that reach the server.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "api/proxy.h"

namespace crucible::managed {

/// Held by one thread of one process at a time, and released by that thread only. Whoever ends holding it, by death or
/// by closing its connection, lets it go, and the next acquire() says so. Waiters are served in order.
class Lock : public Proxy {
 public:
  using Proxy::Proxy;
  explicit Lock(const Proxy& proxy) : Proxy(proxy) {}

  /// kOk; kOwnerDied: held as well, and the last holder ended holding it; kTimeout. StateError: the caller holds it.
  Status acquire(Deadline deadline = Deadline::never()) const {
    const std::optional<int> status = wait<int>("acquire", deadline, true);
    return status ? static_cast<Status>(*status) : Status::kTimeout;
  }
  template <class Rep, class Period>
  Status acquire_for(std::chrono::duration<Rep, Period> duration) const {
    return acquire(Deadline::after(duration));
  }
  Status try_acquire() const { return acquire(Deadline::immediate()); }
  /// Throws NotOwner: another thread holds it; OverRelease: nobody does.
  void release() const { call<void>("release"); }
  bool locked() const { return call<bool>("locked"); }
  /// Whether the calling thread holds it.
  bool holds() const { return call<bool>("holds"); }

  /// std's names, for std's guards. Where acquire() would say kOwnerDied they throw OwnerDied and hold nothing.
  void lock() const { (void)lock_until(Deadline::never()); }
  bool try_lock() const { return lock_until(Deadline::immediate()); }
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> duration) const {
    return lock_until(Deadline::after(duration));
  }
  void unlock() const { release(); }

 private:
  bool lock_until(Deadline deadline) const {
    const std::optional<int> status = wait<int>("acquire", deadline, false);
    if (status == static_cast<int>(Status::kOwnerDied)) throw OwnerDied("lock: acquire() it and repair what it guards");
    return status.has_value();
  }
};

/// A Lock that its holder may acquire again, and must release as often.
class RLock : public Lock {
 public:
  using Lock::Lock;
  /// How often the calling thread holds it.
  std::uint32_t depth() const { return call<std::uint32_t>("depth"); }
};

/// A count that acquire() takes one from, waiting while it is 0, and release() adds one to, whoever calls it.
/// What acquire() took stays taken when its taker dies; a Permit comes back.
class Semaphore : public Proxy {
 public:
  using Proxy::Proxy;
  explicit Semaphore(const Proxy& proxy) : Proxy(proxy) {}

  void acquire() const { (void)acquire_until(Deadline::never()); }
  [[nodiscard]] bool try_acquire() const { return acquire_until(Deadline::immediate()); }
  template <class Rep, class Period>
  [[nodiscard]] bool acquire_for(std::chrono::duration<Rep, Period> duration) const {
    return acquire_until(Deadline::after(duration));
  }
  [[nodiscard]] bool acquire_until(Deadline deadline) const {
    return wait<std::uint64_t>("acquire", deadline, false).has_value();
  }
  /// Throws OverRelease: beyond its bound, which only a BoundedSemaphore reaches in earnest.
  void release() const { call<void>("release"); }
  std::int64_t value() const { return call<std::int64_t>("value"); }

  /// One of the count, given back by its destructor, by release(), or when its taker's process ends.
  class Permit {
   public:
    Permit(Permit&& other) noexcept : of_(std::move(other.of_)), number_(std::exchange(other.number_, 0)) {}
    Permit& operator=(Permit&& other) noexcept {
      std::swap(of_, other.of_);
      std::swap(number_, other.number_);
      return *this;
    }
    ~Permit() { release(); }
    void release() noexcept;

   private:
    friend class Semaphore;
    Permit(const Semaphore& of, std::uint64_t number) : of_(std::make_unique<Semaphore>(of)), number_(number) {}
    std::unique_ptr<Semaphore> of_;
    std::uint64_t number_;
  };
  [[nodiscard]] Permit permit() const { return std::move(*permit_until(Deadline::never())); }
  [[nodiscard]] std::optional<Permit> try_permit() const { return permit_until(Deadline::immediate()); }
  template <class Rep, class Period>
  [[nodiscard]] std::optional<Permit> permit_for(std::chrono::duration<Rep, Period> duration) const {
    return permit_until(Deadline::after(duration));
  }
  [[nodiscard]] std::optional<Permit> permit_until(Deadline deadline) const {
    const std::optional<std::uint64_t> number = wait<std::uint64_t>("acquire", deadline, true);
    return number ? std::optional<Permit>(Permit(*this, *number)) : std::nullopt;
  }
};

/// Never released above the value it began with.
class BoundedSemaphore : public Semaphore {
 public:
  using Semaphore::Semaphore;
};

/// Over a Lock or an RLock, which waiters and notifiers hold. A notification is for one who waits and lives.
class Condition : public Proxy {
 public:
  using Proxy::Proxy;
  explicit Condition(const Proxy& proxy) : Proxy(proxy) {}

  /// The lock's.
  Status acquire(Deadline deadline = Deadline::never()) const {
    const std::optional<int> status = Proxy::wait<int>("acquire", deadline, true);
    return status ? static_cast<Status>(*status) : Status::kTimeout;
  }
  void release() const { call<void>("release"); }
  void lock() const;
  bool try_lock() const;
  void unlock() const { release(); }

  /// Lets go of the lock at all levels, waits until notified, and holds it again as before, whatever it returns: kOk;
  /// kTimeout; kOwnerDied: somebody died holding the lock. Throws NotOwner: the caller does not hold it.
  Status wait(Deadline deadline = Deadline::never()) const {
    return static_cast<Status>(call<int>("wait", patience(deadline)));
  }
  template <class Rep, class Period>
  Status wait_for(std::chrono::duration<Rep, Period> duration) const {
    return wait(Deadline::after(duration));
  }
  /// Until `is_so()`, which is called holding the lock.
  template <std::predicate Predicate>
  Status wait(Predicate is_so, Deadline deadline = Deadline::never()) const {
    Status status = Status::kOk;
    while (!is_so()) {
      if (status == Status::kTimeout) return status;
      status = wait(deadline);
      if (status == Status::kOwnerDied) return status;
    }
    return Status::kOk;
  }
  template <class Rep, class Period, std::predicate Predicate>
  Status wait_for(std::chrono::duration<Rep, Period> duration, Predicate is_so) const {
    return wait(std::move(is_so), Deadline::after(duration));
  }
  /// Wakes `n` of those who wait, in the order in which they came; how many. Throws NotOwner.
  std::size_t notify(std::size_t n = 1) const { return call<std::size_t>("notify", n); }
  std::size_t notify_all() const { return notify(std::numeric_limits<std::size_t>::max()); }
  std::size_t waiters() const { return call<std::size_t>("waiters"); }
};

/// A flag that any number of processes and threads wait for.
class Event : public Proxy {
 public:
  using Proxy::Proxy;
  explicit Event(const Proxy& proxy) : Proxy(proxy) {}

  /// All who wait now return true, also if clear() comes at once.
  void set() const { call<void>("set"); }
  void clear() const { call<void>("clear"); }
  [[nodiscard]] bool is_set() const { return call<bool>("is_set"); }
  /// False only if the deadline passed first.
  bool wait(Deadline deadline = Deadline::never()) const { return Proxy::wait<int>("wait", deadline).has_value(); }
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> duration) const {
    return wait(Deadline::after(duration));
  }
  /// Calls of wait() that wait now.
  std::size_t waiters() const { return call<std::size_t>("waiters"); }
};

/// A number of parties wait until all of them have come. A party that gives up, dies or loses its connection while it
/// waits breaks it for all, until reset(). The action is this handle's own and of its copies, in this process.
class Barrier : public Proxy {
 public:
  using Proxy::Proxy;
  explicit Barrier(const Proxy& proxy, std::function<void()> action = {}) : Proxy(proxy), action_(std::move(action)) {}

  /// In which place this party came: 0 to parties() - 1. The last to come runs its handle's action before anyone
  /// leaves. Throws BrokenBarrier.
  std::uint32_t wait() const { return wait_patiently(kDefault); }
  std::uint32_t wait(Deadline deadline) const { return wait_patiently(patience(deadline)); }
  template <class Rep, class Period>
  std::uint32_t wait_for(std::chrono::duration<Rep, Period> duration) const {
    return wait(Deadline::after(duration));
  }
  void abort() const { call<void>("abort"); }
  void reset() const { call<void>("reset"); }
  std::uint32_t parties() const { return call<std::uint32_t>("parties"); }
  std::uint32_t n_waiting() const { return call<std::uint32_t>("n_waiting"); }
  [[nodiscard]] bool broken() const { return call<bool>("broken"); }

 private:
  static constexpr std::int64_t kDefault = -2;  // as the barrier was made
  std::uint32_t wait_patiently(std::int64_t patience) const;

  std::function<void()> action_;
};

}  // namespace crucible::managed
