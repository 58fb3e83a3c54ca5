// The objects of one class that take part in every fork of their process.
#pragma once

#include <pthread.h>

#include <mutex>
#include <vector>

namespace crucible {

/// What empties each registry.
inline std::vector<void (*)()>& fork_registries() {
  static auto* const all = new std::vector<void (*)()>;
  return *all;
}

/// `Self` derives from it; T has, for it alone, three members. before_fork() takes the object's mutexes,
/// after_fork_in_parent() gives them back, and so does after_fork_in_child(), which also lets go of what is the
/// parent's; false: this copy need hear of no further fork. Lock order: `mutex`, then each object's; no other is taken
/// with them.
template <class Self, class T>
class ForkRegistry {
 public:
  /// The first call registers it with forks (fork_order.h says when that must be). It is never destroyed.
  static Self& get() {
    static Self* const registry = [] {
      auto* created = new Self;
      pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
      fork_registries().push_back([] { get().objects.clear(); });
      return created;
    }();
    return *registry;
  }
  void enter(T* object) {
    const std::lock_guard lock(mutex);
    objects.push_back(object);
  }
  void leave(T* object) noexcept {
    const std::lock_guard lock(mutex);
    std::erase(objects, object);
  }

  std::mutex mutex;
  std::vector<T*> objects;

 private:
  friend Self;
  ForkRegistry() = default;

  static void before_fork() {
    get().mutex.lock();
    for (T* const object : get().objects) object->before_fork();
  }
  static void after_fork_in_parent() {
    for (T* const object : get().objects) object->after_fork_in_parent();
    get().mutex.unlock();
  }
  static void after_fork_in_child() {
    std::erase_if(get().objects, [](T* object) { return !object->after_fork_in_child(); });
    get().mutex.unlock();
  }
};

}  // namespace crucible
