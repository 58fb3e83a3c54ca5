// A pthread mutex between processes, bare. Lies in shared memory; nobody destroys it.
#pragma once

#include <pthread.h>

#include <cerrno>
#include <system_error>

namespace crucible::bench {

class BareMutex {
 public:
  explicit BareMutex(bool robust) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (robust) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    const int error = pthread_mutex_init(&mutex_, &attributes);
    pthread_mutexattr_destroy(&attributes);
    if (error != 0) throw std::system_error(error, std::generic_category(), "pthread_mutex_init");
  }
  BareMutex(const BareMutex&) = delete;
  BareMutex& operator=(const BareMutex&) = delete;

  void lock() {
    if (const int error = pthread_mutex_lock(&mutex_); error != 0) [[unlikely]]
      recover(error);
  }
  void unlock() { pthread_mutex_unlock(&mutex_); }
  pthread_mutex_t* native() noexcept { return &mutex_; }

 private:
  void recover(int error) {
    if (error != EOWNERDEAD) throw std::system_error(error, std::generic_category(), "pthread_mutex_lock");
    pthread_mutex_consistent(&mutex_);
  }

  pthread_mutex_t mutex_;
};

struct BareRobustMutex : BareMutex {
  BareRobustMutex() : BareMutex(true) {}
};
struct BarePlainMutex : BareMutex {
  BarePlainMutex() : BareMutex(false) {}
};

}  // namespace crucible::bench
