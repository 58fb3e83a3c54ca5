// RawValue, Value: one object that several processes use.
#pragma once

#include <concepts>
#include <mutex>
#include <span>
#include <string>
#include <utility>

#include "core/rlock.h"
#include "core/shared_objects.h"

namespace crucible {

/// A T without a lock: whoever shares it keeps order. Inherited by fork, or named (SharedBlock says what that means).
/// Neither copied nor moved.
template <Shareable T>
class RawValue {
 public:
  RawValue() : RawValue(T{}) {}
  explicit RawValue(const T& initial) : objects_(std::span<const T>(&initial, 1)) {}
  /// As SharedBlock::create() and open(); BadArgument also for a value of another type.
  static RawValue create(const std::string& name, const T& initial = T{}) { return RawValue(ByName(), name, initial); }
  static RawValue open(const std::string& name) { return RawValue(ByName(), name); }
  RawValue(const RawValue&) = delete;
  RawValue& operator=(const RawValue&) = delete;

  /// The shared object itself, for as long as this handle lives.
  T& get() const noexcept { return *objects_.data(); }
  T& operator*() const noexcept { return get(); }
  T* operator->() const noexcept { return &get(); }
  /// An independent copy.
  T load() const { return get(); }
  void store(const T& value) { get() = value; }

  /// Of a named value. unlink() as SharedBlock::unlink().
  std::string name() const { return objects_.block().name(); }
  void unlink() const { objects_.block().unlink(); }

 private:
  using ByName = detail::ByName;
  static constexpr SharedBlock::Kind kKind = {"value", 1};
  RawValue(ByName /*tag*/, const std::string& name, const T& initial)
      : objects_(name, kKind, std::span<const T>(&initial, 1)) {}
  RawValue(ByName /*tag*/, const std::string& name) : objects_(name, kKind) {
    if (objects_.size() != 1) throw BadArgument("open: " + name + " is no value");
  }

  detail::SharedObjects<T> objects_;
};

/// A T and a lock: its own, or one that was given, must outlive it and may guard more. It has the lock's vocabulary,
/// so that std's guards work on it: `const std::scoped_lock guard(value); *value += 1;`. What load(), store() and
/// update() do is done under the lock; get(), `*` and `->` take nothing. When a holder died, all that lock throws
/// OwnerDied until somebody has called get_lock().acquire() and repaired the value.
template <Shareable T, class L = RLock>
class Value {
 public:
  Value() : Value(T{}) {}
  explicit Value(const T& initial) : value_(initial) {}
  Value(const T& initial, L& lock) : lock_(lock), value_(initial) {}
  /// The lock has a name of its own behind the value's, which may be five characters shorter than a block's.
  static Value create(const std::string& name, const T& initial = T{}) { return Value(ByName(), name, initial); }
  static Value open(const std::string& name) { return Value(ByName(), name); }
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;

  L& get_lock() const noexcept { return lock_.get(); }
  void lock() { get_lock().lock(); }
  bool try_lock() { return get_lock().try_lock(); }
  void unlock() { get_lock().unlock(); }

  T& get() const noexcept { return value_.get(); }
  T& operator*() const noexcept { return get(); }
  T* operator->() const noexcept { return &get(); }
  T load() const {
    const std::scoped_lock guard(get_lock());
    return get();
  }
  void store(const T& value) {
    const std::scoped_lock guard(get_lock());
    get() = value;
  }
  /// `change(T&)` under the lock; what it returns.
  template <std::invocable<T&> Change>
  decltype(auto) update(Change&& change) {
    const std::scoped_lock guard(get_lock());
    return std::forward<Change>(change)(get());
  }

  std::string name() const { return value_.name(); }

 private:
  using ByName = detail::ByName;
  using Guard = detail::Guard<L>;
  // The lock first: who finds the value finds the lock too.
  Value(ByName /*tag*/, const std::string& name, const T& initial)
      : lock_(name, Guard::Make::kCreate), value_(RawValue<T>::create(name, initial)) {}
  Value(ByName /*tag*/, const std::string& name) : lock_(name, Guard::Make::kOpen), value_(RawValue<T>::open(name)) {}

  Guard lock_;
  RawValue<T> value_;
};

}  // namespace crucible
