// SharedHeap: small blocks of inherited memory, many to a mapping. Internal to core/shared_block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

namespace crucible {

/// What the heap knows of its blocks is this process's own: no death elsewhere can tear it, and a forked child begins
/// with nothing, since what it inherited is its parent's. A block that was there when a child was forked may still be
/// in use there after it was freed here: it is held back until nothing in its arena is in use, and then the arena is
/// unmapped here and nowhere else. Any thread.
class SharedHeap {
 public:
  static constexpr std::size_t kArena = 64 * 1024;  ///< bytes of a mapping
  static constexpr std::size_t kLargest = kArena / 4;

  static SharedHeap& get();
  /// At most kLargest bytes, zeroed. Throws std::system_error, std::bad_alloc.
  std::byte* take(std::size_t bytes);
  /// What take() gave; of a parent's, nothing happens.
  void give_back(std::byte* block) noexcept;

  enum class State : std::uint8_t { kFree, kUsed, kHeldBack };
  struct Extent {
    std::byte* at;
    std::size_t bytes;
    State state;
    std::byte* arena;
  };
  /// All there is, by address.
  std::vector<Extent> extents();

 private:
  using FreeParts = std::set<std::pair<std::size_t, std::byte*>>;
  struct Part {
    std::size_t bytes;
    State state;
    std::uint64_t forks;  ///< how many there had been when it was taken
    std::byte* arena;
    FreeParts::node_type listing;  ///< in use: kept for the time when it is free again
  };
  using Parts = std::map<std::byte*, Part>;

  SharedHeap();
  void add_arena();
  void list(Parts::iterator part) noexcept;
  void drop(std::byte* arena) noexcept;
  void forget() noexcept;

  std::mutex mutex_;
  Parts parts_;
  FreeParts free_;
  std::map<std::byte*, std::size_t> used_;  ///< blocks in use of each arena
  std::uint64_t forks_ = 0;
};

}  // namespace crucible
