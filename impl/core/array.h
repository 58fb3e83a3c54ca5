// RawArray, Array: a fixed number of objects that several processes use.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/rlock.h"
#include "core/shared_objects.h"

namespace crucible {

/// Objects without a lock: whoever shares them keeps order. Inherited by fork, or named (SharedBlock says what that
/// means). Neither copied nor moved. An index counts from 0, a negative one from the end; beyond either it throws
/// std::out_of_range, as a range does unless 0 <= first <= last <= size().
template <Shareable T>
class RawArray {
 public:
  /// Value-initialised, also in memory that was used before. BadArgument: negative, or too large for an address.
  explicit RawArray(std::ptrdiff_t size) : objects_(size) {}
  explicit RawArray(std::span<const T> values) : objects_(values) {}
  RawArray(std::initializer_list<T> values) : RawArray(view(values)) {}
  /// As SharedBlock::create() and open(); BadArgument also for an array of another type.
  static RawArray create(const std::string& name, std::span<const T> values) {
    return RawArray(ByName(), name, values);
  }
  static RawArray create(const std::string& name, std::initializer_list<T> values) {
    return RawArray(ByName(), name, view(values));
  }
  static RawArray open(const std::string& name) { return RawArray(ByName(), name); }
  RawArray(const RawArray&) = delete;
  RawArray& operator=(const RawArray&) = delete;

  std::size_t size() const noexcept { return objects_.size(); }
  T& operator[](std::ptrdiff_t index) const {
    const std::ptrdiff_t from_start = index < 0 ? index + std::ssize(span()) : index;
    if (from_start < 0 || from_start >= std::ssize(span())) throw std::out_of_range("an index beyond the array");
    return objects_.data()[from_start];
  }
  /// All of them, unchecked, for as long as this handle lives.
  std::span<T> span() const noexcept { return {objects_.data(), objects_.size()}; }
  T* begin() const noexcept { return objects_.data(); }
  T* end() const noexcept { return objects_.data() + size(); }

  /// An independent copy of those from `first` up to, without, `last`.
  std::vector<T> copy(std::size_t first, std::size_t last) const {
    const std::span<T> part = range(first, last);
    return {part.begin(), part.end()};
  }
  std::vector<T> copy() const { return copy(0, size()); }
  /// Replaces these. BadArgument, nothing replaced, unless there are exactly as many values.
  void assign(std::size_t first, std::size_t last, std::span<const T> values) {
    const std::span<T> part = range(first, last);
    if (values.size() != part.size()) throw BadArgument("assign: as many values as places");
    std::copy(values.begin(), values.end(), part.begin());
  }
  void assign(std::size_t first, std::size_t last, std::initializer_list<T> values) {
    assign(first, last, view(values));
  }

  /// Of characters: the text up to the first NUL; or all of them.
  std::string value() const
    requires std::same_as<T, char>
  {
    return {begin(), std::find(begin(), end(), '\0')};
  }
  std::string raw() const
    requires std::same_as<T, char>
  {
    return {begin(), end()};
  }
  /// BadArgument, nothing replaced: longer than the array. A shorter text is ended by one NUL, and what follows stays.
  void set_value(std::string_view text)
    requires std::same_as<T, char>
  {
    set_raw(text);
    if (text.size() < size()) begin()[text.size()] = '\0';
  }
  /// As many as given; BadArgument as above.
  void set_raw(std::string_view characters)
    requires std::same_as<T, char>
  {
    if (characters.size() > size()) throw BadArgument("a text longer than the array");
    std::copy(characters.begin(), characters.end(), begin());
  }

  /// Of a named array. unlink() as SharedBlock::unlink().
  std::string name() const { return objects_.block().name(); }
  void unlink() const { objects_.block().unlink(); }

 private:
  using ByName = detail::ByName;
  static constexpr SharedBlock::Kind kKind = {"array", 1};
  RawArray(ByName /*tag*/, const std::string& name, std::span<const T> values) : objects_(name, kKind, values) {}
  RawArray(ByName /*tag*/, const std::string& name) : objects_(name, kKind) {}

  static std::span<const T> view(std::initializer_list<T> values) { return {values.begin(), values.size()}; }
  std::span<T> range(std::size_t first, std::size_t last) const {
    if (first > last || last > size()) throw std::out_of_range("a range beyond the array");
    return span().subspan(first, last - first);
  }

  detail::SharedObjects<T> objects_;
};

/// A RawArray and a lock, as a Value has it: its own, or one that was given, must outlive it and may guard more. What
/// is copied and replaced is so under the lock; `get()` is the array without it.
template <Shareable T, class L = RLock>
class Array {
 public:
  explicit Array(std::ptrdiff_t size) : array_(size) {}
  explicit Array(std::span<const T> values) : array_(values) {}
  Array(std::initializer_list<T> values) : array_(values) {}
  Array(std::ptrdiff_t size, L& lock) : lock_(lock), array_(size) {}
  Array(std::span<const T> values, L& lock) : lock_(lock), array_(values) {}
  /// The lock has a name of its own behind the array's, which may be five characters shorter than a block's.
  static Array create(const std::string& name, std::span<const T> values) { return Array(ByName(), name, values); }
  static Array open(const std::string& name) { return Array(ByName(), name); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  L& get_lock() const noexcept { return lock_.get(); }
  void lock() { get_lock().lock(); }
  bool try_lock() { return get_lock().try_lock(); }
  void unlock() { get_lock().unlock(); }

  RawArray<T>& get() noexcept { return array_; }
  std::size_t size() const noexcept { return array_.size(); }
  T load(std::ptrdiff_t index) const {
    const std::scoped_lock guard(get_lock());
    return array_[index];
  }
  void store(std::ptrdiff_t index, const T& value) {
    const std::scoped_lock guard(get_lock());
    array_[index] = value;
  }
  std::vector<T> copy(std::size_t first, std::size_t last) const {
    const std::scoped_lock guard(get_lock());
    return array_.copy(first, last);
  }
  std::vector<T> copy() const { return copy(0, size()); }
  void assign(std::size_t first, std::size_t last, std::span<const T> values) {
    const std::scoped_lock guard(get_lock());
    array_.assign(first, last, values);
  }
  /// `change(std::span<T>)` under the lock; what it returns.
  template <std::invocable<std::span<T>> Change>
  decltype(auto) update(Change&& change) {
    const std::scoped_lock guard(get_lock());
    return std::forward<Change>(change)(array_.span());
  }

  std::string value() const
    requires std::same_as<T, char>
  {
    const std::scoped_lock guard(get_lock());
    return array_.value();
  }
  std::string raw() const
    requires std::same_as<T, char>
  {
    const std::scoped_lock guard(get_lock());
    return array_.raw();
  }
  void set_value(std::string_view text)
    requires std::same_as<T, char>
  {
    const std::scoped_lock guard(get_lock());
    array_.set_value(text);
  }

  std::string name() const { return array_.name(); }

 private:
  using ByName = detail::ByName;
  using Guard = detail::Guard<L>;
  // The lock first: who finds the array finds the lock too.
  Array(ByName /*tag*/, const std::string& name, std::span<const T> values)
      : lock_(name, Guard::Make::kCreate), array_(RawArray<T>::create(name, values)) {}
  Array(ByName /*tag*/, const std::string& name) : lock_(name, Guard::Make::kOpen), array_(RawArray<T>::open(name)) {}

  Guard lock_;
  RawArray<T> array_;
};

}  // namespace crucible
