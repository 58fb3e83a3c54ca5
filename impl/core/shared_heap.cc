#include "core/shared_heap.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstring>
#include <iterator>

#include "api/status.h"
#include "core/fork_order.h"
#include "core/shared_block.h"

namespace crucible {

SharedHeap& SharedHeap::get() {
  static SharedHeap* const heap = new SharedHeap;
  return *heap;
}

namespace {
[[gnu::constructor(fork_order::kLeaf)]] void register_with_forks() { SharedHeap::get(); }
}  // namespace

SharedHeap::SharedHeap() {
  pthread_atfork(
      [] {
        get().mutex_.lock();
        ++get().forks_;
      },
      [] { get().mutex_.unlock(); },
      [] {
        get().forget();
        get().mutex_.unlock();
      });
}

std::byte* SharedHeap::take(std::size_t bytes) {
  const std::size_t whole = (bytes + SharedBlock::kAlignment - 1) / SharedBlock::kAlignment * SharedBlock::kAlignment;
  const std::lock_guard lock(mutex_);
  if (free_.lower_bound({whole, nullptr}) == free_.end()) add_arena();
  const auto best = free_.lower_bound({whole, nullptr});
  const auto part = parts_.find(best->second);
  std::byte* const at = part->first;
  if (part->second.bytes > whole) {
    const std::size_t left = part->second.bytes - whole;
    FreeParts rest = {{left, at + whole}};
    parts_.emplace(at + whole, Part{left, State::kFree, 0, part->second.arena, {}});
    free_.merge(rest);
  }
  part->second.listing = free_.extract(best);
  part->second.bytes = whole;
  part->second.state = State::kUsed;
  part->second.forks = forks_;
  ++used_[part->second.arena];
  std::memset(at, 0, whole);
  return at;
}

void SharedHeap::add_arena() {
  void* const memory =
      ::mmap(nullptr, kArena, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) throw_errno("mmap");
  auto* const arena = static_cast<std::byte*>(memory);
  try {
    used_[arena] = 0;
    parts_.emplace(arena, Part{kArena, State::kFree, 0, arena, {}});
    free_.emplace(kArena, arena);
  } catch (...) {
    drop(arena);
    throw;
  }
}

void SharedHeap::give_back(std::byte* block) noexcept {
  const std::lock_guard lock(mutex_);
  auto part = parts_.find(block);
  if (part == parts_.end()) return;
  std::byte* const arena = part->second.arena;
  const bool others_may_use_it = part->second.forks != forks_;
  part->second.state = others_may_use_it ? State::kHeldBack : State::kFree;
  if (--used_[arena] == 0) {
    drop(arena);
  } else if (!others_may_use_it) {
    list(part);
  }
}

// Together with its free neighbours. Allocates nothing, since it may run in any destructor.
void SharedHeap::list(Parts::iterator part) noexcept {
  auto listing = std::move(part->second.listing);
  const auto absorb = [this](Parts::iterator first, Parts::iterator second) {
    free_.erase({first->second.bytes, first->first});
    free_.erase({second->second.bytes, second->first});
    first->second.bytes += second->second.bytes;
    parts_.erase(second);
  };
  const auto is_free = [arena = part->second.arena](const Parts::value_type& other) {
    return other.second.arena == arena && other.second.state == State::kFree;
  };
  if (const auto next = std::next(part); next != parts_.end() && is_free(*next)) absorb(part, next);
  if (part != parts_.begin() && is_free(*std::prev(part))) {
    part = std::prev(part);
    absorb(part, std::next(part));
  }
  listing.value() = {part->second.bytes, part->first};
  free_.insert(std::move(listing));
}

void SharedHeap::drop(std::byte* arena) noexcept {
  for (auto part = parts_.lower_bound(arena); part != parts_.end() && part->second.arena == arena;) {
    free_.erase({part->second.bytes, part->first});
    part = parts_.erase(part);
  }
  used_.erase(arena);
  ::munmap(arena, kArena);
}

void SharedHeap::forget() noexcept {
  parts_.clear();
  free_.clear();
  used_.clear();
}

std::vector<SharedHeap::Extent> SharedHeap::extents() {
  const std::lock_guard lock(mutex_);
  std::vector<Extent> all;
  for (const auto& [at, part] : parts_) all.push_back({at, part.bytes, part.state, part.arena});
  return all;
}

}  // namespace crucible
