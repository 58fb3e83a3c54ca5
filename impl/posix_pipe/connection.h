// Connection over a pair of pipe(2). README.md in this folder explains the frames.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "api/connection.h"
#include "core/destination.h"
#include "core/fd.h"
#include "core/gate.h"
#include "core/sealed_memory.h"

namespace crucible {

class PosixPipeConnection final : public Connection {
 public:
  static constexpr std::uint64_t kMaxMessage = 1ULL << 32;
  static constexpr std::size_t kDefaultCapacity = 1024 * 1024;

  static std::pair<std::unique_ptr<PosixPipeConnection>, std::unique_ptr<PosixPipeConnection>> pair(
      const PipeOptions& options);
  /// Without a state two descriptors, to read from and to write to, of pipes that no end of a pair() uses.
  static std::unique_ptr<PosixPipeConnection> adopt(const Handle& handle);
  static void check(const PipeOptions& options);
  /// The listener makes a pair and passes the other end through the door.
  static std::unique_ptr<Connection> admit(Fd socket, const PipeOptions& options);
  static std::unique_ptr<Connection> enter(Fd socket, const PipeOptions& options, Deadline deadline);
  ~PosixPipeConnection() override { close(); }

  Status send_bytes(ByteView message, Deadline deadline = Deadline::never()) override;
  Status send_many(std::span<const ByteView> messages, std::size_t& sent,
                   Deadline deadline = Deadline::never()) override;
  Status recv_bytes(Bytes& message, std::size_t max_length = kNoLimit, Deadline deadline = Deadline::never()) override;
  Status recv_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline = Deadline::never(),
                         Bytes* too_long = nullptr) override;
  Status wait_readable(Deadline deadline = Deadline::never()) override;
  void close() noexcept override;
  bool closed() const noexcept override { return gate_.closed(); }
  bool readable() const noexcept override { return readable_; }
  bool writable() const noexcept override { return writable_; }
  int descriptor() const override;
  Handle handle() const override;
  std::string_view mechanism() const noexcept override { return "posix_pipe"; }
  bool begin_wait(pollfd& slot) override;
  bool end_wait(short revents) override;

 private:
  /// What the users of one direction, in whatever process, must agree on; twice in the pair's page of shared memory.
  struct Shared {
    std::atomic<std::uint32_t> promised;  ///< the next frame sent is at least so long
    std::atomic<std::uint32_t> expected;  ///< the next frame to be received is at least so long
    std::atomic<std::uint32_t> debt;      ///< zero bytes owed, the last of which aborts an unfinished frame
    /// Whatever a peer has written there, 0 for instance.
    static std::uint32_t least(const std::atomic<std::uint32_t>& length) noexcept;
  };
  struct Header {
    std::uint8_t segmented;
    std::uint8_t lead;      ///< bytes before the payload, which align that of a long frame
    std::uint16_t padding;  ///< bytes after the payload, to keep a promise
    std::uint32_t promise;  ///< the frame after this one is at least so long
    std::uint64_t length;   ///< of the payload
  };
  static constexpr std::size_t kSharedBytes = 2 * sizeof(Shared);
  static constexpr std::size_t kHeader = 16;
  static_assert(sizeof(Header) == kHeader);
  static constexpr std::size_t kLeastFrame = 64;
  static constexpr std::size_t kLongestPromise = kHeader + 4096;
  static constexpr std::size_t kSegment = 64 * 1024;
  /// Bytes per system call of a long message: with less than the pipe's capacity the two ends' copies overlap.
  static constexpr std::size_t kChunk = 256 * 1024;
  static constexpr std::size_t kGather = 16 * 1024;

  PosixPipeConnection(Fd in, Fd out, std::shared_ptr<SealedMemory> page, bool first);

  /// A sender's side of the promises, one frame after the other.
  struct Promise {
    std::uint32_t promised;
    std::size_t last;  ///< length of the last frame without its padding
    Header next(std::size_t length) noexcept;
  };

  Status send_frame(ByteView message, Deadline deadline);
  Status send_segmented(ByteView head, ByteView message, std::size_t padding, Deadline deadline, std::size_t& written);
  Status send_gathered(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline);
  Status pay_debt(Deadline deadline);
  Status write_all(ByteView bytes, Deadline deadline, std::size_t& written);
  Status write_both(ByteView head, ByteView message, std::size_t& written);
  Status after_failed_write(Deadline deadline);
  static std::size_t put_frame(std::byte* to, const Header& header, ByteView message) noexcept;

  Status receive(Destination& to, Deadline deadline);
  Status receive_frame(Destination& to, Deadline deadline);
  Status receive_start(Deadline deadline);
  Status receive_body(const Header& header, Destination& to, Deadline deadline, bool& aborted);
  Status read_some(std::byte* to, std::size_t size, Deadline deadline, std::size_t& got);

  Fd in_;
  Fd out_;
  const bool writable_;
  std::atomic<bool> readable_;
  std::shared_ptr<SealedMemory> page_;
  const bool first_;
  Shared& outgoing_;
  Shared& incoming_;
  Gate gate_;

  std::size_t last_frame_ = kLeastFrame;  // sender's

  // The receiver's place in a frame, kept between calls when a deadline passed inside one.
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
