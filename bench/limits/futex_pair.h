// The least that a message between two sleepers costs: a line, a word to sleep on, a word that says it was taken.
#pragma once

#include <sched.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "api/bytes.h"
#include "core/inherited.h"
#include "limits/futex_word.h"
#include "limits/raw_setting.h"
#include "support/transfer.h"

namespace crucible::bench {

/// From `here` to `there`, up to 48 bytes.
struct FutexPair {
  static constexpr bool kBatches = false;

  struct Lines {
    alignas(128) FutexWord turn = 0;
    std::array<std::byte, 48> payload;
    alignas(128) FutexWord taken = 0;
  };

  static Link<FutexPair> make(const RawSetting& /*setting*/ = {}) {
    auto lines = make_inherited<Lines>(1, [](Lines* at) { new (at) Lines; });
    return {FutexPair{lines}, FutexPair{lines}, {{"sleeps_on", "futex"}, {"checks", "none"}}};
  }

  void send(ByteView message) {
    while (lines[0].taken.load(std::memory_order_acquire) != count) sched_yield();
    std::memcpy(lines[0].payload.data(), message.data(), message.size());
    lines[0].turn.store(++count, std::memory_order_release);
    futex_wake(lines[0].turn);
  }
  std::size_t receive(ByteSpan buffer) {
    while (lines[0].turn.load(std::memory_order_acquire) == count) futex_wait(lines[0].turn, count);
    std::memcpy(buffer.data(), lines[0].payload.data(), buffer.size());
    lines[0].taken.store(++count, std::memory_order_release);
    return buffer.size();
  }

  std::shared_ptr<Lines[]> lines;
  std::uint32_t count = 0;
};

}  // namespace crucible::bench
