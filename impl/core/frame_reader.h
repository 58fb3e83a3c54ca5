// FrameReader: the receiving half of a connection over a byte stream.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "api/bytes.h"
#include "api/deadline.h"
#include "api/status.h"
#include "core/destination.h"
#include "core/frame.h"
#include "core/gate.h"

namespace crucible {

/// Statuses as those of Connection. The caller holds the gate's pass; the descriptor, which is not owned, is open as
/// long as the gate is.
class FrameReader {
 public:
  /// `ahead`: a read takes whatever the kernel has, up to 64 KiB.
  FrameReader(int descriptor, StreamKind kind, FrameState& state, const Gate& gate, bool ahead)
      : descriptor_(descriptor), kind_(kind), state_(state), gate_(gate), ahead_(ahead ? new Ahead : nullptr) {}

  /// kBadLength: the stream is of no further use.
  Status receive(Destination& to, Deadline deadline);
  Status wait_readable(Deadline deadline) const;
  /// Bytes were read ahead, so that the kernel need not have any for a message to begin.
  bool has_ahead() const noexcept { return ahead_ != nullptr && ahead_->begin < ahead_->end; }
  /// Part of a message was received, and the rest is to come.
  bool is_inside_message() const noexcept { return had_ > 0; }

 private:
  struct Ahead {
    std::array<std::byte, std::size_t{64} * 1024> bytes;
    std::size_t begin = 0;
    std::size_t end = 0;
  };

  bool receive_ahead(Destination& to, Status& status);
  bool receive_straight(Destination& to, Deadline deadline, Status& status);
  void await(const FrameHeader& header) noexcept;
  Status receive_start(Deadline deadline);
  void begin_start(FrameTerms terms) noexcept;
  void end_start(FrameTerms terms) noexcept;
  Status receive_body(const FrameHeader& header, Destination& to, Deadline deadline, bool& aborted);
  Status lost() const noexcept;
  Status read_some(std::byte* to, std::size_t size, Deadline deadline, std::size_t& got);
  Status read_kernel(std::byte* to, std::size_t size, Deadline deadline, std::size_t& got);

  const int descriptor_;
  const StreamKind kind_;
  FrameState& state_;
  const Gate& gate_;
  const std::unique_ptr<Ahead> ahead_;

  // The place in a frame, kept between calls when a deadline passed inside one.
  std::array<std::byte, kLongestPromise> start_;
  std::size_t wanted_ = 0;    // length of the frame's start that is read in one go
  std::size_t had_ = 0;       // bytes of it that came
  std::size_t position_ = 0;  // in the body: payload, then padding
  bool trailer_due_ = false;  // a segment is complete but not yet confirmed
  bool body_begun_ = false;
  bool discarding_ = false;  // the frame is longer than the receiver takes
  Bytes pending_;            // the payload so far, when it does not lie with the caller
};

}  // namespace crucible
