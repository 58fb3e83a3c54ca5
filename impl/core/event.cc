#include "core/event.h"

#include <bit>

#include "core/futex.h"

namespace crucible {

// One word: kSet, kSleepers, and the number of clear()s that had an effect. Its lower half is what sleepers sleep on;
// the whole tells a pulse, however many of them there were.
struct Event::State {
  union {
    std::atomic<std::uint64_t> word;
    std::atomic<std::uint32_t> lower_half;  // for the kernel only
  };

  static constexpr std::uint64_t kSet = 1;
  static constexpr std::uint64_t kSleepers = 2;  // somebody may sleep; a killed one leaves it behind for the next set()
  static constexpr std::uint64_t kGeneration = 4;
};

static_assert(std::endian::native == std::endian::little && std::atomic<std::uint64_t>::is_always_lock_free);

namespace {

constexpr SharedBlock::Kind kKind = {.name = "Event", .version = 1};

}  // namespace

Event::Event() : Event(SharedBlock::allocate(sizeof(State))) {}
Event Event::create(const std::string& name) { return Event(SharedBlock::create(name, kKind, sizeof(State), {})); }
Event Event::open(const std::string& name) { return Event(SharedBlock::open(name, kKind)); }

void Event::set() noexcept {
  State& state = block_.as<State>();
  std::uint64_t word = state.word.load(std::memory_order_relaxed);
  // Stored also when it is set already: this caller's writes, too, are to be seen.
  while (!state.word.compare_exchange_weak(word, (word | State::kSet) & ~State::kSleepers, std::memory_order_acq_rel,
                                           std::memory_order_relaxed)) {
  }
  // This call cannot fail, so that a handler leaves the errno of what it interrupted alone.
  if ((word & State::kSleepers) != 0) futex_wake(state.lower_half, kEverybody);
}

void Event::clear() noexcept {
  State& state = block_.as<State>();
  std::uint64_t word = state.word.load(std::memory_order_relaxed);
  while ((word & State::kSet) != 0 &&
         !state.word.compare_exchange_weak(word, (word & ~State::kSet) + State::kGeneration, std::memory_order_acq_rel,
                                           std::memory_order_relaxed)) {
  }
}

bool Event::is_set() const noexcept {
  return (block_.as<State>().word.load(std::memory_order_acquire) & State::kSet) != 0;
}

bool Event::wait(Deadline deadline) const noexcept {
  State& state = block_.as<State>();
  std::uint64_t word = state.word.load(std::memory_order_acquire);
  for (const std::uint64_t first = word;;) {
    if ((word & State::kSet) != 0 || word / State::kGeneration != first / State::kGeneration) return true;
    if (deadline.has_passed()) return false;
    const std::uint64_t asleep = word | State::kSleepers;
    if (word != asleep && !state.word.compare_exchange_weak(word, asleep, std::memory_order_acquire)) continue;
    futex_nap(state.lower_half, static_cast<std::uint32_t>(asleep), deadline);
    word = state.word.load(std::memory_order_acquire);
  }
}

}  // namespace crucible
