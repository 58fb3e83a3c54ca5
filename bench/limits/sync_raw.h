// Locks, events and barriers as the kernel and the C library have them, bare: limits and peers.
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include <atomic>
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_semaphore.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "api/status.h"
#include "limits/bare_mutex.h"
#include "limits/futex_word.h"
#include "support/inherited.h"

namespace crucible::bench {

/// A T in memory that forked processes share, and that nobody destroys.
template <class T>
class SharedThing {
 public:
  template <class... Arguments>
  explicit SharedThing(Arguments&&... arguments)
      : room_(make_inherited<Room>(1, [&](Room* at) { new (at->bytes) T(std::forward<Arguments>(arguments)...); })) {}
  T* operator->() const noexcept { return std::launder(reinterpret_cast<T*>(room_[0].bytes)); }
  T& operator*() const noexcept { return *operator->(); }

 private:
  struct alignas(128) Room {
    std::byte bytes[sizeof(T)];
  };
  std::shared_ptr<Room[]> room_;
};

template <class Mutex>
struct MutexThing {
  void acquire() { mutex->lock(); }
  void release() { mutex->unlock(); }
  SharedThing<Mutex> mutex;
};
using RobustThing = MutexThing<BareRobustMutex>;
using PlainThing = MutexThing<BarePlainMutex>;
using BoostMutexThing = MutexThing<boost::interprocess::interprocess_mutex>;

struct PosixSemaphoreThing {
  explicit PosixSemaphoreThing(unsigned permits) {
    if (sem_init(&*semaphore, 1, permits) != 0) throw_errno("sem_init");
  }
  void acquire() {
    while (sem_wait(&*semaphore) != 0) {
      if (errno != EINTR) throw_errno("sem_wait");
    }
  }
  void release() { sem_post(&*semaphore); }
  SharedThing<sem_t> semaphore;
};

struct BoostSemaphoreThing {
  explicit BoostSemaphoreThing(unsigned permits) : semaphore(permits) {}
  void acquire() { semaphore->wait(); }
  void release() { semaphore->post(); }
  SharedThing<boost::interprocess::interprocess_semaphore> semaphore;
};

class PosixCondition {
 public:
  PosixCondition() {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&condition_, &attributes);
    pthread_condattr_destroy(&attributes);
  }
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }
  void wait() { pthread_cond_wait(&condition_, mutex_.native()); }
  void notify() { pthread_cond_signal(&condition_); }

 private:
  BareRobustMutex mutex_;
  pthread_cond_t condition_;
};
class BoostCondition {
 public:
  void lock() { lock_.lock(); }
  void unlock() { lock_.unlock(); }
  void wait() {
    boost::interprocess::scoped_lock<boost::interprocess::interprocess_mutex> held(
        lock_, boost::interprocess::accept_ownership);
    condition_.wait(held);
    held.release();
  }
  void notify() { condition_.notify_one(); }

 private:
  boost::interprocess::interprocess_mutex lock_;
  boost::interprocess::interprocess_condition condition_;
};
template <class Condition>
struct ConditionThing {
  void lock() { condition->lock(); }
  void unlock() { condition->unlock(); }
  void wait() { condition->wait(); }
  void notify() { condition->notify(); }
  SharedThing<Condition> condition;
};

/// The least that waking many costs: one word that they sleep on.
struct FutexEvent {
  void set() {
    word->store(1, std::memory_order_release);
    futex_wake(*word, INT_MAX);
  }
  void clear() { word->store(0, std::memory_order_release); }
  void wait() {
    while (word->load(std::memory_order_acquire) == 0) futex_wait(*word, 0);
  }
  SharedThing<FutexWord> word = SharedThing<FutexWord>(0U);
};

/// The least that a barrier costs: the last to come wakes the n-1 others.
struct FutexBarrier {
  struct State {
    explicit State(std::uint32_t number) : parties(number) {}
    std::uint32_t parties;
    alignas(128) std::atomic<std::uint32_t> came = 0;
    alignas(128) FutexWord turn = 0;
  };
  explicit FutexBarrier(std::uint32_t parties) : state(parties) {}
  void wait() {
    const std::uint32_t turn = state->turn.load(std::memory_order_acquire);
    if (state->came.fetch_add(1, std::memory_order_acq_rel) + 1 == state->parties) {
      state->came.store(0, std::memory_order_relaxed);
      state->turn.store(turn + 1, std::memory_order_release);
      futex_wake(state->turn, INT_MAX);
      return;
    }
    while (state->turn.load(std::memory_order_acquire) == turn) futex_wait(state->turn, turn);
  }
  SharedThing<State> state;
};

struct PosixBarrier {
  explicit PosixBarrier(std::uint32_t parties) {
    pthread_barrierattr_t attributes;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&*barrier, &attributes, parties);
    pthread_barrierattr_destroy(&attributes);
  }
  void wait() { pthread_barrier_wait(&*barrier); }
  SharedThing<pthread_barrier_t> barrier;
};

}  // namespace crucible::bench
