// Mechanisms that lie: a sound one, each with one fault of the kind that a careless implementation has. They prove that
// the suite and the benchmarks see such faults. No part of the library and in no table but those of their own programs.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "conformance/liars/wrapper.h"
#include "unix_socket/mechanism.h"

namespace crucible::liars {

/// Loses one message in 10^5.
class Dropping : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status send_bytes(ByteView message, Deadline deadline = Deadline::never()) override {
    constexpr std::uint64_t kPeriod = 100'000;
    if (++sent_ % kPeriod == kPeriod / 2) return Status::kOk;
    return Wrapper::send_bytes(message, deadline);
  }

 private:
  std::uint64_t sent_ = 0;
};

/// Cuts messages off at 4 KiB.
class Truncating : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status send_bytes(ByteView message, Deadline deadline = Deadline::never()) override {
    constexpr std::size_t kMost = 4096;
    return Wrapper::send_bytes(message.first(std::min(message.size(), kMost)), deadline);
  }
};

/// Delivers two messages in the wrong order now and then, if the second is there as well.
class Swapping : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status recv_bytes(Bytes& message, std::size_t max_length = kNoLimit, Deadline deadline = Deadline::never()) override {
    if (held_) {
      message = *std::exchange(held_, std::nullopt);
      return Status::kOk;
    }
    const Status status = Wrapper::recv_bytes(message, max_length, deadline);
    constexpr std::uint64_t kPeriod = 1'000;
    if (status != Status::kOk || ++received_ % kPeriod != 0) return status;
    Bytes next;
    if (Wrapper::recv_bytes(next, max_length, Deadline::immediate()) == Status::kOk) {
      held_ = std::exchange(message, std::move(next));
    }
    return status;
  }
  Status wait_readable(Deadline deadline = Deadline::never()) override {
    return held_ ? Status::kOk : Wrapper::wait_readable(deadline);
  }

 private:
  std::uint64_t received_ = 0;
  std::optional<Bytes> held_;
};

/// Sleeps for 200 ms every 5 s, as one whose buffers are tidied up now and then.
class Stalling : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status send_bytes(ByteView message, Deadline deadline = Deadline::never()) override {
    constexpr auto kPeriod = std::chrono::seconds(5);
    constexpr auto kStall = std::chrono::milliseconds(200);
    if (const auto now = std::chrono::steady_clock::now(); now - last_ >= kPeriod) {
      std::this_thread::sleep_for(kStall);
      last_ = now;
    }
    return Wrapper::send_bytes(message, deadline);
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// A receive that never waits: where there is nothing yet, it makes an empty message up.
class Inventing : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status recv_bytes(Bytes& message, std::size_t max_length = kNoLimit,
                    Deadline /*deadline*/ = Deadline::never()) override {
    const Status status = Wrapper::recv_bytes(message, max_length, Deadline::immediate());
    if (status != Status::kTimeout) return status;
    message.clear();
    return Status::kOk;
  }
};

/// A send that never waits: what there is no room for is thrown away.
class Discarding : public Wrapper {
 public:
  using Wrapper::Wrapper;
  Status send_bytes(ByteView message, Deadline /*deadline*/ = Deadline::never()) override {
    const Status status = Wrapper::send_bytes(message, Deadline::immediate());
    return status == Status::kTimeout ? Status::kOk : status;
  }
};

/// The end of a mechanism whose every end lies as Lie does.
template <class Lie>
class End final : public Lie {
 public:
  using Lie::Lie;
  static std::pair<std::unique_ptr<End>, std::unique_ptr<End>> pair(const PipeOptions& options) {
    auto [here, there] = UnixSocketConnection::pair(options);
    return {std::make_unique<End>(std::move(here)), std::make_unique<End>(std::move(there))};
  }
};

struct Declared {
  static constexpr Capabilities kPipe = {.outlives_sender = true,
                                         .survives_kill = true,
                                         .max_message_bytes = UnixSocketConnection::kMaxMessage,
                                         .storage_bytes = 16 * 1024};
};
struct Honest : Declared {
  static constexpr std::string_view kName = "honest";
  using Connection = End<Wrapper>;
};
struct Drops : Declared {
  static constexpr std::string_view kName = "liar_drops";
  using Connection = End<Dropping>;
};
struct Truncates : Declared {
  static constexpr std::string_view kName = "liar_truncates";
  using Connection = End<Truncating>;
};
struct Swaps : Declared {
  static constexpr std::string_view kName = "liar_swaps";
  using Connection = End<Swapping>;
};
struct Stalls : Declared {
  static constexpr std::string_view kName = "liar_stalls";
  using Connection = End<Stalling>;
};
struct Invents : Declared {
  static constexpr std::string_view kName = "liar_invents";
  using Connection = End<Inventing>;
};
struct Discards : Declared {
  static constexpr std::string_view kName = "liar_discards";
  using Connection = End<Discarding>;
};

}  // namespace crucible::liars
