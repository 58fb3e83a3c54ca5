#include "core/barrier.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <span>
#include <utility>

#include "core/futex.h"
#include "core/wait_slot.h"

namespace crucible {

// `word` is two numbers. The upper half counts who has come in this turn. The lower half is the turn, which all sleep
// on: a multiple of four; with kBroken or kResets once it is broken; the next multiple once all have come, or when a
// reset is done. A turn ends in one exchange of the word, so that all see it end in the same way. Before the next turn
// begins, a reset marks the slots of those who may not have looked yet; whoever finds one half done completes it.
struct Barrier::State {
  union alignas(64) {
    std::atomic<std::uint64_t> word;
    std::atomic<std::uint32_t> turn_word;  // its lower half, for the kernel only
  };
  std::uint32_t parties;
  std::int64_t timeout_ns;  // of wait(); negative: none

  static constexpr std::uint64_t kOneCame = std::uint64_t{1} << 32U;

  static std::uint32_t came_of(std::uint64_t word) noexcept { return static_cast<std::uint32_t>(word >> 32U); }
  static std::uint32_t turn_of(std::uint64_t word) noexcept { return static_cast<std::uint32_t>(word); }
  static constexpr std::uint32_t kBroken = 1;
  static constexpr std::uint32_t kResets = 2;
  static constexpr std::uint32_t kNextTurn = 4;
  static std::uint32_t number_of(std::uint32_t turn) noexcept { return turn / kNextTurn; }
  static std::uint32_t slot_word(std::uint32_t turn, WaitSlot::Kind kind) noexcept {
    return WaitSlot::word_of(number_of(turn), kind);
  }

  // Two for each party: who still leaves one turn does not keep anybody from the next.
  std::span<WaitSlot> slots() noexcept { return {reinterpret_cast<WaitSlot*>(this + 1), std::size_t{2} * parties}; }

  static std::size_t bytes(std::uint32_t parties);
  void initialise(std::uint32_t count, std::optional<std::chrono::nanoseconds> timeout);
  void end(std::uint32_t turn, std::uint32_t next) noexcept;
  void break_turn(std::uint32_t turn) noexcept { end(turn, turn | kBroken); }
  std::uint64_t settled() noexcept;
  void look_for_deaths(std::uint32_t turn);
  void sleep(std::uint32_t turn, Deadline deadline);
};

static_assert(std::endian::native == std::endian::little && std::atomic<std::uint64_t>::is_always_lock_free);

void Barrier::State::end(std::uint32_t turn, std::uint32_t next) noexcept {
  std::uint64_t seen = word.load(std::memory_order_acquire);
  while (turn_of(seen) == turn) {
    if (word.compare_exchange_weak(seen, next, std::memory_order_acq_rel, std::memory_order_acquire)) {
      if (parties > 1) futex_wake(turn_word, kEverybody);
      return;
    }
  }
}

// What `word` says when no reset is under way.
std::uint64_t Barrier::State::settled() noexcept {
  for (;;) {
    const std::uint64_t seen = word.load(std::memory_order_acquire);
    if ((seen & kResets) == 0) return seen;
    const std::uint32_t turn = turn_of(seen) - kResets;
    for (WaitSlot& slot : slots()) {
      std::uint32_t waiting = slot_word(turn, WaitSlot::Kind::kWaiting);
      slot.word.compare_exchange_strong(waiting, slot_word(turn, WaitSlot::Kind::kTold), std::memory_order_acq_rel,
                                        std::memory_order_relaxed);
    }
    end(turn_of(seen), turn + kNextTurn);
  }
}

// Also of parties that died after they took a slot and before they were counted.
void Barrier::State::look_for_deaths(std::uint32_t turn) {
  const std::uint32_t waiting = slot_word(turn, WaitSlot::Kind::kWaiting);
  for (WaitSlot& slot : slots()) {
    if (slot.word.load(std::memory_order_acquire) != waiting || slot.is_busy()) continue;
    const WaitSlot::Claim claim = slot.claim();
    if (claim == WaitSlot::Claim::kBusy) continue;
    if (claim == WaitSlot::Claim::kInherited && slot.word.load(std::memory_order_relaxed) == waiting) break_turn(turn);
    slot.vacate();
  }
}

void Barrier::State::sleep(std::uint32_t turn, Deadline deadline) {
  futex_nap(turn_word, turn, deadline, kWatchNap);
  if (turn_of(word.load(std::memory_order_acquire)) == turn) look_for_deaths(turn);
}

namespace {

constexpr SharedBlock::Kind kKind = {.name = "Barrier", .version = 1};

}  // namespace

std::size_t Barrier::State::bytes(std::uint32_t parties) {
  if (parties == 0 || parties > kMaxParties) throw BadArgument("Barrier: 1 to 4096 parties");
  return sizeof(State) + std::size_t{2} * parties * sizeof(WaitSlot);
}

void Barrier::State::initialise(std::uint32_t count, std::optional<std::chrono::nanoseconds> timeout) {
  RobustMutex::require_supported();
  parties = count;
  timeout_ns = timeout ? std::max(timeout->count(), std::int64_t{0}) : -1;
}

Barrier::Barrier(std::uint32_t parties, std::function<void()> action, std::optional<std::chrono::nanoseconds> timeout)
    : Barrier(SharedBlock::allocate(State::bytes(parties)), std::move(action)) {
  state().initialise(parties, timeout);
}

Barrier Barrier::create(const std::string& name, std::uint32_t parties, std::function<void()> action,
                        std::optional<std::chrono::nanoseconds> timeout) {
  const auto initialise = [=](SharedBlock& block) { block.as<State>().initialise(parties, timeout); };
  return {SharedBlock::create(name, kKind, State::bytes(parties), initialise), std::move(action)};
}

Barrier Barrier::open(const std::string& name, std::function<void()> action) {
  return {SharedBlock::open(name, kKind), std::move(action)};
}

Barrier::State& Barrier::state() const noexcept { return block_.as<State>(); }

std::uint32_t Barrier::wait() {
  const std::int64_t timeout_ns = state().timeout_ns;
  return wait(timeout_ns < 0 ? Deadline::never() : Deadline::after(std::chrono::nanoseconds(timeout_ns)));
}

std::uint32_t Barrier::wait(Deadline deadline) {
  State& state = this->state();
  std::uint32_t turn = 0;
  std::uint32_t index = 0;
  WaitSlot& slot = arrive(deadline, turn, index);
  const OccupiedSlot occupied(slot);
  if (index + 1 == state.parties) release(turn);
  std::uint32_t now = 0;
  while ((now = State::turn_of(state.word.load(std::memory_order_acquire))) == turn) {
    if (deadline.has_passed()) {
      state.break_turn(turn);
    } else {
      state.sleep(turn, deadline);
    }
  }
  if (State::number_of(now) == State::number_of(turn) || slot.kind() == WaitSlot::Kind::kTold) {
    throw BrokenBarrier("Barrier::wait");
  }
  return index;
}

// Counts this party in.
WaitSlot& Barrier::arrive(Deadline deadline, std::uint32_t& turn, std::uint32_t& index) {
  State& state = this->state();
  for (;;) {
    std::uint64_t word = state.settled();
    if ((word & State::kBroken) != 0) throw BrokenBarrier("Barrier::wait");
    turn = State::turn_of(word);
    index = State::came_of(word);
    const std::size_t first = (State::number_of(turn) % 2 == 0 ? 0 : state.parties) + index;
    WaitSlot* const slot =
        index == state.parties ? nullptr : claim_one_of(state.slots(), first, [](WaitSlot& /*dead*/) {});
    if (slot != nullptr) {
      slot->word.store(State::slot_word(turn, WaitSlot::Kind::kWaiting), std::memory_order_release);
      while (State::turn_of(word) == turn && State::came_of(word) != state.parties) {
        index = State::came_of(word);
        if (state.word.compare_exchange_weak(word, word + State::kOneCame, std::memory_order_acq_rel,
                                             std::memory_order_acquire)) {
          return *slot;
        }
      }
      slot->vacate();
      continue;
    }
    // More come than there are parties, and those before are still busy with the action or with leaving.
    if (deadline.has_passed()) {
      state.break_turn(turn);
    } else {
      state.sleep(turn, deadline);
    }
  }
}

// By the last of a turn.
void Barrier::release(std::uint32_t turn) {
  State& state = this->state();
  state.look_for_deaths(turn);
  if (State::turn_of(state.word.load(std::memory_order_acquire)) != turn) return;
  if (action_) {
    try {
      action_();
    } catch (...) {
      state.break_turn(turn);
      throw;
    }
  }
  state.end(turn, turn + State::kNextTurn);
}

void Barrier::abort() noexcept {
  State& state = this->state();
  for (std::uint64_t word = 0; ((word = state.settled()) & State::kBroken) == 0;) {
    state.break_turn(State::turn_of(word));
  }
}

void Barrier::reset() noexcept {
  State& state = this->state();
  const std::uint64_t word = state.settled();
  if ((word & State::kBroken) == 0 && State::came_of(word) == 0) return;
  const std::uint32_t turn = State::turn_of(word);
  state.end(turn, (turn & ~State::kBroken) | State::kResets);
  (void)state.settled();
}

std::uint32_t Barrier::parties() const noexcept { return state().parties; }

std::uint32_t Barrier::n_waiting() const {
  State& state = this->state();
  state.look_for_deaths(State::turn_of(state.settled()));
  const std::uint64_t word = state.settled();
  return (word & State::kBroken) != 0 ? 0 : State::came_of(word);
}

bool Barrier::broken() const {
  State& state = this->state();
  state.look_for_deaths(State::turn_of(state.settled()));
  return (state.settled() & State::kBroken) != 0;
}

}  // namespace crucible
