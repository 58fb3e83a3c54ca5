// What Value and Array are made of: objects of one type in a block, and a lock beside them. Internal to both.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "api/status.h"
#include "core/shared_block.h"

namespace crucible {

/// What may lie in memory that several processes use: its bytes are all there is of it. (A pointer's are not.)
template <class T>
concept Shareable =
    std::is_trivially_copyable_v<T> && std::is_default_constructible_v<T> && std::same_as<T, std::remove_cv_t<T>> &&
    !std::is_pointer_v<T> && !std::is_member_pointer_v<T> && alignof(T) <= SharedBlock::kAlignment;

namespace detail {

/// Tells constructors for what has a name from those that take values.
struct ByName {
  explicit ByName() = default;
};

/// `size()` objects; a named block also says of what type they are.
template <Shareable T>
class SharedObjects {
 public:
  /// Value-initialised. BadArgument: negative, or too large for an address.
  explicit SharedObjects(std::ptrdiff_t size) : block_(SharedBlock::allocate(bytes_for(size))) {
    std::uninitialized_value_construct_n(place(block_.data(), size), size);
  }
  explicit SharedObjects(std::span<const T> values) : block_(SharedBlock::allocate(bytes_for(std::ssize(values)))) {
    std::uninitialized_copy(values.begin(), values.end(), place(block_.data(), std::ssize(values)));
  }
  SharedObjects(const std::string& name, SharedBlock::Kind kind, std::span<const T> values)
      : block_(SharedBlock::create(name, kind, sizeof(Header) + bytes_for(std::ssize(values)), [&](SharedBlock& block) {
          block.as<Header>() = {type_hash(), sizeof(T), alignof(T), values.size()};
          std::uninitialized_copy(values.begin(), values.end(), static_cast<T*>(after_header(block)));
        })) {
    place(after_header(block_), std::ssize(values));
  }
  SharedObjects(const std::string& name, SharedBlock::Kind kind) : block_(SharedBlock::open(name, kind)) {
    const std::size_t bytes = block_.bytes();
    const bool has_header = bytes >= sizeof(Header);
    const Header header = has_header ? block_.as<Header>() : Header{};
    const bool fits = has_header && header.type == type_hash() && header.object_bytes == sizeof(T) &&
                      header.alignment == alignof(T) && header.size <= (bytes - sizeof(Header)) / sizeof(T);
    if (!fits) throw BadArgument("open: " + name + " holds objects of another type");
    place(after_header(block_), static_cast<std::ptrdiff_t>(header.size));
  }

  T* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  const SharedBlock& block() const noexcept { return block_; }

 private:
  struct alignas(SharedBlock::kAlignment) Header {
    std::uint64_t type;
    std::uint64_t object_bytes;
    std::uint64_t alignment;
    std::uint64_t size;
  };

  static std::uint64_t type_hash() noexcept {
    std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a
    for (const char letter : std::string_view(typeid(T).name())) {
      hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3U;
    }
    return hash;
  }
  static std::size_t bytes_for(std::ptrdiff_t size) {
    constexpr std::ptrdiff_t kMost = std::numeric_limits<std::ptrdiff_t>::max() / 2 / sizeof(T);
    if (size < 0 || size > kMost) throw BadArgument("a size from 0 to what an address can reach");
    return std::max<std::size_t>(1, static_cast<std::size_t>(size) * sizeof(T));
  }
  static void* after_header(const SharedBlock& block) { return static_cast<std::byte*>(block.data()) + sizeof(Header); }
  T* place(void* memory, std::ptrdiff_t size) noexcept {
    data_ = static_cast<T*>(memory);
    size_ = static_cast<std::size_t>(size);
    return data_;
  }

  SharedBlock block_;
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The lock beside what it guards: its own, or one that was given and is not owned.
template <class L>
class Guard {
 public:
  Guard() : own_(std::make_unique<L>()), lock_(own_.get()) {}
  explicit Guard(L& given) noexcept : lock_(&given) {}
  enum class Make : bool { kOpen, kCreate };
  /// The lock of what is named so.
  Guard(const std::string& name, Make make)
      : own_(make == Make::kCreate ? new L(L::create(name + kSuffix)) : new L(L::open(name + kSuffix))),
        lock_(own_.get()) {}

  L& get() const noexcept { return *lock_; }

 private:
  static constexpr const char* kSuffix = ".lock";

  std::unique_ptr<L> own_;
  L* lock_;
};

}  // namespace detail
}  // namespace crucible
