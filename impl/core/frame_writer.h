// FrameWriter: the sending half of a connection over a byte stream.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "api/bytes.h"
#include "api/deadline.h"
#include "api/status.h"
#include "core/frame.h"
#include "core/gate.h"
#include "core/give_way.h"

namespace crucible {

/// Statuses as those of Connection. The caller holds the gate's pass; the descriptor, which is not owned, is open as
/// long as the gate is.
class FrameWriter {
 public:
  FrameWriter(int descriptor, StreamKind kind, FrameState& state, const Gate& gate) noexcept
      : descriptor_(descriptor), kind_(kind), state_(state), gate_(gate) {}

  Status send(ByteView message, Deadline deadline);
  Status send_many(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline);
  /// The receiving half has seen end of file. A pair of pipes may not be closed to senders yet: of a process that ends
  /// the kernel closes one descriptor after another.
  void peer_is_gone() noexcept { peer_is_gone_.store(true, std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kGather = std::size_t{16} * 1024;

  Status begin(Deadline deadline);
  Status ask_for_the_peer();
  Status pay_debt(Deadline deadline);
  FramePromise promise_so_far() const noexcept;
  /// Whether the message is sent without a header.
  bool goes_bare(FrameTerms terms, ByteView message) const noexcept;
  Status send_frame(ByteView message, Deadline deadline);
  Status send_segmented(const FrameHeader& header, ByteView message, Deadline deadline, std::size_t& written);
  Status send_gathered(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline);
  void owe(const FrameHeader& header, std::size_t frame, std::size_t written) noexcept;
  /// Whether a frame of `size` bytes is written whole or not at all, whatever the deadline.
  bool goes_whole(std::size_t size, Deadline deadline) const noexcept;

  Status write_all(ByteView bytes, Deadline deadline, std::size_t& written, int flags = 0);
  Status write_both(ByteView head, ByteView message, std::size_t& written);
  void give_way(std::size_t written) noexcept;
  Status await_room(Deadline deadline);
  Status after_failed_write(Deadline deadline);

  const int descriptor_;
  const StreamKind kind_;
  FrameState& state_;
  const Gate& gate_;
  std::size_t last_frame_ = kLeastFrame;
  GiveWay give_way_;
  std::int64_t asked_at_ns_ = 0;  ///< when the kernel was asked last whether the peer is gone
  std::uint32_t closes_ = 0;      ///< of the peer's copies, that were seen by then
  bool is_full_ = false;          ///< a socket had no room and has not polled writable since
  std::atomic<bool> peer_is_gone_ = false;
};

}  // namespace crucible
