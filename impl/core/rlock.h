// RLock: a Lock that its holder may acquire again.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "api/deadline.h"
#include "api/status.h"
#include "core/lock.h"
#include "core/robust_mutex.h"
#include "core/shared_block.h"

namespace crucible {

/// A Lock that its holder may acquire again, and must release as often. Everything else is as for Lock.
class RLock : public detail::OwnedLock<RLock> {
 public:
  /// Free; with a name; the one of that name. As Lock's.
  RLock() : RLock(detail::make_owned_lock(sizeof(State))) {}
  static RLock create(const std::string& name) { return RLock(detail::create_owned_lock(name, kKind, sizeof(State))); }
  static RLock open(const std::string& name) { return RLock(detail::open_owned_lock(name, kKind)); }
  ~RLock() { state().lock.mutex.abandon(); }

  /// Lets go of one level. Throws NotOwner: another thread holds it, or nobody who lives.
  void release();
  bool locked() const noexcept { return state().lock.mutex.locked(); }
  bool holds() const noexcept { return state().lock.mutex.held(); }
  /// How often the calling thread holds it: 0 if another does, or nobody.
  std::uint32_t depth() const noexcept { return holds() ? state().depth : 0; }
  /// One more level throws std::system_error (EAGAIN).
  static constexpr std::uint32_t kDeepest = UINT32_MAX;

  /// For what must let go of it altogether for a while: releases all levels; how many there were. Throws NotOwner.
  std::uint32_t release_all();
  /// As RobustMutex's, when the last level is let go.
  void wake_at_release(const std::atomic<std::uint32_t>& word) noexcept { state().lock.mutex.wake_at_release(word); }
  /// Acquires it again with so many levels. The caller holds none of them (StateError); depth 0 is BadArgument.
  Status acquire_all(std::uint32_t depth, Deadline deadline = Deadline::never());

 private:
  struct State {
    detail::OwnedLockState lock;
    std::uint32_t depth;  // the holder's; left over when it is free
  };

  friend class detail::OwnedLock<RLock>;
  static constexpr SharedBlock::Kind kKind = {"RLock", 1};
  explicit RLock(SharedBlock block) noexcept : block_(std::move(block)) {}
  Status take(Deadline deadline, RobustMutex::AtDeath at_death);
  State& state() const noexcept { return block_.as<State>(); }

  SharedBlock block_;
};

}  // namespace crucible
