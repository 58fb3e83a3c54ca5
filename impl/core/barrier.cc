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
// on: even; odd once it is broken; the next even number once all have come, or by reset(). Since a turn ends in one
// exchange of the word, everybody sees it end in the same way: it is over and was not broken, or it was, as `word` says
// until reset(), which marks the slots of those who may not have looked yet before it begins the next turn.
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
  static bool is_broken(std::uint64_t word) noexcept { return (word & 1U) != 0; }
  static std::uint32_t slot_word(std::uint32_t turn, WaitSlot::Kind kind) noexcept {
    return WaitSlot::word_of(turn / 2, kind);
  }

  // Two for each party: who still leaves one turn does not keep anybody from the next.
  std::span<WaitSlot> slots() noexcept { return {reinterpret_cast<WaitSlot*>(this + 1), std::size_t{2} * parties}; }

  void end(std::uint32_t turn, std::uint32_t next) noexcept;
  void break_turn(std::uint32_t turn) noexcept;
  void look_for_deaths(std::uint32_t turn) noexcept;
  void sleep(std::uint32_t turn, Deadline deadline) noexcept;
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

void Barrier::State::break_turn(std::uint32_t turn) noexcept { end(turn, turn | 1U); }

// Also of parties that died after they took a slot and before they were counted.
void Barrier::State::look_for_deaths(std::uint32_t turn) noexcept {
  const std::uint32_t waiting = slot_word(turn, WaitSlot::Kind::kWaiting);
  for (WaitSlot& slot : slots()) {
    if (slot.word.load(std::memory_order_acquire) != waiting) continue;
    const WaitSlot::Claim claim = slot.claim();
    if (claim == WaitSlot::Claim::kBusy) continue;
    if (claim == WaitSlot::Claim::kFree) {
      slot.let_go();
      continue;
    }
    if (slot.word.load(std::memory_order_relaxed) == waiting) break_turn(turn);
    slot.vacate();
  }
}

void Barrier::State::sleep(std::uint32_t turn, Deadline deadline) noexcept {
  futex_nap(turn_word, turn, deadline, kWatchNap);
  if (turn_of(word.load(std::memory_order_acquire)) == turn) look_for_deaths(turn);
}

Barrier::Barrier(std::uint32_t parties, std::function<void()> action, std::optional<std::chrono::nanoseconds> timeout)
    : action_(std::move(action)) {
  if (parties == 0 || parties > kMaxParties) throw BadArgument("Barrier: 1 to 4096 parties");
  block_ = SharedBlock::allocate(sizeof(State) + std::size_t{2} * parties * sizeof(WaitSlot));
  State& state = this->state();
  state.parties = parties;
  state.timeout_ns = timeout ? std::max(timeout->count(), std::int64_t{0}) : -1;
  for (WaitSlot& slot : state.slots()) slot.initialise();
}

Barrier::State& Barrier::state() const noexcept { return block_.as<State>(); }

std::uint32_t Barrier::wait() {
  const std::int64_t timeout_ns = state().timeout_ns;
  return wait(timeout_ns < 0 ? Deadline::never() : Deadline::after(std::chrono::nanoseconds(timeout_ns)));
}

namespace {

// The caller's slot; free again however it leaves.
class Occupied {
 public:
  explicit Occupied(WaitSlot& slot) noexcept : slot_(slot) {}
  Occupied(const Occupied&) = delete;
  Occupied& operator=(const Occupied&) = delete;
  ~Occupied() { slot_.vacate(); }

 private:
  WaitSlot& slot_;
};

}  // namespace

std::uint32_t Barrier::wait(Deadline deadline) {
  State& state = this->state();
  std::uint32_t turn = 0;
  std::uint32_t index = 0;
  WaitSlot& slot = arrive(deadline, turn, index);
  const Occupied occupied(slot);
  if (index + 1 == state.parties) release(turn);
  std::uint32_t now = 0;
  while ((now = State::turn_of(state.word.load(std::memory_order_acquire))) == turn) {
    if (deadline.has_passed()) {
      state.break_turn(turn);
    } else {
      state.sleep(turn, deadline);
    }
  }
  if (now == (turn | 1U) || WaitSlot::kind_of(slot.word.load(std::memory_order_relaxed)) == WaitSlot::Kind::kTold) {
    throw BrokenBarrier("Barrier::wait");
  }
  return index;
}

// Counts this party in.
WaitSlot& Barrier::arrive(Deadline deadline, std::uint32_t& turn, std::uint32_t& index) {
  State& state = this->state();
  std::uint64_t word = state.word.load(std::memory_order_acquire);
  for (;;) {
    if (State::is_broken(word)) throw BrokenBarrier("Barrier::wait");
    turn = State::turn_of(word);
    index = State::came_of(word);
    const std::size_t first = (turn / 2 % 2 == 0 ? 0 : state.parties) + index;
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
    word = state.word.load(std::memory_order_acquire);
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
  state.end(turn, turn + 2);
}

void Barrier::abort() noexcept {
  State& state = this->state();
  std::uint64_t word = state.word.load(std::memory_order_acquire);
  while (!State::is_broken(word)) {
    state.break_turn(State::turn_of(word));
    word = state.word.load(std::memory_order_acquire);
  }
}

void Barrier::reset() noexcept {
  State& state = this->state();
  const std::uint64_t word = state.word.load(std::memory_order_acquire);
  if (!State::is_broken(word) && State::came_of(word) == 0) return;
  const std::uint32_t turn = State::turn_of(word) & ~1U;
  state.break_turn(turn);
  if (State::turn_of(state.word.load(std::memory_order_acquire)) != (turn | 1U)) return;  // they have passed
  for (WaitSlot& slot : state.slots()) {
    std::uint32_t waiting = State::slot_word(turn, WaitSlot::Kind::kWaiting);
    slot.word.compare_exchange_strong(waiting, State::slot_word(turn, WaitSlot::Kind::kTold), std::memory_order_acq_rel,
                                      std::memory_order_relaxed);
  }
  state.end(turn | 1U, turn + 2);
}

std::uint32_t Barrier::parties() const noexcept { return state().parties; }

std::uint32_t Barrier::n_waiting() const noexcept {
  State& state = this->state();
  state.look_for_deaths(State::turn_of(state.word.load(std::memory_order_acquire)));
  const std::uint64_t word = state.word.load(std::memory_order_acquire);
  return State::is_broken(word) ? 0 : State::came_of(word);
}

bool Barrier::broken() const noexcept {
  State& state = this->state();
  state.look_for_deaths(State::turn_of(state.word.load(std::memory_order_acquire)));
  return State::is_broken(state.word.load(std::memory_order_acquire));
}

}  // namespace crucible
