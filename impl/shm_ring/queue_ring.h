// The ring of a queue: records that are put at its tail and taken at its head, each in a role of its own.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "api/bytes.h"
#include "shm_ring/queue_memory.h"
#include "shm_ring/ring.h"

namespace crucible::shm_ring {

/// The first 8 bytes of a record; 0 where none has been committed.
class QueueWord {
 public:
  enum Kind : std::uint8_t {
    kHere = 1,   ///< the message stands right behind the word
    kBlock = 2,  ///< it stands in chunks; the number of the first one stands behind the word
  };
  constexpr explicit QueueWord(std::uint64_t raw) noexcept : raw_(raw) {}
  constexpr QueueWord(Kind kind, std::uint64_t length) noexcept : raw_(std::uint64_t{kind} << 56U | length) {}

  constexpr std::uint64_t raw() const noexcept { return raw_; }
  constexpr auto kind() const noexcept { return static_cast<Kind>(raw_ >> 56U); }
  constexpr std::uint64_t length() const noexcept { return raw_ & ((std::uint64_t{1} << 56U) - 1); }
  constexpr bool is_near() const noexcept { return kind() != kHere || length() <= kLongestNear; }
  /// How far behind the record's beginning, which is at that grain, the payload is. What is long begins a line.
  constexpr std::size_t payload(std::uint32_t grain) const noexcept {
    if (is_near()) return sizeof raw_;
    return kLine - grain % kGrainsPerLine * QueueMemory::kGrain;
  }
  /// Of the whole record, in grains.
  constexpr std::uint32_t grains(std::uint32_t grain) const noexcept {
    const std::size_t bytes = payload(grain) + (kind() == kHere ? length() : sizeof raw_);
    return static_cast<std::uint32_t>((bytes + QueueMemory::kGrain - 1) / QueueMemory::kGrain);
  }

  static constexpr std::uint64_t kLongestNear = 248;
  static constexpr std::uint32_t kGrainsPerLine = kLine / QueueMemory::kGrain;

 private:
  std::uint64_t raw_;
};

/// memcpy(3), without a call for what is short.
inline void copy(std::byte* to, const std::byte* from, std::size_t size) noexcept {
  if (size <= QueueWord::kLongestNear) [[likely]] {
    copy_near(to, from, size);
  } else {
    std::memcpy(to, from, size);
  }
}

class QueueRing {
 public:
  explicit QueueRing(const QueueMemory& memory) noexcept
      : header_(&memory.header()),
        ring_(memory.ring()),
        grains_(static_cast<std::uint32_t>(memory.shape().ring_bytes / QueueMemory::kGrain)),
        most_(memory.shape().maxsize == 0 ? kNoMost : static_cast<std::uint32_t>(memory.shape().maxsize)) {}

  /// The longest message that stands in the ring itself.
  std::size_t longest_here() const noexcept { return longest_here_; }
  Place tail() const noexcept { return Place(header_->tail.place.load(std::memory_order_acquire)); }
  Place head() const noexcept { return Place(header_->head.place.load(std::memory_order_acquire)); }

  // --- In the tail's role --------------------------------------------------------------------------------

  /// Whether there is room for that record and for one more message.
  bool has_room(QueueWord record) noexcept {
    const Place at(header_->tail.place.load(std::memory_order_relaxed));
    const std::uint32_t grains = record.grains(at.grain());
    if (fits(at, grains)) [[likely]]
      return true;
    // Acquire: what a consumer read there it has read before we write.
    const Place head(header_->head.place.load(std::memory_order_acquire));
    limit_ = Place(head.grain() + grains_, head.count() + most_);
    return fits(at, grains);
  }
  /// Where its payload goes.
  std::byte* payload_at_tail(QueueWord record) const noexcept {
    const std::uint32_t grain = Place(header_->tail.place.load(std::memory_order_relaxed)).grain();
    return at(grain) + record.payload(grain);
  }
  /// Makes the record whose payload was written at the tail the next one. There is room for it.
  void commit(QueueWord record) noexcept {
    const Place place(header_->tail.place.load(std::memory_order_relaxed));
    const Place next = place.after(record.grains(place.grain()));
    // Before it can be reached the place of the record after it must read "none", whatever an earlier lap left there.
    if (cleared_from(next.grain()) < kTerminator) [[unlikely]] {
      word(next.grain()).store(0, std::memory_order_relaxed);
      cleared_ = next.grain() + kTerminator;
    }
    word(place.grain()).store(record.raw(), std::memory_order_release);
    header_->tail.place.store(next.raw(), std::memory_order_release);
    if (cleared_from(next.grain()) < kClearedAhead && record.is_near()) clear_ahead(next.grain());
  }
  /// Another process was here since: nothing that was remembered holds.
  void forget() noexcept;
  /// After the death of one who was in the role: behind a tail that it did not move any more stand the records that it
  /// committed. May be done again.
  void repair_tail() noexcept;

  // --- In the head's role --------------------------------------------------------------------------------

  struct Record {
    Place place;
    QueueWord word;
  };
  bool front(Record& record) const noexcept {
    return at(Place(header_->head.place.load(std::memory_order_relaxed)), record);
  }
  /// Whether there is one at a place between the head and the tail.
  bool at(Place place, Record& record) const noexcept {
    // Acquire: the payload is read after the word that says it is there.
    const QueueWord found(word(place.grain()).load(std::memory_order_acquire));
    record = {place, found};
    return found.raw() != 0;
  }
  const std::byte* payload(const Record& record) const noexcept {
    return at(record.place.grain()) + record.word.payload(record.place.grain());
  }
  /// The message is the caller's from here on, its memory the producers'.
  void take(const Record& record) noexcept { take_up_to(behind(record)); }
  static Place behind(const Record& record) noexcept {
    return record.place.after(record.word.grains(record.place.grain()));
  }
  void take_up_to(Place place) noexcept { header_->head.place.store(place.raw(), std::memory_order_release); }

  // --- Anybody: true at some moment ----------------------------------------------------------------------

  bool seems_empty() const noexcept { return word(head().grain()).load(std::memory_order_relaxed) == 0; }
  bool seems_to_have_room(QueueWord record) const noexcept {
    const Place first = head();
    const Place last = tail();
    return last.grain() - first.grain() + record.grains(last.grain()) + kTerminator <= grains_ &&
           last.count() - first.count() < most_;
  }
  /// So much room that it is worth waking somebody who waits for some: a quarter of either bound.
  bool is_roomy() const noexcept {
    const Place first = head();
    const Place last = tail();
    return last.grain() - first.grain() <= grains_ - grains_ / 4 && last.count() - first.count() <= most_ - worth();
  }

 private:
  static constexpr std::uint32_t kNoMost = (std::uint32_t{1} << 31U) - 1;  // more than there are grains
  static constexpr std::int32_t kTerminator = 1;
  static constexpr std::int32_t kClearedAhead = 16;

  std::byte* at(std::uint32_t grain) const noexcept {
    return ring_ + std::size_t{grain & (grains_ - 1)} * QueueMemory::kGrain;
  }
  std::atomic<std::uint64_t>& word(std::uint32_t grain) const noexcept {
    return *reinterpret_cast<std::atomic<std::uint64_t>*>(at(grain));
  }
  bool fits(Place place, std::uint32_t grains) const noexcept {
    return static_cast<std::int32_t>(limit_.grain() - (place.grain() + grains + kTerminator)) >= 0 &&
           static_cast<std::int32_t>(limit_.count() - place.count()) > 0;
  }
  std::uint32_t worth() const noexcept { return most_ < 64 ? 1 : most_ / 4; }
  std::int32_t cleared_from(std::uint32_t grain) const noexcept { return static_cast<std::int32_t>(cleared_ - grain); }
  // After the commit, so that the next one has to wait for no line but its own.
  void clear_ahead(std::uint32_t next) noexcept {
    const std::uint32_t end = ((next + 3) & ~3U) + 2 * kClearedAhead;
    if (static_cast<std::int32_t>(limit_.grain() - end) < 0) return;
    for (; static_cast<std::int32_t>(end - cleared_) > 0; ++cleared_) {
      word(cleared_).store(0, std::memory_order_relaxed);
    }
  }

  QueueHeader* header_;
  std::byte* ring_;
  std::uint32_t grains_;
  std::uint32_t most_;
  std::size_t longest_here_ = std::min(QueueMemory::kLongestHere, std::size_t{grains_} * QueueMemory::kGrain / 8);

  // Of who was last in the tail's role, if it was this process.
  Place limit_ = Place(0);     // up to here, in grains and in messages, there is certainly room
  std::uint32_t cleared_ = 0;  // from the tail up to here every grain reads "none"
};

}  // namespace crucible::shm_ring
