#include "core/robust_mutex.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <system_error>

#include "core/futex.h"

namespace crucible {
namespace {

// The distances within glibc's list, in its mutexes and at the head alike; x86-64 and 64-bit ARM.
constexpr long kWordFromNode = -32;
constexpr long kPreviousFromNode = -8;
static_assert(offsetof(pthread_mutex_t, __data.__lock) == 0 && sizeof(pthread_mutex_t) >= sizeof(RobustMutex));
static_assert(offsetof(pthread_mutex_t, __data.__list.__next) == 32);
static_assert(offsetof(pthread_mutex_t, __data.__list.__prev) == 24);

// Of fairness. A death costs kMostGivenWay times kGivingWay.
constexpr auto kPatience = std::chrono::milliseconds(20);
constexpr auto kGivingWay = std::chrono::milliseconds(1);
constexpr std::uint32_t kMostGivenWay = 4;
constexpr std::uint32_t kPatientSleeper = 1;
constexpr std::uint32_t kHurriedSleeper = 2;

// The calling thread. The kernel reads the list when the thread has ended, so it is enough that the compiler keeps the
// order of what is written.
struct Self {
  robust_list_head* head = nullptr;
  std::uint32_t tid = 0;  // 0: not asked for yet, or another process's
  std::uint32_t held = 0;

  // Wake-ups that are due when it lets go of a lock.
  struct Owed {
    const RobustMutex* lock;
    const std::atomic<std::uint32_t>* word;
  };
  std::uint32_t owes = 0;
  std::array<Owed, 64> owed = {};
};
thread_local Self self;

// A pointer in the list may carry the kernel's mark of a priority-inheriting mutex in its lowest bit.
char* unmarked(void* node) noexcept { return reinterpret_cast<char*>(reinterpret_cast<std::uintptr_t>(node) & ~1UL); }
void* node_of(void*& next) noexcept { return static_cast<void*>(&next); }
void*& previous_of(void* node) noexcept { return *reinterpret_cast<void**>(unmarked(node) + kPreviousFromNode); }
void*& next_of(void* node) noexcept { return *reinterpret_cast<void**>(unmarked(node)); }

template <class T>
void write_in_order(T*& place, void* value) noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  std::atomic_ref(place).store(static_cast<T*>(value), std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

// While it lives the kernel looks at this lock too, in the list or not: the owner's word is written elsewhere than the
// list, and a kill may come between. It also passes on a wake-up that a killed waiter had been given.
class Pending {
 public:
  explicit Pending(void* node) noexcept { write_in_order(self.head->list_op_pending, node); }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;
  ~Pending() { write_in_order(self.head->list_op_pending, nullptr); }
};

void enter_thread() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { self = {}; }); });
  std::size_t length = 0;
  robust_list_head* head = nullptr;
  if (syscall(SYS_get_robust_list, 0, &head, &length) != 0) throw_errno("get_robust_list");
  if (head == nullptr || length != sizeof *head || head->futex_offset != kWordFromNode) {
    throw std::system_error(ENOTSUP, std::generic_category(), "the C library's list of robust mutexes");
  }
  self.head = head;
  self.tid = static_cast<std::uint32_t>(syscall(SYS_gettid));
}

class LibraryMutex {
 public:
  LibraryMutex() {
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&mutex_, &kind);
    pthread_mutexattr_destroy(&kind);
  }
  LibraryMutex(const LibraryMutex&) = delete;
  LibraryMutex& operator=(const LibraryMutex&) = delete;
  ~LibraryMutex() { pthread_mutex_destroy(&mutex_); }
  void lock() { pthread_mutex_lock(&mutex_); }
  void unlock() { pthread_mutex_unlock(&mutex_); }
  void* node() { return static_cast<void*>(&mutex_.__data.__list.__next); }

 private:
  pthread_mutex_t mutex_;
};

}  // namespace

bool RobustMutex::held() const noexcept {
  return self.tid != 0 && (word_.load(std::memory_order_relaxed) & FUTEX_TID_MASK) == self.tid;
}

bool RobustMutex::locked() const noexcept { return (word_.load(std::memory_order_acquire) & FUTEX_TID_MASK) != 0; }

void RobustMutex::enlist() noexcept {
  void* const node = node_of(next_);
  robust_list* const first = self.head->list.next;
  next_ = first;
  previous_ = &self.head->list;
  previous_of(first) = node;
  write_in_order(self.head->list.next, node);
  ++self.held;
}

void RobustMutex::delist() noexcept {
  previous_of(next_) = previous_;
  write_in_order(next_of(previous_), next_);
  next_ = previous_ = nullptr;
  --self.held;
}

Status RobustMutex::acquire(Deadline deadline, AtDeath at_death, unsigned most_held) {
  if (self.tid == 0) [[unlikely]]
    require_supported();
  if (self.held >= most_held) [[unlikely]] {
    throw std::system_error(EAGAIN, std::generic_category(), "locks held by one thread");
  }
  const Pending pending(node_of(next_));
  std::uint32_t seen = 0;
  Status status = Status::kOk;
  if (!word_.compare_exchange_strong(seen, self.tid, std::memory_order_acquire, std::memory_order_relaxed))
      [[unlikely]] {
    status = take_slowly(seen, deadline, at_death);
    if (hurried_.load(std::memory_order_relaxed) == self.tid) stop_hurrying();
    if (status != Status::kOk && (status != Status::kOwnerDied || at_death == AtDeath::kRefuse)) return status;
  }
  enlist();
  return status;
}

// As acquire(), but whoever takes the lock is not in the list.
Status RobustMutex::take_slowly(std::uint32_t seen, Deadline deadline, AtDeath at_death) noexcept {
  // Who has slept cannot know whether others still do.
  Deadline patience = Deadline::never();
  for (std::uint32_t waiters = 0;;) {
    const std::uint32_t owner = seen & FUTEX_TID_MASK;
    if (owner == 0) {
      const bool died = (seen & FUTEX_OWNER_DIED) != 0;
      if (died && at_death == AtDeath::kRefuse) {
        if ((seen & FUTEX_WAITERS) != 0) futex_wake(word_, 1);  // the wake-up that may have brought this thread here
        return Status::kOwnerDied;
      }
      const std::uint32_t mine = self.tid | (seen & FUTEX_WAITERS) | waiters;
      if (!word_.compare_exchange_weak(seen, mine, std::memory_order_acquire, std::memory_order_relaxed)) continue;
      return died ? Status::kOwnerDied : Status::kOk;
    }
    if (deadline.has_passed()) return Status::kTimeout;
    if (owner == self.tid && deadline.is_never()) return Status::kState;
    const std::uint32_t awaited = seen | FUTEX_WAITERS;
    if (seen != awaited && !word_.compare_exchange_weak(seen, awaited, std::memory_order_relaxed)) continue;
    if (waiters == 0) patience = Deadline::after(kPatience);
    if (patience.has_passed() && hurry()) {
      futex_nap(word_, awaited, deadline, kLongestNap, kHurriedSleeper);
    } else {
      futex_nap(word_, awaited, deadline, kPatience, kPatientSleeper);
    }
    waiters = FUTEX_WAITERS;
    seen = word_.load(std::memory_order_relaxed);
  }
}

// Whether this thread is the one that others give way to. One at a time.
bool RobustMutex::hurry() noexcept {
  std::uint32_t nobody = 0;
  return hurried_.compare_exchange_strong(nobody, self.tid, std::memory_order_relaxed) || nobody == self.tid;
}

void RobustMutex::stop_hurrying() noexcept {
  if (held()) given_way_ = 0;
  hurried_.store(0, std::memory_order_relaxed);
  futex_wake(hurried_, kEverybody);
}

// Whom to give way to; 0: nobody, or one that does not come, being dead or stopped. The caller holds the lock.
std::uint32_t RobustMutex::hurried_one() noexcept {
  const std::uint32_t hurried = hurried_.load(std::memory_order_relaxed);
  if (hurried == 0 || ++given_way_ <= kMostGivenWay) return hurried;
  given_way_ = 0;
  hurried_.store(0, std::memory_order_relaxed);
  return 0;
}

Status RobustMutex::release() noexcept {
  if (!held()) return locked() ? Status::kNotOwner : Status::kOverRelease;
  const Pending pending(node_of(next_));
  delist();
  const std::uint32_t hurried = hurried_one();
  const std::uint32_t seen = word_.exchange(0, std::memory_order_release);
  // From here on the memory may be another's: only the kernel touches it.
  if ((seen & FUTEX_WAITERS) != 0 && (hurried == 0 || futex_wake(word_, 1, kHurriedSleeper) == 0)) {
    futex_wake(word_, 1);
  }
  if (self.owes != 0) wake_the_owed();
  if (hurried != 0) [[unlikely]]
    futex_nap(hurried_, hurried, Deadline::after(kGivingWay));
  return Status::kOk;
}

void RobustMutex::wake_at_release(const std::atomic<std::uint32_t>& word) noexcept {
  if (self.owes < self.owed.size()) {
    self.owed[self.owes++] = {this, &word};
  } else {
    futex_wake(word, 1);
  }
}

void RobustMutex::wake_the_owed() const noexcept {
  std::uint32_t others = 0;
  for (std::uint32_t i = 0; i < self.owes; ++i) {
    const Self::Owed owed = self.owed[i];
    if (owed.lock == this) {
      futex_wake(*owed.word, 1);
    } else {
      self.owed[others++] = owed;
    }
  }
  self.owes = others;
}

void RobustMutex::abandon() noexcept {
  if (!held()) return;
  const Pending pending(node_of(next_));
  delist();
  word_.fetch_or(FUTEX_OWNER_DIED, std::memory_order_relaxed);
  if ((word_.fetch_and(~std::uint32_t{FUTEX_TID_MASK}, std::memory_order_release) & FUTEX_WAITERS) != 0) {
    futex_wake(word_, 1);
  }
  if (self.owes != 0) wake_the_owed();
}

// One of ours between two of the library's, which then each leave: whoever writes a link, the others follow it.
bool RobustMutex::links_as_the_library() noexcept {
  void* const head = &self.head->list;
  void* const before = self.head->list.next;
  LibraryMutex below;
  LibraryMutex above;
  RobustMutex ours;
  below.lock();
  bool good = self.head->list.next == below.node() && previous_of(before) == below.node();
  if (!good) return below.unlock(), false;
  ours.enlist();
  above.lock();
  good = next_of(above.node()) == node_of(ours.next_) && ours.previous_ == above.node() && ours.next_ == below.node();
  below.unlock();
  good = good && ours.next_ == before && previous_of(before) == node_of(ours.next_);
  ours.delist();
  good = good && next_of(above.node()) == before && previous_of(before) == above.node();
  above.unlock();
  return good && self.head->list.next == before && previous_of(before) == head;
}

void RobustMutex::require_supported() {
  if (self.tid == 0) enter_thread();
  // No guarded static: a fork while another thread tries would leave it locked in the child. To try twice is no harm.
  static std::atomic<bool> tried_well = false;
  if (tried_well.load(std::memory_order_acquire)) return;
  if (!links_as_the_library()) {
    throw std::system_error(ENOTSUP, std::generic_category(), "the C library's list of robust mutexes");
  }
  tried_well.store(true, std::memory_order_release);
}

}  // namespace crucible
