// Frames: messages in a byte stream, of which each takes one write and one read. ../tcp_socket/README.md documents the
// bytes, ../posix_pipe/README.md explains the promises.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace crucible {

/// How the kernel treats the stream's bytes.
enum class StreamKind : std::uint8_t {
  kPipe,    ///< up to PIPE_BUF bytes are written whole or not at all
  kSocket,  ///< TCP: any part may be taken, and a peer's going shows only to who asks
};

/// In front of every message, but for those of a run. Little-endian.
struct FrameHeader {
  std::uint8_t segmented;     ///< 1: a byte behind each segment confirms it or aborts the frame
  std::uint8_t lead;          ///< bytes before the payload, which align that of a long frame
  std::uint16_t padding;      ///< bytes after the payload, to keep a promise
  std::uint32_t promise;      ///< a FrameTerms: what the frame after this one keeps
  std::uint64_t length : 40;  ///< of the payload
  std::uint64_t mark : 24;    ///< in a pipe kFrameMark, which no message of a run has in this place; else 0
};
static_assert(std::endian::native == std::endian::little);

constexpr std::size_t kFrameHeader = 16;
static_assert(sizeof(FrameHeader) == kFrameHeader);
constexpr std::size_t kLeastFrame = 64;
constexpr std::size_t kLongestRun = 4096;
constexpr std::size_t kLongestPromise = kFrameHeader + kLongestRun;
constexpr std::size_t kSegment = std::size_t{64} * 1024;
constexpr std::uint64_t kMaxFramePayload = 1ULL << 32;
constexpr std::uint64_t kLengthMask = (1ULL << 40U) - 1;
constexpr std::uint32_t kFrameMark = 0x9ec5a3;

/// Whether the first bytes, at least a header's, of what came in a run are those of a frame.
inline bool is_marked(const std::byte* start) noexcept {
  FrameHeader header;
  std::memcpy(&header, start, kFrameHeader);
  return header.mark == kFrameMark;
}

/// What a sender says of its next frame: that it is at least so long; and, in a run, that it and those behind it are
/// messages of just this length without headers, until a marked frame comes. Zeros fill them up to a header's length,
/// so that there is room for the mark. One word, so that it is written at once.
class FrameTerms {
 public:
  constexpr explicit FrameTerms(std::uint32_t word) noexcept : word_(word) {}
  static constexpr FrameTerms promise(std::size_t length) noexcept {
    return FrameTerms(static_cast<std::uint32_t>(std::min(length, kLongestPromise)));
  }
  /// `number`, but for its upper half, tells one run from those before it.
  static constexpr FrameTerms run(std::size_t length, std::uint32_t number) noexcept {
    return FrameTerms(static_cast<std::uint32_t>(length) | (number % 0xffff + 1) << 16U);
  }

  std::uint32_t word() const noexcept { return word_; }
  std::uint32_t least() const noexcept {
    return is_run() ? std::max<std::uint32_t>(length(), kFrameHeader)
                    : std::clamp<std::uint32_t>(word_, kLeastFrame, kLongestPromise);
  }
  /// A peer may have written anything.
  bool is_run() const noexcept { return word_ > 0xffffU && length() <= kLongestRun; }
  /// Of a run's messages.
  std::uint32_t length() const noexcept { return word_ & 0xffffU; }

 private:
  std::uint32_t word_;
};

/// Bytes per system call of a long message: with less than the transport's capacity the two ends' copies overlap.
constexpr std::size_t kStreamChunk = std::size_t{256} * 1024;

/// What the users of one direction must agree on: those of its sending end, in whatever process, on the sender's
/// fields, those of its receiving end on the receiver's. Twice in a page of shared memory, zeros at first, in which a
/// peer may have written anything. Whatever one end writes with every message lies in lines of its own, or each message
/// would wait for the other CPU to give its line away.
struct FrameState {
  static constexpr std::size_t kLines = 128;  ///< the pair of lines that a CPU fetches together

  /// Sender's: the FrameTerms of the next frame.
  alignas(kLines) std::atomic<std::uint32_t> promised;
  /// Sender's: bytes owed to finish a frame that was given up: the end of `owed`, then zeros, the last of which aborts.
  std::atomic<std::uint32_t> debt;
  std::uint32_t owed_header;  ///< bytes of `owed` that are part of the debt
  FrameHeader owed;
  std::uint32_t runs;  ///< begun so far

  /// Receiver's: what comes in a run is being taken. Who finds it so takes the place of one that was killed there.
  alignas(kLines) std::atomic<std::uint32_t> is_receiving;

  /// Receiver's: the FrameTerms of the next frame that comes. A run's is what lets its sender leave out the headers.
  alignas(kLines) std::atomic<std::uint32_t> expected;

  /// There are users who do not share this object, so nothing may be promised.
  alignas(kLines) std::atomic<std::uint32_t> is_vague;
  std::atomic<std::uint32_t> closes;     ///< receiver's: copies of its end that were closed
  std::atomic<std::uint32_t> is_common;  ///< all users of both ends share this object: each sees what the others write

  bool is_in_debt() const noexcept { return debt.load(std::memory_order_relaxed) != 0; }
  std::uint32_t longest_promise() const noexcept {
    return is_vague.load(std::memory_order_relaxed) != 0 ? kLeastFrame : kLongestPromise;
  }
  FrameTerms sent() const noexcept { return FrameTerms(promised.load(std::memory_order_relaxed)); }
  FrameTerms awaited() const noexcept { return FrameTerms(expected.load(std::memory_order_relaxed)); }
};

/// A sender's side of the promises, one frame after the other. A frame promises the next one no more than both this and
/// the last one had, so that neither alternating sizes nor one large message among small ones makes every small one
/// padded. Two messages of one length begin a run.
struct FramePromise {
  FrameTerms terms;
  std::size_t last;    ///< length of the last frame without its padding
  std::uint32_t runs;  ///< begun so far
  bool may_run;        ///< both ends see each other's FrameState

  /// `trailer`: the one byte behind the segment of a short frame that may be aborted.
  FrameHeader next(std::size_t length, std::size_t trailer, std::uint32_t longest) noexcept {
    const std::size_t natural = kFrameHeader + length + trailer;
    const std::size_t promised = std::max<std::size_t>(terms.least(), kLeastFrame);
    if (may_run && natural == last && trailer == 0 && length <= kLongestRun) {
      if (!terms.is_run() || terms.length() != length) terms = FrameTerms::run(length, runs++);
    } else {
      const std::size_t least = std::min(natural, last);
      // A start of a long frame is copied once more by its receiver and saves it nothing: it must read again anyway.
      terms = FrameTerms::promise(least > longest ? kLeastFrame : std::max(least, kLeastFrame));
    }
    last = natural;
    return {.segmented = static_cast<std::uint8_t>(trailer),
            .lead = 0,
            .padding = static_cast<std::uint16_t>(natural < promised ? promised - natural : 0),
            .promise = terms.word(),
            .length = length & kLengthMask,
            .mark = may_run ? kFrameMark : 0};
  }
};

}  // namespace crucible
