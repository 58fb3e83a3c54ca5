// Small objects in memory that forked workers share.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory>
#include <type_traits>

#include "api/status.h"

namespace crucible::bench {

/// `count` trivially destructible objects, each made by `construct(T* at)`, in anonymous shared memory: a worker forked
/// later shares them, and the kernel frees them with their last process. Throws std::system_error (no memory).
template <class T, class Construct>
std::shared_ptr<T[]> make_inherited(std::size_t count, Construct construct) {
  static_assert(std::is_trivially_destructible_v<T>);
  const std::size_t bytes = count * sizeof(T);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw_errno("mmap");
  auto* objects = static_cast<T*>(memory);
  for (std::size_t i = 0; i < count; ++i) construct(objects + i);
  return {objects, [bytes](T* mapped) { munmap(mapped, bytes); }};
}

}  // namespace crucible::bench
