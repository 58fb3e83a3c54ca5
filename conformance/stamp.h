// Messages that tell whose they are and whether they are whole, and what is known of a process that is killed among
// them.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include "api/bytes.h"
#include "conformance/pipe_support.h"
#include "conformance/random.h"

namespace crucible::testing {

struct Stamp {
  static constexpr std::uint32_t kId = 0xc0ffee42;

  std::uint32_t id;
  std::uint32_t writer;
  std::uint64_t sequence;
  std::uint64_t length;
  std::uint64_t checksum;  // of what follows
};

inline std::uint64_t checksum(ByteView bytes) {
  std::uint64_t sum = 0xcbf29ce484222325U;
  for (; bytes.size() >= sizeof sum; bytes = bytes.subspan(sizeof sum)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    sum = (sum ^ word) * 0x100000001b3U;
  }
  for (const std::byte byte : bytes) sum = (sum ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3U;
  return sum;
}

inline Bytes stamped(std::uint32_t writer, std::uint64_t sequence, std::size_t payload) {
  Bytes message(sizeof(Stamp));
  const Bytes body = pattern(payload, sequence + writer);
  const Stamp stamp = {Stamp::kId, writer, sequence, payload, checksum(body)};
  std::memcpy(message.data(), &stamp, sizeof stamp);
  message.insert(message.end(), body.begin(), body.end());
  return message;
}

/// A stamped message's number changed, its body kept: for a sender who shall be killed inside its calls.
inline void restamp(Bytes& message, std::uint64_t sequence) {
  Stamp stamp = {};
  std::memcpy(&stamp, message.data(), sizeof stamp);
  stamp.sequence = sequence;
  std::memcpy(message.data(), &stamp, sizeof stamp);
}

/// Nothing: torn, mixed or no stamped message at all.
inline std::optional<Stamp> read_whole(ByteView message) {
  Stamp stamp = {};
  if (message.size() < sizeof stamp) return std::nullopt;
  std::memcpy(&stamp, message.data(), sizeof stamp);
  const ByteView body = message.subspan(sizeof stamp);
  if (stamp.id != Stamp::kId || stamp.length != body.size() || stamp.checksum != checksum(body)) return std::nullopt;
  return stamp;
}

/// Mixed, so that deaths strike single writes, partial ones, and whatever large messages travel by.
inline std::size_t traffic_size(std::uint64_t sequence) {
  constexpr std::size_t kSizes[] = {0, 40, 1'000, 100, 5'000, 8, 70'000, 300, 4'056, 0, 400'000, 20};
  return kSizes[sequence % std::size(kSizes)];
}

/// What the victim was doing, for whoever looks after its death.
struct Victim {
  std::atomic<std::uint64_t> begun{0};     ///< calls begun
  std::atomic<std::uint64_t> returned{0};  ///< calls that returned

  bool inside() const { return begun != returned; }
};

/// Kills, and how many of them struck inside a call.
class Score {
 public:
  void count(bool inside) {
    ++kills_;
    inside_ += inside ? 1U : 0U;
  }
  unsigned kills() const noexcept { return kills_; }
  unsigned inside() const noexcept { return inside_; }
  void report(const char* what, std::string_view subject) const {
    std::printf("[  kills   ] %s, %s: survived %u / %u, inside a call %u\n", std::string(subject).c_str(), what, kills_,
                kills_, inside_);
    EXPECT_GE(2 * inside_, kills_) << "fewer than half struck inside a call";
  }

 private:
  unsigned kills_ = 0;
  unsigned inside_ = 0;
};

inline std::chrono::nanoseconds moment(Random& random) {
  return std::chrono::nanoseconds(random.between(1'000, random.one_in(2) ? 300'000 : 3'000'000));
}

}  // namespace crucible::testing
