#include "core/semaphore.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <string>
#include <system_error>

#include "api/status.h"
#include "core/futex.h"
#include "core/liveness.h"
#include "core/robust_mutex.h"

namespace crucible {

// The count and the number of permits that are out change together, in one word. Each permit stands a second time with
// the process that holds it, under the mutex. Whoever changes both lets the word count more permits than stand with
// processes, never fewer: taking adds to the word first, giving back takes from the process first. So what a killed one
// left is seen by counting again, and put right by giving the difference back, as often as one likes.
struct SemaphoreState {
  static constexpr std::uint64_t kSleepers = 1ULL << 31;  // somebody may sleep
  static constexpr std::uint64_t kValue = kSleepers - 1;
  static constexpr unsigned kPermitShift = 32;
  static constexpr std::uint64_t kPermit = 1ULL << kPermitShift;
  // Holders of the mutex do not wait for anything. One that is stopped is waited for so long by who has a deadline.
  static constexpr auto kPatience = std::chrono::milliseconds(100);

  struct Holder {
    std::atomic<std::uint64_t> process;  // ProcessIdentity, packed; means nothing while `permits` is 0
    std::atomic<std::uint32_t> permits;
    std::uint32_t unused;
  };

  std::atomic<std::uint64_t> counts;
  std::uint64_t bound;
  std::uint64_t pids;                   // the pid_namespace() of those who hold permits
  std::atomic<std::int64_t> looked_ns;  // when somebody last looked for dead holders
  RobustMutex mutex;                    // guards what follows, and the number of permits in `counts`
  std::atomic<std::uint32_t> used;      // so many of the holders have ever been used
  std::array<Holder, Semaphore::kMostHolders> holders;

  // The half that sleepers look at.
  const void* word() const noexcept {
    static_assert(std::endian::native == std::endian::little);
    return &counts;
  }

  static std::uint64_t permits(std::uint64_t seen) noexcept { return seen >> kPermitShift; }

  void wake(int count) noexcept {
    if (futex_wake(word(), count) > 0) return;
    // Nobody slept. One who is about to sees that the word has changed; one who woke meanwhile puts the mark back.
    std::uint64_t seen = counts.load(std::memory_order_relaxed);
    if ((seen & kSleepers) == 0 || (seen & kValue) == 0) return;
    counts.compare_exchange_strong(seen, seen & ~kSleepers, std::memory_order_relaxed);
  }

  // `permits` go back into the count. The mutex is held.
  void give_back(std::uint32_t permits) noexcept {
    const std::uint64_t before = counts.fetch_add(permits - permits * kPermit, std::memory_order_acq_rel);
    if ((before & kSleepers) != 0) wake(static_cast<int>(permits));
  }

  void repair() noexcept {
    std::uint64_t held = 0;
    for (const Holder& holder : holders) held += holder.permits.load(std::memory_order_relaxed);
    const std::uint64_t out = permits(counts.load(std::memory_order_relaxed));
    if (out > held) give_back(static_cast<std::uint32_t>(out - held));
  }

  class Guard {
   public:
    Guard(SemaphoreState& state, Deadline deadline) : state_(state) {
      const Status status = state.mutex.acquire(deadline, RobustMutex::AtDeath::kTake, RobustMutex::kMostHeldInside);
      if (status == Status::kOwnerDied) state.repair();
      holds_ = status != Status::kTimeout;
    }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() {
      if (holds_) (void)state_.mutex.release();
    }
    explicit operator bool() const noexcept { return holds_; }

   private:
    SemaphoreState& state_;
    bool holds_ = false;
  };
  static Deadline patient(Deadline deadline) noexcept {
    if (deadline.is_never() || deadline.left() > kPatience) return deadline;
    return Deadline::after(kPatience);
  }

  // For who waits: nobody need ask so often.
  bool look_is_due() const noexcept {
    constexpr std::int64_t kInterval = 10'000'000;
    return Deadline::now_ns() - looked_ns.load(std::memory_order_relaxed) >= kInterval;
  }
  // Gives back what the dead hold. Whether there was anything. Asking after them takes long, hence without the mutex.
  bool reclaim() {
    bool any = false;
    if (permits(counts.load(std::memory_order_relaxed)) == 0 || pids != pid_namespace()) return any;
    const std::uint32_t end = used.load(std::memory_order_acquire);
    std::uint64_t held = 0;
    for (std::uint32_t slot = 0; slot < end; ++slot) {
      Holder& holder = holders[slot];
      const std::uint64_t process = holder.process.load(std::memory_order_acquire);
      const std::uint32_t has = holder.permits.load(std::memory_order_acquire);
      if (has == 0) continue;
      held += has;
      if (alive(ProcessIdentity::unpacked(process))) continue;
      const Guard guard(*this, patient(Deadline::immediate()));
      if (!guard) return any;
      if (holder.process.load(std::memory_order_relaxed) != process) continue;
      const std::uint32_t permits = holder.permits.exchange(0, std::memory_order_relaxed);
      give_back(permits);
      any = any || permits != 0;
    }
    // Permits that nobody has: one who changes both is at it, or died in the middle, which taking the mutex repairs.
    if (permits(counts.load(std::memory_order_acquire)) > held) {
      const Guard guard(*this, patient(Deadline::immediate()));
      any = any || (counts.load(std::memory_order_relaxed) & kValue) != 0;
    }
    looked_ns.store(Deadline::now_ns(), std::memory_order_relaxed);
    return any;
  }
  // A process that holds permits keeps its slot; one that holds none may lose it. kMostHolders: all are taken.
  std::uint32_t slot_of(std::uint64_t process) noexcept {
    const std::uint32_t end = used.load(std::memory_order_relaxed);
    std::uint32_t free = end;
    for (std::uint32_t slot = 0; slot < end; ++slot) {
      if (holders[slot].process.load(std::memory_order_relaxed) == process) return slot;
      if (free == end && holders[slot].permits.load(std::memory_order_relaxed) == 0) free = slot;
    }
    if (free == Semaphore::kMostHolders) return free;
    holders[free].process.store(process, std::memory_order_release);
    if (free == end) used.store(end + 1, std::memory_order_release);
    return free;
  }

  // Takes one of the count and adds `with` to the word. Who has slept cannot know whether others still do, nor whether
  // the wake-up was meant for more than one. False: there is none.
  bool take(std::uint64_t with, bool slept) noexcept {
    std::uint64_t seen = counts.load(std::memory_order_relaxed);
    while ((seen & kValue) != 0) {
      const std::uint64_t taken = (seen - 1 + with) | (slept ? kSleepers : 0);
      if (!counts.compare_exchange_weak(seen, taken, std::memory_order_acquire, std::memory_order_relaxed)) continue;
      if (slept && (taken & kValue) != 0) wake(1);
      return true;
    }
    return false;
  }

  enum class Taken { kYes, kNo, kNoSlot };
  // A permit for that process, in `slot`.
  Taken take_permit(std::uint64_t process, std::uint32_t& slot, Deadline deadline, bool slept) {
    if ((counts.load(std::memory_order_relaxed) & kValue) == 0) return Taken::kNo;
    const Guard guard(*this, patient(deadline));
    if (!guard) return Taken::kNo;
    slot = slot_of(process);
    if (slot == Semaphore::kMostHolders) return Taken::kNoSlot;
    if (!take(kPermit, slept)) return Taken::kNo;
    holders[slot].permits.fetch_add(1, std::memory_order_relaxed);
    return Taken::kYes;
  }

  // One call's wait for something to take.
  class Wait {
   public:
    Wait(SemaphoreState& state, Deadline deadline) : state_(state), deadline_(deadline) {}
    bool slept() const noexcept { return slept_; }
    // Whether it is worth while to try again.
    bool again() {
      const bool over = deadline_.has_passed();
      if (over || state_.look_is_due()) {
        if (state_.reclaim()) return true;
        if (over) return false;
      }
      std::uint64_t seen = state_.counts.load(std::memory_order_relaxed);
      if ((seen & kValue) != 0) return true;
      if ((seen & kSleepers) == 0 &&
          !state_.counts.compare_exchange_weak(seen, seen | kSleepers, std::memory_order_relaxed)) {
        return true;
      }
      futex_nap(state_.word(), static_cast<std::uint32_t>(kSleepers), deadline_);
      return slept_ = true;
    }

   private:
    SemaphoreState& state_;
    const Deadline deadline_;
    bool slept_ = false;
  };
};

SemaphoreState& Semaphore::state() const noexcept { return block_.as<SemaphoreState>(); }

Semaphore::Semaphore(const std::string* name, SharedBlock::Kind kind, std::int64_t value, std::int64_t bound) {
  if (value < 0 || value > kGreatest) {
    throw BadArgument("Semaphore: a value of " + std::to_string(value) + " is not between 0 and 2^31 - 1");
  }
  RobustMutex::require_supported();
  const auto initialise = [value, bound](SharedBlock& block) {
    SemaphoreState& state = block.as<SemaphoreState>();
    state.counts.store(static_cast<std::uint64_t>(value), std::memory_order_relaxed);
    state.bound = static_cast<std::uint64_t>(bound);
    state.pids = pid_namespace();
  };
  if (name == nullptr) {
    block_ = SharedBlock::allocate(sizeof(SemaphoreState));
    initialise(block_);
  } else {
    block_ = SharedBlock::create(*name, kind, sizeof(SemaphoreState), initialise);
  }
}

Semaphore::Semaphore(const std::string& name, SharedBlock::Kind kind) {
  RobustMutex::require_supported();
  block_ = SharedBlock::open(name, kind);
}

bool Semaphore::acquire_until(Deadline deadline) noexcept {
  SemaphoreState& state = this->state();
  if (state.take(0, false)) return true;
  SemaphoreState::Wait wait(state, deadline);
  while (wait.again()) {
    if (state.take(0, wait.slept())) return true;
  }
  return false;
}

void Semaphore::release() {
  SemaphoreState& state = this->state();
  std::uint64_t seen = state.counts.load(std::memory_order_relaxed);
  do {
    if ((seen & SemaphoreState::kValue) + SemaphoreState::permits(seen) >= state.bound) {
      throw OverRelease("release: the semaphore is at " + std::to_string(state.bound));
    }
  } while (!state.counts.compare_exchange_weak(seen, seen + 1, std::memory_order_release, std::memory_order_relaxed));
  if ((seen & SemaphoreState::kSleepers) != 0) state.wake(1);
}

std::int64_t Semaphore::value() const noexcept {
  SemaphoreState& state = this->state();
  (void)state.reclaim();
  return static_cast<std::int64_t>(state.counts.load(std::memory_order_acquire) & SemaphoreState::kValue);
}

std::optional<Semaphore::Permit> Semaphore::permit_until(Deadline deadline) {
  SemaphoreState& state = this->state();
  if (state.pids != pid_namespace()) throw Unsupported("permit: the semaphore was created in another pid namespace");
  const ProcessIdentity self = ProcessIdentity::self();
  SemaphoreState::Wait wait(state, deadline);
  std::uint32_t slot = 0;
  do {
    const SemaphoreState::Taken taken = state.take_permit(self.packed(), slot, deadline, wait.slept());
    if (taken == SemaphoreState::Taken::kYes) return Permit(*this, slot, static_cast<pid_t>(self.pid));
    if (taken == SemaphoreState::Taken::kNoSlot && !state.reclaim()) {
      throw std::system_error(EAGAIN, std::generic_category(), "processes that hold permits");
    }
  } while (wait.again());
  return std::nullopt;
}

void Semaphore::Permit::release() noexcept {
  const Semaphore* const semaphore = std::exchange(semaphore_, nullptr);
  if (semaphore == nullptr || ::getpid() != taker_) return;
  SemaphoreState& state = semaphore->state();
  const SemaphoreState::Guard guard(state, Deadline::never());
  state.holders[slot_].permits.fetch_sub(1, std::memory_order_relaxed);
  state.give_back(1);
}

}  // namespace crucible
