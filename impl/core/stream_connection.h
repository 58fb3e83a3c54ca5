// StreamConnection: what mechanisms over a byte stream share, which is all but how the stream is made.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <span>

#include "api/connection.h"
#include "core/destination.h"
#include "core/fd.h"
#include "core/frame_reader.h"
#include "core/frame_writer.h"
#include "core/gate.h"
#include "core/sealed_memory.h"

namespace crucible {

class StreamConnection : public Connection {
 public:
  static constexpr std::uint64_t kMaxMessage = kMaxFramePayload;

  ~StreamConnection() override { StreamConnection::close(); }

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
  bool begin_wait(pollfd& slot) override;
  bool end_wait(short revents) override;

 protected:
  struct Stream {
    StreamKind kind = StreamKind::kPipe;
    Fd in = {};  ///< both directions of a socket
    Fd out = {};
    bool readable = true;
    bool writable = true;
    std::shared_ptr<SealedMemory> page = {};  ///< both directions' FrameState, the first end's outgoing one first
    bool first = true;
  };

  /// The page of a pair, which both ends share, or of an end of which only the copies do.
  static std::shared_ptr<SealedMemory> make_page(bool of_a_pair);
  /// What handle() described; without a state, new kernel objects. As Mechanism::adopt.
  static Stream adopt_stream(StreamKind kind, const Handle& handle);

  StreamConnection(Stream stream, bool read_ahead);

 private:
  Status receive(Destination& to, Deadline deadline);
  int out() const noexcept { return kind_ == StreamKind::kSocket ? in_.get() : out_.get(); }

  const StreamKind kind_;
  const bool writable_;
  std::atomic<bool> readable_;
  const bool reads_ahead_;
  Fd in_;
  Fd out_;
  const std::shared_ptr<SealedMemory> page_;
  const bool first_;
  FrameState& outgoing_;
  FrameState& incoming_;
  Gate gate_;
  FrameWriter writer_;
  FrameReader reader_;
};

}  // namespace crucible
