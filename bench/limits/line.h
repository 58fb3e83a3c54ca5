// The speed of light of a round trip in shared memory: a cache line per direction. Raw: one message under way, no
// framing, no checks.
#pragma once

#include <sched.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "api/bytes.h"
#include "core/inherited.h"
#include "limits/futex_word.h"
#include "limits/raw_setting.h"
#include "support/transfer.h"

namespace crucible::bench {

/// How a reader waits for a turn: with a pause in between, giving the CPU away, asleep.
struct Pausing {
  static void wait(const FutexWord& /*turn*/, std::uint32_t /*seen*/) noexcept { __builtin_ia32_pause(); }
  static void wake(FutexWord& /*turn*/) noexcept {}
};
struct Yielding {
  static void wait(const FutexWord& /*turn*/, std::uint32_t /*seen*/) noexcept { sched_yield(); }
  static void wake(FutexWord& /*turn*/) noexcept {}
};
struct Sleeping {
  static void wait(const FutexWord& turn, std::uint32_t seen) noexcept { futex_wait(turn, seen); }
  static void wake(FutexWord& turn) noexcept { futex_wake(turn); }
};

/// Aligned to two lines, since the prefetcher fetches them in pairs.
struct alignas(128) Turn {
  FutexWord turn = 0;
  std::array<std::byte, 48> payload;
};

template <class Way>
struct Line {
  static constexpr bool kBatches = false;

  static Link<Line> make(const RawSetting& setting);
  static std::vector<RawSetting> settings(std::size_t message_bytes, std::size_t /*subject_buffer*/) {
    return {{.buffer_bytes = message_bytes}};
  }

  void send(ByteView message) {
    std::memcpy(out_body, message.data(), message.size());
    out->turn.store(++sent, std::memory_order_release);
    Way::wake(out->turn);
  }
  std::size_t receive(ByteSpan buffer) {
    std::uint32_t now = in->turn.load(std::memory_order_acquire);
    for (; now == received; now = in->turn.load(std::memory_order_acquire)) Way::wait(in->turn, received);
    std::memcpy(buffer.data(), in_body, buffer.size());
    received = now;
    return buffer.size();
  }

  std::shared_ptr<Turn[]> turns;
  std::shared_ptr<Alarm> alarm;
  std::shared_ptr<std::byte[]> bodies;  ///< what is longer than a line holds
  Turn *in, *out;
  std::byte *in_body, *out_body;
  std::uint32_t sent = 0, received = 0;
};

template <class Way>
Link<Line<Way>> Line<Way>::make(const RawSetting& setting) {
  auto turns = make_inherited<Turn>(2, [](Turn* at) { new (at) Turn; });
  std::shared_ptr<std::byte[]> bodies;
  std::array<std::byte*, 2> body = {turns[0].payload.data(), turns[1].payload.data()};
  if (setting.buffer_bytes > turns[0].payload.size()) {
    bodies = make_inherited<std::byte>(2 * setting.buffer_bytes, [](std::byte* at) { *at = std::byte{0}; });
    body = {bodies.get(), bodies.get() + setting.buffer_bytes};
  }
  const auto alarm = std::make_shared<Alarm>(turns[0].turn);
  return {Line{turns, alarm, bodies, &turns[0], &turns[1], body[0], body[1]},
          Line{turns, nullptr, bodies, &turns[1], &turns[0], body[1], body[0]},
          {{"payload_bytes_in_line", turns[0].payload.size()}, {"checks", "none"}}};
}

}  // namespace crucible::bench
