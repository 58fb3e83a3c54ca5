#include "core/wait_slot.h"

#include <cerrno>
#include <system_error>

namespace crucible {
namespace {

void require(int error, const char* call) {
  if (error != 0) throw std::system_error(error, std::generic_category(), call);
}

}  // namespace

void WaitSlot::initialise() {
  pthread_mutexattr_t attributes;
  require(pthread_mutexattr_init(&attributes), "pthread_mutexattr_init");
  require(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), "pthread_mutexattr_setpshared");
  require(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), "pthread_mutexattr_setrobust");
  require(pthread_mutex_init(&life_, &attributes), "pthread_mutex_init");
  pthread_mutexattr_destroy(&attributes);
}

WaitSlot::Claim WaitSlot::claim() noexcept {
  const int error = pthread_mutex_trylock(&life_);
  if (error == 0) return Claim::kFree;
  if (error != EOWNERDEAD) return Claim::kBusy;
  // Nothing to repair; and if the caller dies now the next one inherits the same.
  pthread_mutex_consistent(&life_);
  return Claim::kInherited;
}

// In this order: nobody finds the mutex free and the word taken.
void WaitSlot::vacate() noexcept {
  word.store(0, std::memory_order_release);
  pthread_mutex_unlock(&life_);
}

}  // namespace crucible
