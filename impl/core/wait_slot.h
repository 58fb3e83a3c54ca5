// Waiters that are accounted for: who waits, for which round, and whether he still lives.
#pragma once

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

namespace crucible {

/// How long whoever counts on others sleeps before it looks whether they live: several times within the tenth of a
/// second in which a death is to be known.
inline constexpr std::chrono::nanoseconds kWatchNap = std::chrono::milliseconds(25);

/// One waiter's place in shared memory. It is claimed by a robust mutex, which its owner holds for as long as it waits:
/// so the kernel tells its death, to whoever tries the mutex, for the price of a look. No id that could be given to
/// somebody else plays a part. Every change of `word` is one that stands by itself, so that nothing has to be repaired
/// when its author dies: what a dead waiter left in `word` says all there is to know of it.
class alignas(64) WaitSlot {
 public:
  enum class Kind : std::uint32_t { kFree, kWaiting, kTold };
  enum class Claim {
    kBusy,       ///< its owner lives
    kFree,       ///< nobody's; now the caller's
    kInherited,  ///< its owner died; now the caller's, with what `word` says
  };

  /// In zeroed memory.
  void initialise();

  /// Never blocks.
  Claim claim() noexcept;
  /// Ends the caller's claim; the slot is free.
  void vacate() noexcept;
  /// Ends a claim that was made only to look.
  void let_go() noexcept { pthread_mutex_unlock(&life_); }

  /// What a word reads for a waiter of this round, of which the lower 30 bits count.
  static constexpr std::uint32_t word_of(std::uint64_t round, Kind kind) noexcept {
    return static_cast<std::uint32_t>(round << 2U) | static_cast<std::uint32_t>(kind);
  }
  static constexpr Kind kind_of(std::uint32_t word) noexcept { return static_cast<Kind>(word & 3U); }

  std::atomic<std::uint32_t> word;   ///< word_of()
  std::atomic<std::uint64_t> round;  ///< whole
  std::atomic<std::uint64_t> limit;  ///< of one that was told: it was meant for rounds below this

 private:
  pthread_mutex_t life_;
};

/// A free slot, claimed, or one that a dead waiter left, for which `bury(slot)` is called first; nullptr if all are
/// busy. Looks at `slots` from `first` on and round to it.
template <class Bury>
WaitSlot* claim_one_of(std::span<WaitSlot> slots, std::size_t first, Bury bury) {
  for (const bool also_of_the_dead : {false, true}) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      WaitSlot& slot = slots[first + i < slots.size() ? first + i : first + i - slots.size()];
      const bool looks_free = slot.word.load(std::memory_order_relaxed) == 0;
      if (!looks_free && !also_of_the_dead) continue;
      const WaitSlot::Claim claim = slot.claim();
      if (claim == WaitSlot::Claim::kBusy) continue;
      if (claim == WaitSlot::Claim::kInherited) bury(slot);
      return &slot;
    }
  }
  return nullptr;
}

}  // namespace crucible
