// The speed of light of moving bytes at all: memcpy on one core, to and from memory that is in its caches or is not.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "api/deadline.h"
#include "support/payload.h"
#include "support/side.h"

namespace crucible::bench {

class MemoryCopy final : public Side {
 public:
  enum class Caches { kHot, kCold };
  static constexpr std::size_t kColdBytes = 192U << 20U;  ///< of source and of destination: beyond the last cache

  MemoryCopy(std::size_t bytes, Caches caches)
      : payload_(bytes),
        slots_(caches == Caches::kHot ? 1 : std::max<std::size_t>(1, kColdBytes / bytes)),
        source_(slots_ * bytes),
        destination_(slots_ * bytes) {
    for (std::size_t i = 0; i < slots_; ++i) payload_.fill(slot(source_, i));
  }

  Block run(std::uint64_t operations) override {
    // Only the last copy is looked at afterwards: to stamp them all would warm what is to be cold.
    const std::size_t last = (next_ + operations - 1) % slots_;
    payload_.stamp(slot(source_, last), ++sequence_);
    const Usage before = Usage::now();
    const std::int64_t start = Deadline::now_ns();
    for (std::uint64_t i = 0; i < operations; ++i) {
      std::memcpy(slot(destination_, next_).data(), slot(source_, next_).data(), payload_.bytes());
      next_ = next_ + 1 == slots_ ? 0 : next_ + 1;
      asm volatile("" ::: "memory");  // each copy counts
    }
    const std::int64_t elapsed = Deadline::now_ns() - start;
    const Usage usage = Usage::now() - before;
    payload_.verify(slot(destination_, last), payload_.bytes(), sequence_);
    return {.elapsed_ns = elapsed, .usage = usage, .latencies = {}};
  }
  nlohmann::json fairness() const override { return {{"memory_bytes", 2 * slots_ * payload_.bytes()}}; }

 private:
  ByteSpan slot(const Buffer& buffer, std::size_t index) const {
    return buffer.span().subspan(index * payload_.bytes(), payload_.bytes());
  }

  const Payload payload_;
  const std::size_t slots_;
  Buffer source_, destination_;
  std::size_t next_ = 0;
  std::uint64_t sequence_ = 0;
};

}  // namespace crucible::bench
