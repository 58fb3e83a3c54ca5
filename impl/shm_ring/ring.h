// One direction: a byte ring of records between one sender and one receiver. README.md in this folder draws it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "api/bytes.h"
#include "shm_ring/memory.h"

namespace crucible::shm_ring {

/// The first 8 bytes of a record; 0 where none has been committed.
class Word {
 public:
  enum Kind : std::uint8_t {
    kNear = 1,  ///< a whole message right behind the word
    kFar = 2,   ///< a whole message in the lines behind the word's
    kPart = 3,  ///< part of a longer one, likewise; its whole length and this part's offset stand behind the word
    kPad = 4,   ///< nothing, up to where the next record is aligned
  };
  static constexpr std::uint64_t kLongestNear = 248;  ///< beyond it a message is worth lines of its own

  constexpr explicit Word(std::uint64_t raw) noexcept : raw_(raw) {}
  constexpr Word(Kind kind, std::uint64_t length) noexcept : raw_(std::uint64_t{kind} << 56U | length) {}

  constexpr std::uint64_t raw() const noexcept { return raw_; }
  constexpr auto kind() const noexcept { return static_cast<Kind>(raw_ >> 56U); }
  constexpr std::uint64_t length() const noexcept { return raw_ & ((std::uint64_t{1} << 56U) - 1); }
  constexpr std::uint64_t payload() const noexcept { return kind() == kNear ? sizeof raw_ : kLine; }
  /// Of the whole record. One that fits a line lies in one line, since it is aligned to what is returned, up to 64.
  constexpr std::uint64_t stride() const noexcept {
    if (kind() == kPad) return length();
    const std::uint64_t bytes = payload() + length();
    if (bytes <= 16) return 16;
    if (bytes <= 32) return 32;
    return (bytes + kLine - 1) & ~(kLine - 1);
  }

 private:
  std::uint64_t raw_;
};

constexpr std::uint64_t aligned(std::uint64_t position, std::uint64_t stride) noexcept {
  const std::uint64_t alignment = stride < kLine ? stride : kLine;
  return (position + alignment - 1) & ~(alignment - 1);
}

/// Up to 256 bytes without a call: both sides of a message of a few words are cheaper than memcpy's dispatch.
inline void copy_near(std::byte* to, const std::byte* from, std::size_t size) noexcept {
  const auto chunk = [&]<std::size_t kBytes>(std::size_t at) {
    std::byte bytes[kBytes];
    std::memcpy(bytes, from + at, kBytes);
    std::memcpy(to + at, bytes, kBytes);
  };
  if (size >= 16) {
    for (std::size_t at = 0; at + 16 < size; at += 16) chunk.template operator()<16>(at);
    chunk.template operator()<16>(size - 16);
  } else if (size >= 8) {
    chunk.template operator()<8>(0);
    chunk.template operator()<8>(size - 8);
  } else if (size >= 4) {
    chunk.template operator()<4>(0);
    chunk.template operator()<4>(size - 4);
  } else {
    for (std::size_t at = 0; at < size; ++at) to[at] = from[at];
  }
}

class Ring {
 public:
  Ring(Control& control, std::byte* data, std::size_t capacity) noexcept
      : control_(&control), data_(data), capacity_(capacity) {}

  Control& control() const noexcept { return *control_; }
  std::size_t capacity() const noexcept { return capacity_; }
  /// The longest message that fits in one piece wherever the last record ended, and is certain to as soon as all before
  /// it were received.
  std::size_t longest_piece() const noexcept { return capacity_ - 2 * kLine; }
  std::byte* at(std::uint64_t position) const noexcept {
    return data_ + (position & (capacity_ - 1) & ~std::uint64_t{15});
  }

 protected:
  std::atomic<std::uint64_t>& word(std::uint64_t position) const noexcept {
    return *reinterpret_cast<std::atomic<std::uint64_t>*>(at(position));
  }

  Control* control_;
  std::byte* data_;
  std::size_t capacity_;
};

/// The sending side. What lies at and behind the tail is its own; nothing there is seen before commit().
class Producer : public Ring {
 public:
  using Ring::Ring;

  /// Whether there is room for a record of `stride` bytes, at `place`.
  bool find(std::uint64_t stride, std::uint64_t& place) noexcept {
    std::uint64_t tail = control_->tail.load(std::memory_order_relaxed);
    if (word(tail).load(std::memory_order_relaxed) != 0) [[unlikely]]
      tail = recover(tail);
    place = aligned(tail, stride);
    const std::uint64_t end = place + stride + kTerminator;
    if (is_free(end)) return true;
    // Acquire: what the receiver read there it has read before we write.
    limit_ = control_->head.load(std::memory_order_acquire) + capacity_;
    return is_free(end);
  }

  /// Makes the record at `place`, whose payload has been written, the next one.
  void commit(std::uint64_t place, Word record) noexcept {
    const std::uint64_t tail = control_->tail.load(std::memory_order_relaxed);
    const std::uint64_t next = place + record.stride();
    // Before it can be reached the place of the record after it must read "none", whatever an earlier lap left there.
    word(next).store(0, std::memory_order_relaxed);
    if (place != tail) [[unlikely]] {
      word(place).store(0, std::memory_order_relaxed);
      word(tail).store(Word(Word::kPad, place - tail).raw(), std::memory_order_release);
    }
    word(place).store(record.raw(), std::memory_order_release);
    control_->tail.store(next, std::memory_order_relaxed);
    __builtin_prefetch(at(next + kLine), 1);
  }

 private:
  static constexpr std::uint64_t kTerminator = 16;

  bool is_free(std::uint64_t end) const noexcept { return static_cast<std::int64_t>(limit_ - end) >= 0; }
  std::uint64_t recover(std::uint64_t tail) noexcept;

  std::uint64_t limit_ = 0;  // up to here it is certainly free
};

/// The receiving side. It believes nothing that it reads: whatever a hostile peer writes, it stays in the ring.
class Consumer : public Ring {
 public:
  using Ring::Ring;

  struct Record {
    std::uint64_t place;
    Word word;
  };

  /// The next record, if one has been committed. Throws std::system_error for what no sender writes.
  bool front(Record& record) const {
    std::uint64_t place = control_->head.load(std::memory_order_relaxed);
    // Acquire: the payload is read after the word that says it is there.
    Word found(word(place).load(std::memory_order_acquire));
    if (found.raw() == 0) return false;
    if (found.kind() == Word::kPad) [[unlikely]]
      return behind_pad(record);
    if (!is_sound(found)) [[unlikely]]
      fail();
    record = {place, found};
    return true;
  }
  ByteView payload(const Record& record) const noexcept {
    return {at(record.place) + record.word.payload(), record.word.length()};
  }
  /// Gives the memory of the record, and of all before it, back to the sender.
  void consume(const Record& record) noexcept {
    control_->head.store(record.place + record.word.stride(), std::memory_order_release);
  }

 private:
  bool is_sound(Word found) const noexcept {
    if (found.kind() == Word::kNear) return found.length() <= Word::kLongestNear;
    return (found.kind() == Word::kFar || found.kind() == Word::kPart) && found.length() <= longest_piece();
  }
  bool behind_pad(Record& record) const;
  [[noreturn]] static void fail();
};

}  // namespace crucible::shm_ring
