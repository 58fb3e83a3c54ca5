// Role: the right to work at one end of a queue, which outlives whoever dies holding it.
#pragma once

#include <atomic>
#include <cstdint>

#include "api/deadline.h"
#include "api/status.h"

namespace crucible::shm_ring {

/// This process in one word (core/liveness.h); 0 until it is needed, also in a forked child.
extern std::atomic<std::uint64_t> own_identity;
/// Throws std::system_error: it cannot be found out.
std::uint64_t find_own_identity();
inline std::uint64_t require_own_identity() {
  const std::uint64_t identity = own_identity.load(std::memory_order_relaxed);
  return identity != 0 ? identity : find_own_identity();
}

/// A lock of a few instructions' length. Nobody sleeps on it: who finds it taken gets out of its holder's way, for
/// longer and longer, since a holder that does not leave is one that lacks the CPU. Zeroed memory is a free one.
class Role {
 public:
  [[nodiscard]] bool try_enter(std::uint64_t identity) noexcept {
    std::uint64_t nobody = 0;
    return holder_.compare_exchange_strong(nobody, identity, std::memory_order_acquire, std::memory_order_relaxed);
  }
  void leave() noexcept { holder_.store(0, std::memory_order_release); }

  enum class Entry : std::uint8_t {
    kOrdinary,
    kFromDead,  ///< its holder died in it, or in repairing what another left: everything may be half done
    kTimeout,   ///< held all the time by somebody who lives
    kClosed,
  };
  /// The deadline may pass: whoever holds a role runs, or is stopped, for longer than the few instructions; it is
  /// given kGrace at least.
  Entry enter(std::uint64_t identity, Deadline deadline, const std::atomic<bool>& closed) noexcept;
  /// 0: nobody.
  std::uint64_t holder() const noexcept { return holder_.load(std::memory_order_acquire); }
  /// Whether its holder died in it. Costs something only while it is held.
  bool is_orphaned() const noexcept;

  /// Whether it was another process that did this last; from now on it is this one. In the role.
  [[nodiscard]] bool changes_hands(std::uint64_t identity) noexcept {
    if (last_.load(std::memory_order_relaxed) == identity) [[likely]]
      return false;
    last_.store(identity, std::memory_order_relaxed);
    return true;
  }

 private:
  std::atomic<std::uint64_t> holder_;
  std::atomic<std::uint64_t> last_;
};

}  // namespace crucible::shm_ring
