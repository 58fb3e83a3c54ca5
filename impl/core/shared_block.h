// SharedBlock: where an object lies that several processes use.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace crucible {

/// Zeroed memory, aligned to kAlignment, at the same address in its creator and in all processes forked from it after.
/// Each has its own copy of the handle; the memory lasts as long as the last of them. Movable.
class SharedBlock {
 public:
  static constexpr std::size_t kAlignment = 128;

  /// Touching it raises no SIGBUS. Throws std::system_error: no space; BadArgument: no bytes.
  static SharedBlock allocate(std::size_t bytes);
  SharedBlock() = default;
  SharedBlock(SharedBlock&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  SharedBlock& operator=(SharedBlock&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~SharedBlock();

  std::size_t bytes() const noexcept { return bytes_; }
  void* data() const noexcept { return memory_; }
  /// The object of a type for which all bytes zero is a value, and whose end nobody needs to run.
  template <class T>
  T& as() const noexcept {
    static_assert(std::is_standard_layout_v<T> && std::is_trivially_destructible_v<T> && alignof(T) <= kAlignment);
    return *static_cast<T*>(memory_);
  }

 private:
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace crucible
