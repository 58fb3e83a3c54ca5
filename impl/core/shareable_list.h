// ShareableList: a list of values under a name.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "api/object.h"
#include "core/shared_memory.h"

namespace crucible {

/// A fixed number of items: null, bool, 64-bit integers, double, strings and byte strings, which come back as they went
/// in, whatever bytes they hold. An item may be changed to any value that fits where it lies: texts of capacity()
/// bytes, which is the first one's length rounded up to a multiple of 8, at least 8; everything else always fits.
///
/// An item is changed at once: whoever reads meanwhile gets the old value or the new one, also when who changes it is
/// killed half-way. Any number of processes and threads read; those that change the same item take turns, by a Lock
/// beside the list. It is shared and lives as a SharedMemory. Indices count from 0, negative ones from the end;
/// std::out_of_range beyond either.
class ShareableList {
 public:
  using Access = SharedBlock::Access;
  using Handle = SharedMemory::Handle;

  /// Throw BadArgument for lists and dicts, and as SharedMemory::create().
  static ShareableList create(std::span<const Object> items);
  static ShareableList create(std::initializer_list<Object> items) { return create(std::span(items)); }
  static ShareableList create(const std::string& name, std::span<const Object> items) { return {name, items}; }
  static ShareableList create(const std::string& name, std::initializer_list<Object> items) {
    return {name, std::span(items)};
  }
  /// Throw as SharedBlock::open(); BadArgument also if it is damaged.
  static ShareableList attach(const std::string& name, Access access = Access::kReadWrite) {
    return {{name, {}}, access};
  }
  static ShareableList attach(const Handle& handle, Access access = Access::kReadWrite) { return {handle, access}; }
  ShareableList(const ShareableList&) = delete;
  ShareableList& operator=(const ShareableList&) = delete;

  /// Kept after close(); what concerns items then throws Closed.
  const std::string& name() const noexcept { return memory_.name(); }
  const Handle& handle() const noexcept { return memory_.handle(); }
  std::size_t size() const noexcept { return count_; }

  /// A copy. Throws EncodingError if somebody has damaged the memory.
  Object get(std::ptrdiff_t index) const;
  Object operator[](std::ptrdiff_t index) const { return get(index); }
  /// Throws BadArgument: it does not fit, is a list or dict, or the list was attached for reading only; then
  /// everything is as it was.
  void set(std::ptrdiff_t index, const Object& value);
  std::size_t capacity(std::ptrdiff_t index) const;
  /// Copies of all, each as it was at some moment.
  std::vector<Object> items() const;
  /// The first item equal to `value`; how many are.
  std::optional<std::size_t> find(const Object& value) const;
  std::size_t count(const Object& value) const;

  /// As SharedMemory's.
  void close() noexcept { memory_.close(); }
  bool closed() const noexcept { return memory_.closed(); }
  void unlink() const { memory_.unlink(); }

 private:
  ShareableList(const std::string& name, std::span<const Object> items);
  ShareableList(const Handle& handle, Access access);
  std::size_t position(std::ptrdiff_t index) const;

  SharedMemory memory_;
  std::size_t count_;
};

}  // namespace crucible
