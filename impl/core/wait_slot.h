// Waiters that are accounted for: who waits, for which round, and whether he still lives.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "api/deadline.h"
#include "core/robust_mutex.h"

namespace crucible {

/// How long whoever counts on others sleeps before it looks whether they live: several times within the tenth of a
/// second in which a death is to be known.
inline constexpr std::chrono::nanoseconds kWatchNap = std::chrono::milliseconds(25);

/// One waiter's place in shared memory; all bytes zero: free. It is claimed by a robust mutex, which its owner holds
/// for as long as it waits: so its death shows in one look, and no number that could be given to somebody else plays a
/// part. Each change of `word` stands by itself: nothing has to be repaired when its author dies, and what a dead
/// waiter left there says all there is to know of it.
class alignas(64) WaitSlot {
 public:
  enum class Kind : std::uint32_t { kFree, kWaiting, kTold };
  enum class Claim {
    kBusy,       ///< its owner lives
    kFree,       ///< nobody's; now the caller's
    kInherited,  ///< its owner died; now the caller's, with what `word` says
  };

  /// Never blocks. Throws as RobustMutex::acquire().
  Claim claim() {
    switch (life_.acquire(Deadline::immediate())) {
      case Status::kOk: return Claim::kFree;
      case Status::kOwnerDied: return Claim::kInherited;
      default: return Claim::kBusy;
    }
  }
  bool is_busy() const noexcept { return life_.locked(); }
  /// Ends the caller's claim; the slot is free. In this order: nobody finds the mutex free and the word taken.
  void vacate() noexcept {
    word.store(0, std::memory_order_release);
    (void)life_.release();
  }

  /// What `word` reads for a waiter of this round, of which the lower 30 bits count.
  static constexpr std::uint32_t word_of(std::uint64_t round, Kind kind) noexcept {
    return static_cast<std::uint32_t>(round << 2U) | static_cast<std::uint32_t>(kind);
  }
  static constexpr Kind kind_of(std::uint32_t word) noexcept { return static_cast<Kind>(word & 3U); }
  Kind kind() const noexcept { return kind_of(word.load(std::memory_order_acquire)); }

  std::atomic<std::uint32_t> word;
  std::atomic<std::uint64_t> round;  ///< whole
  std::atomic<std::uint64_t> limit;  ///< of one that was told: what it was told is for rounds below this

 private:
  RobustMutex life_;
};

/// The caller's slot; free again however the caller leaves.
class OccupiedSlot {
 public:
  explicit OccupiedSlot(WaitSlot& slot) noexcept : slot_(slot) {}
  OccupiedSlot(const OccupiedSlot&) = delete;
  OccupiedSlot& operator=(const OccupiedSlot&) = delete;
  ~OccupiedSlot() { slot_.vacate(); }
  WaitSlot* operator->() const noexcept { return &slot_; }

 private:
  WaitSlot& slot_;
};

/// A free slot, claimed, or if there is none one that a dead waiter left, for which `bury(slot)` is called first;
/// nullptr if all are busy. Looks at `slots` from `first` on and round to it.
template <class Bury>
WaitSlot* claim_one_of(std::span<WaitSlot> slots, std::size_t first, Bury bury) {
  for (const bool also_of_the_dead : {false, true}) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      WaitSlot& slot = slots[first + i < slots.size() ? first + i : first + i - slots.size()];
      if (!also_of_the_dead && slot.word.load(std::memory_order_relaxed) != 0) continue;
      const WaitSlot::Claim claim = slot.claim();
      if (claim == WaitSlot::Claim::kBusy) continue;
      if (claim == WaitSlot::Claim::kInherited) bury(slot);
      return &slot;
    }
  }
  return nullptr;
}

}  // namespace crucible
