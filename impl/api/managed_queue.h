// Proxies of managed queues.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "api/proxy.h"

namespace crucible::managed {

/// Every item goes to exactly one consumer, in the order in which they were put. size(), empty() and full() are exact.
/// Between any programs that reach the server; stays as long as anything refers to it.
template <class T = Object>
class Queue : public Proxy {
 public:
  using Proxy::Proxy;
  explicit Queue(const Proxy& proxy) : Proxy(proxy) {}

  /// Waits while `maxsize` items are in it.
  void put(const T& item) const { (void)put_until(item, Deadline::never()); }
  /// False: it is full, or stayed so.
  [[nodiscard]] bool try_put(const T& item) const { return put_until(item, Deadline::immediate()); }
  template <class Rep, class Period>
  [[nodiscard]] bool try_put_for(const T& item, std::chrono::duration<Rep, Period> duration) const {
    return put_until(item, Deadline::after(duration));
  }
  /// Waits for one.
  [[nodiscard]] T get() const { return *wait<T>("get", Deadline::never()); }
  /// Nothing: it is empty, or stayed so.
  [[nodiscard]] std::optional<T> try_get() const { return wait<T>("get", Deadline::immediate()); }
  template <class Rep, class Period>
  [[nodiscard]] std::optional<T> try_get_for(std::chrono::duration<Rep, Period> duration) const {
    return wait<T>("get", Deadline::after(duration));
  }
  [[nodiscard]] std::size_t size() const { return call<std::size_t>("size"); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] bool full() const { return call<bool>("full"); }
  /// Who wait in get() at this moment.
  [[nodiscard]] std::size_t getters() const { return call<std::size_t>("getters"); }

 private:
  bool put_until(const T& item, Deadline deadline) const { return wait<int>("put", deadline, item).has_value(); }
};

/// One that counts what is not yet done with.
template <class T = Object>
class JoinableQueue : public Queue<T> {
 public:
  using Queue<T>::Queue;
  /// One item that was got is done with. Throws BadArgument: more often than items were put.
  void done() const { this->template call<void>("done"); }
  /// Waits until everything that was put is done with.
  void join() const { (void)join_until(Deadline::never()); }
  template <class Rep, class Period>
  [[nodiscard]] bool join_for(std::chrono::duration<Rep, Period> duration) const {
    return join_until(Deadline::after(duration));
  }

 private:
  bool join_until(Deadline deadline) const { return this->template wait<int>("join", deadline).has_value(); }
};

}  // namespace crucible::managed
