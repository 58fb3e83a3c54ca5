// Frames: messages in a byte stream, of which each takes one write and one read. ../tcp_socket/README.md documents the
// bytes, ../posix_pipe/README.md explains the promises.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace crucible {

/// How the kernel treats the stream's bytes.
enum class StreamKind : std::uint8_t {
  kPipe,    ///< up to PIPE_BUF bytes are written whole or not at all
  kSocket,  ///< TCP: any part may be taken, and a peer's going shows only to who asks
};

/// In front of every message. Little-endian.
struct FrameHeader {
  std::uint8_t segmented;  ///< 1: a byte behind each segment confirms it or aborts the frame
  std::uint8_t lead;       ///< bytes before the payload, which align that of a long frame
  std::uint16_t padding;   ///< bytes after the payload, to keep a promise
  std::uint32_t promise;   ///< the frame after this one is at least so long
  std::uint64_t length;    ///< of the payload
};
static_assert(std::endian::native == std::endian::little);

constexpr std::size_t kFrameHeader = 16;
static_assert(sizeof(FrameHeader) == kFrameHeader);
constexpr std::size_t kLeastFrame = 64;
constexpr std::size_t kLongestPromise = kFrameHeader + 4096;
constexpr std::size_t kSegment = std::size_t{64} * 1024;
constexpr std::uint64_t kMaxFramePayload = 1ULL << 32;
/// Bytes per system call of a long message: with less than the transport's capacity the two ends' copies overlap.
constexpr std::size_t kStreamChunk = std::size_t{256} * 1024;

/// What the users of one direction must agree on: those of its sending end, in whatever process, on the sender's
/// fields, those of its receiving end on the receiver's. Twice in a page of shared memory, zeros at first, in which a
/// peer may have written anything.
struct FrameState {
  std::atomic<std::uint32_t> promised;  ///< sender's: the next frame sent is at least so long
  std::atomic<std::uint32_t> expected;  ///< receiver's: the next frame that comes is at least so long
  /// Sender's: bytes owed to finish a frame that was given up: the end of `owed`, then zeros, the last of which aborts.
  std::atomic<std::uint32_t> debt;
  std::uint32_t owed_header;  ///< bytes of `owed` that are part of the debt
  FrameHeader owed;
  std::atomic<std::uint32_t> closes;     ///< receiver's: copies of its end that were closed
  std::atomic<std::uint32_t> is_common;  ///< all users of both ends share this object: each sees what the others write

  bool is_in_debt() const noexcept { return debt.load(std::memory_order_relaxed) != 0; }
  static std::uint32_t least(const std::atomic<std::uint32_t>& length) noexcept {
    return std::clamp<std::uint32_t>(length.load(std::memory_order_relaxed), kLeastFrame, kLongestPromise);
  }
};

/// A sender's side of the promises, one frame after the other. A frame promises the next one no more than both this and
/// the last one had, so that neither alternating sizes nor one large message among small ones makes every small one
/// padded.
struct FramePromise {
  std::uint32_t promised;
  std::size_t last;  ///< length of the last frame without its padding

  /// `trailer`: the one byte behind the segment of a short frame that may be aborted.
  FrameHeader next(std::size_t length, std::size_t trailer) noexcept {
    const std::size_t natural = kFrameHeader + length + trailer;
    const std::size_t least = std::min(natural, last);
    // A start of a long frame is copied once more by its receiver and saves it nothing: it must read again anyway.
    const std::size_t promise = least > kLongestPromise ? kLeastFrame : std::max(least, kLeastFrame);
    const FrameHeader header = {.segmented = static_cast<std::uint8_t>(trailer),
                                .lead = 0,
                                .padding = static_cast<std::uint16_t>(natural < promised ? promised - natural : 0),
                                .promise = static_cast<std::uint32_t>(promise),
                                .length = length};
    promised = header.promise;
    last = natural;
    return header;
  }
};

}  // namespace crucible
