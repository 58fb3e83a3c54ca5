// Shared memory that can be given to processes that have not inherited it, and trusted when it comes from others.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

#include "core/fd.h"

namespace crucible {

/// The mapping of a memfd whose size nobody can change any more and whose pages are all there: touching it raises
/// no SIGBUS, whatever a peer does. Freed by the kernel with its last descriptor and mapping.
class SealedMemory {
 public:
  /// Zeros. Throws std::system_error.
  static std::shared_ptr<SealedMemory> make(std::size_t bytes);
  /// What a peer made. Throws BadArgument for anything else or less, and leaves the descriptor to the caller then.
  static std::shared_ptr<SealedMemory> adopt(int descriptor, std::size_t bytes);
  SealedMemory(const SealedMemory&) = delete;
  SealedMemory& operator=(const SealedMemory&) = delete;
  ~SealedMemory();

  int descriptor() const noexcept { return file_.get(); }
  /// Objects of a type for which every value of their bytes is one; zeros at first.
  template <class T>
  T* objects() const noexcept {
    static_assert(std::is_standard_layout_v<T> && std::is_trivially_destructible_v<T>);
    return static_cast<T*>(memory_);
  }

 private:
  SealedMemory() = default;
  void map(int descriptor, std::size_t bytes);

  Fd file_;
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace crucible
