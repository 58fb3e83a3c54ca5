// What processes of one test share: one-shot events and small values, made before the fork.
#pragma once

#include <sys/mman.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include "api/status.h"

namespace crucible::testing {

/// One T in memory that this process shares with the children it forks from now on. T holds atomics or is
/// otherwise synchronised by the test; it is never destroyed, the mapping ends with the object.
template <class T>
class SharedBox {
  static_assert(std::is_trivially_destructible_v<T>, "several processes would destroy it");

 public:
  template <class... Args>
  explicit SharedBox(Args&&... args) {
    void* memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw_errno("mmap");
    value_ = new (memory) T{std::forward<Args>(args)...};
  }
  SharedBox(const SharedBox&) = delete;
  SharedBox& operator=(const SharedBox&) = delete;
  ~SharedBox() { ::munmap(value_, sizeof(T)); }

  T& operator*() const noexcept { return *value_; }
  T* operator->() const noexcept { return value_; }

 private:
  T* value_;
};

/// Set once, seen by every process and thread; setting it is a release, having waited for it an acquire.
class Event {
 public:
  void set() noexcept;
  void wait() noexcept;
  bool is_set() const noexcept { return word_->load(std::memory_order_acquire) != 0; }
  /// Whether it was set within `duration`.
  bool wait_for(std::chrono::nanoseconds duration) noexcept;

 private:
  SharedBox<std::atomic<std::uint32_t>> word_{0U};
};

/// Whether the thread sleeps inside a system call now. False if it is gone.
bool blocked_in_kernel(pid_t tid);

/// Returns once the thread sleeps in a system call and stays there from one look to the next: the event to use
/// before disturbing whoever must be blocked. Also for one that waits without sleeping: when it has used a tenth of a
/// second of CPU and touched no new page meanwhile. Throws std::runtime_error if the thread is gone.
void await_blocked(pid_t pid, pid_t tid);
inline void await_blocked(pid_t tid) { await_blocked(tid, tid); }

/// The calling thread's id, to hand to whoever will await_blocked() it.
pid_t thread_id() noexcept;

}  // namespace crucible::testing
