#include "core/condition.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <span>
#include <system_error>
#include <utility>

#include "core/futex.h"
#include "core/wait_slot.h"

namespace crucible {

// Each waiter has a slot and sleeps on its word. Its round is its place in the order of waiters. Waiting becomes told,
// or free when its time is over, by one exchange of the word, so that a notification is given to a waiter or is not;
// told becomes free once the waiter holds the lock again. So a slot which was told something and whose owner is dead
// holds a notification that nobody has had, and who sleeps looks for such slots.
struct Condition::State {
  alignas(64) std::atomic<std::uint64_t> next_round;
  std::atomic<std::uint32_t> used;  // slots beyond were never claimed
  std::array<WaitSlot, kMaxWaiters> slots;

  struct Waiter {
    WaitSlot* slot;
    std::uint32_t word;
    std::uint64_t round;
  };
  using Waiters = std::array<Waiter, kMaxWaiters>;

  std::span<WaitSlot> used_slots() noexcept { return std::span(slots).first(used.load(std::memory_order_acquire)); }
  WaitSlot& enter();
  std::span<Waiter> in_order(Waiters& waiters) noexcept;
  bool tell(const Waiter& waiter, std::uint64_t limit) noexcept;
  void pass_on(WaitSlot& dead) noexcept;
  void pass_on_from_the_dead();
  bool sleep(WaitSlot& slot, Deadline deadline);
};

// A slot of the dead comes before one that was never used, lest their number grow with every death.
WaitSlot& Condition::State::enter() {
  WaitSlot* slot = nullptr;
  std::uint32_t count = used.load(std::memory_order_relaxed);
  while ((slot = claim_one_of(used_slots(), 0, [this](WaitSlot& dead) { pass_on(dead); })) == nullptr) {
    if (count == kMaxWaiters) throw std::system_error(EAGAIN, std::generic_category(), "Condition::wait: waiters");
    used.store(++count, std::memory_order_release);
  }
  const std::uint64_t round = next_round.fetch_add(1, std::memory_order_relaxed);
  slot->round.store(round, std::memory_order_relaxed);
  slot->word.store(WaitSlot::word_of(round, WaitSlot::Kind::kWaiting), std::memory_order_release);
  return *slot;
}

std::span<Condition::State::Waiter> Condition::State::in_order(Waiters& waiters) noexcept {
  std::size_t count = 0;
  for (WaitSlot& slot : used_slots()) {
    const std::uint32_t word = slot.word.load(std::memory_order_acquire);
    if (WaitSlot::kind_of(word) != WaitSlot::Kind::kWaiting) continue;
    waiters.at(count++) = {.slot = &slot, .word = word, .round = slot.round.load(std::memory_order_relaxed)};
  }
  const std::span found = std::span(waiters).first(count);
  std::ranges::sort(found, {}, &Waiter::round);
  return found;
}

// False: it waits no longer, or is dead.
bool Condition::State::tell(const Waiter& waiter, std::uint64_t limit) noexcept {
  WaitSlot& slot = *waiter.slot;
  if (!slot.is_busy()) return false;
  slot.limit.store(limit, std::memory_order_relaxed);
  std::uint32_t word = waiter.word;
  if (!slot.word.compare_exchange_strong(word, WaitSlot::word_of(waiter.round, WaitSlot::Kind::kTold),
                                         std::memory_order_acq_rel, std::memory_order_relaxed)) {
    return false;
  }
  return true;
}

// What a dead waiter, whose slot is the caller's, was told and has not come to act on. If the caller dies between
// telling somebody else and making the slot free, it is told twice, which a condition's users stand; never not at all.
void Condition::State::pass_on(WaitSlot& dead) noexcept {
  if (dead.kind() != WaitSlot::Kind::kTold) return;
  const std::uint64_t limit = dead.limit.load(std::memory_order_relaxed);
  Waiters waiters;
  for (const Waiter& waiter : in_order(waiters)) {
    if (waiter.round >= limit) break;
    if (!tell(waiter, limit)) continue;
    futex_wake(waiter.slot->word, 1);
    break;
  }
  dead.word.store(0, std::memory_order_release);
}

void Condition::State::pass_on_from_the_dead() {
  for (WaitSlot& slot : used_slots()) {
    if (slot.kind() != WaitSlot::Kind::kTold || slot.is_busy()) continue;
    const WaitSlot::Claim claim = slot.claim();
    if (claim == WaitSlot::Claim::kBusy) continue;
    if (claim == WaitSlot::Claim::kInherited) pass_on(slot);
    slot.vacate();
  }
}

// Whether it was notified; if not, the slot's word no longer says that somebody waits.
bool Condition::State::sleep(WaitSlot& slot, Deadline deadline) {
  std::uint32_t waiting = WaitSlot::word_of(slot.round.load(std::memory_order_relaxed), WaitSlot::Kind::kWaiting);
  for (;;) {
    futex_nap(slot.word, waiting, deadline, kWatchNap);
    if (slot.word.load(std::memory_order_acquire) != waiting) return true;
    if (deadline.has_passed()) return !slot.word.compare_exchange_strong(waiting, 0, std::memory_order_acq_rel);
    pass_on_from_the_dead();
  }
}

namespace {

constexpr SharedBlock::Kind kKind = {.name = "Condition", .version = 1};

}  // namespace

Condition::Condition() : own_(std::in_place), lock_(&*own_), block_(SharedBlock::allocate(sizeof(State))) {}
Condition::Condition(AnyLock lock) : Condition(lock, SharedBlock::allocate(sizeof(State))) {}
Condition::Condition(AnyLock lock, SharedBlock block) : lock_(lock), block_(std::move(block)) {}
Condition Condition::create(const std::string& name, AnyLock lock) {
  return Condition(lock, SharedBlock::create(name, kKind, sizeof(State), {}));
}
Condition Condition::open(const std::string& name, AnyLock lock) {
  return Condition(lock, SharedBlock::open(name, kKind));
}

Condition::State& Condition::state() const noexcept { return *static_cast<State*>(block_.data()); }

Status Condition::acquire(Deadline deadline) {
  return std::visit([deadline](auto* lock) { return lock->acquire(deadline); }, lock_);
}
void Condition::release() {
  std::visit([](auto* lock) { lock->release(); }, lock_);
}
void Condition::lock() {
  std::visit([](auto* lock) { lock->lock(); }, lock_);
}
bool Condition::try_lock() {
  return std::visit([](auto* lock) { return lock->try_lock(); }, lock_);
}

void Condition::require_held(const char* operation) const {
  if (!std::visit([](const auto* lock) { return lock->holds(); }, lock_)) throw NotOwner(operation);
}

std::uint32_t Condition::let_go() {
  if (RLock* const* lock = std::get_if<RLock*>(&lock_)) return (*lock)->release_all();
  std::get<Lock*>(lock_)->release();
  return 1;
}

Status Condition::hold_again(std::uint32_t depth) {
  if (RLock* const* lock = std::get_if<RLock*>(&lock_)) return (*lock)->acquire_all(depth);
  return std::get<Lock*>(lock_)->acquire();
}

Status Condition::wait(Deadline deadline) {
  require_held("Condition::wait");
  if (deadline.is_immediate()) return Status::kTimeout;
  State& state = this->state();
  WaitSlot& slot = state.enter();
  const OccupiedSlot occupied(slot);
  const std::uint32_t depth = let_go();
  const bool notified = state.sleep(slot, deadline);
  const Status status = hold_again(depth);
  if (status != Status::kOk) return status;
  return notified ? Status::kOk : Status::kTimeout;
}

std::size_t Condition::notify(std::size_t n) {
  require_held("Condition::notify");
  State& state = this->state();
  state.pass_on_from_the_dead();
  const std::uint64_t limit = state.next_round.load(std::memory_order_relaxed);
  std::size_t told = 0;
  State::Waiters waiters;
  for (const State::Waiter& waiter : state.in_order(waiters)) {
    if (told == n) break;
    if (!state.tell(waiter, limit)) continue;
    // Not before it can have the lock. If this thread dies holding it, the waiter finds out by itself.
    std::visit([&](auto* lock) { lock->wake_at_release(waiter.slot->word); }, lock_);
    ++told;
  }
  return told;
}

std::size_t Condition::waiters() const {
  return static_cast<std::size_t>(std::ranges::count_if(state().used_slots(), [](const WaitSlot& slot) {
    return slot.kind() == WaitSlot::Kind::kWaiting && slot.is_busy();
  }));
}

}  // namespace crucible
