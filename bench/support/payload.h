// What messages contain, and how a receiver proves that it got them: whole, once, in order, every byte read.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include "api/bytes.h"

namespace crucible::bench {

/// Something else arrived than what was sent. Fails the whole run.
class VerificationError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Exit status of a run, or of a worker process, in which bytes were wrong.
inline constexpr int kVerificationStatus = 3;

/// Page-aligned memory of this process, every page touched before anything is measured.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes) : bytes_(bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<std::byte*>(memory);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { munmap(memory_, bytes_); }

  ByteSpan span() const noexcept { return {memory_, bytes_}; }

 private:
  std::byte* memory_;
  std::size_t bytes_;
};

/// Messages of one size. Fixed noise, and the sequence number in the first 8 bytes of every 4 KiB, so that a page that
/// an earlier message left behind is noticed. The sum over all words costs a fraction of copying them.
class Payload {
 public:
  static constexpr std::size_t kWord = sizeof(std::uint64_t);
  static constexpr std::size_t kStride = 4096;

  explicit Payload(std::size_t bytes) : bytes_(bytes) {
    if (bytes < kWord) throw std::invalid_argument("a message holds at least its 8-byte sequence number");
    stamps_ = (bytes - kWord) / kStride + 1;
    for (std::size_t i = 0; i < bytes / kWord; ++i) base_sum_ += i % (kStride / kWord) == 0 ? 0 : noise(i);
    base_sum_ += tail_noise();
  }

  std::size_t bytes() const noexcept { return bytes_; }

  void fill(ByteSpan message) const noexcept {
    for (std::size_t i = 0; i < bytes_ / kWord; ++i) store(message, i * kWord, noise(i));
    const std::uint64_t tail = tail_noise();
    std::memcpy(message.data() + bytes_ / kWord * kWord, &tail, bytes_ % kWord);
  }
  /// Turns a filled buffer into message number `sequence`.
  void stamp(ByteSpan message, std::uint64_t sequence) const noexcept {
    for (std::size_t i = 0; i < stamps_; ++i) store(message, i * kStride, sequence);
  }
  /// Throws VerificationError unless `message`, of which `received` bytes arrived, is message number `sequence`.
  void verify(ByteView message, std::size_t received, std::uint64_t sequence) const {
    const std::uint64_t first = sequence_of(message);
    const bool sound =
        received == bytes_ && first == sequence && sum(message.first(bytes_)) == base_sum_ + stamps_ * sequence;
    if (!sound) [[unlikely]]
      fail(received, first, sequence);
  }

  /// What a message of at least 8 bytes says of itself.
  static std::uint64_t sequence_of(ByteView message) noexcept {
    std::uint64_t sequence = 0;
    std::memcpy(&sequence, message.data(), kWord);
    return sequence;
  }
  static std::uint64_t sum(ByteView bytes) noexcept {
    std::uint64_t sum = 0;
    const std::size_t words = bytes.size() / kWord;
    for (std::size_t i = 0; i < words; ++i) {
      std::uint64_t word;
      std::memcpy(&word, bytes.data() + i * kWord, kWord);
      sum += word;
    }
    std::uint64_t tail = 0;
    std::memcpy(&tail, bytes.data() + words * kWord, bytes.size() % kWord);
    return sum + tail;
  }

 private:
  static constexpr std::uint64_t noise(std::size_t i) noexcept {
    std::uint64_t x = (i + 1) * 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 31)) * 0xBF58476D1CE4E5B9U;
    return x ^ (x >> 29);
  }
  std::uint64_t tail_noise() const noexcept {
    const std::size_t tail_bits = bytes_ % kWord * 8;
    return tail_bits == 0 ? 0 : noise(bytes_) >> (64 - tail_bits);
  }
  static void store(ByteSpan message, std::size_t offset, std::uint64_t word) noexcept {
    std::memcpy(message.data() + offset, &word, kWord);
  }
  [[noreturn]] void fail(std::size_t received, std::uint64_t first, std::uint64_t sequence) const {
    throw VerificationError("verification failed: message " + std::to_string(sequence) + " of " +
                            std::to_string(bytes_) + " bytes came as " + std::to_string(received) +
                            " bytes with sequence number " + std::to_string(first) +
                            (received == bytes_ && first == sequence ? " and another content" : ""));
  }

  std::size_t bytes_;
  std::size_t stamps_;
  std::uint64_t base_sum_ = 0;
};

}  // namespace crucible::bench
