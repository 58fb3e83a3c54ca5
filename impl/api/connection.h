// Connection: one end of a message-preserving pipe between two processes.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "api/bytes.h"
#include "api/codec.h"
#include "api/deadline.h"
#include "api/status.h"
#include "api/waitable.h"

namespace crucible {

/// What an end is made of: descriptors, which stay the end's own, and a few bytes that mean nothing to others.
struct Handle {
  std::vector<int> descriptors;
  Bytes state;
};

/// As the kernel saw the process that connected or listened (SO_PEERCRED).
struct PeerCredentials {
  pid_t pid;
  uid_t uid;
  gid_t gid;
};

/// How an end waits, where its mechanism leaves the choice. kSpin never sleeps; kBlock sleeps at once; kAdaptive looks
/// for a moment before it sleeps. Each end decides for itself.
enum class WaitStrategy : std::uint8_t { kAdaptive, kSpin, kBlock };
constexpr std::string_view to_string(WaitStrategy wait) noexcept {
  return wait == WaitStrategy::kAdaptive ? "adaptive" : wait == WaitStrategy::kSpin ? "spin" : "block";
}

/// How a pipe is made. What a mechanism cannot honour it rounds up or refuses with BadArgument; never silently less.
struct PipeOptions {
  bool duplex = true;
  std::size_t capacity_bytes = 0;         ///< per direction; 0: the mechanism's default
  std::optional<WaitStrategy> wait = {};  ///< nothing: the mechanism's default. BadArgument unless it offers this one
  /// Lets a receive take more than one message from the kernel at a time. What was read ahead is this copy's alone: an
  /// end so made is not handed over, and descriptor() is Unsupported.
  bool read_ahead = false;
};

/// Messages arrive whole, in order, exactly once. The virtual functions move bytes and return a Status; the
/// templates below them move objects and throw. `x` waits, `try_x` does not, `x_for` waits at most a duration.
///
/// One user at a time: one thread of one process sends, one thread of one process receives (both may be the same or
/// different). An end may be handed on between messages: by fork, or as an argument of a Process. Only close() may be
/// called from any thread at any time. A child that inherits an end holds a copy; end of file needs all copies to go.
/// Handled signals never show. SIGPIPE is ignored in the whole process from the first pipe on.
class Connection : public Waitable {
 public:
  static constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

  // --- Bytes: what a mechanism implements ----------------------------------------------------------------

  /// Sends one message of any length from 0 to the mechanism's max_message_bytes. kOk: handed over; the buffer may be
  /// reused. Blocks while the transport is full. kTimeout: nothing arrives at the peer, the end stays usable.
  /// kBrokenPipe, kClosed, kWrongDirection; kBadLength at once if the message can never fit.
  virtual Status send_bytes(ByteView message, Deadline deadline = Deadline::never()) = 0;
  /// Sends messages in order, coalescing them into fewer system calls where the mechanism can. `sent` counts those
  /// handed over, also when the status is not kOk. Outcomes as send_bytes.
  virtual Status send_many(std::span<const ByteView> messages, std::size_t& sent,
                           Deadline deadline = Deadline::never()) = 0;
  /// Receives one message into `message`, which is resized. Blocks while there is none. kTimeout: a message whose
  /// beginning came stays and is completed by a later receive. kBadLength: longer than `max_length`; the
  /// message is lost and this end is send-only from now on (later receives are kWrongDirection); a receive-only end is
  /// closed. kEof, kTruncated, kClosed, kWrongDirection.
  virtual Status recv_bytes(Bytes& message, std::size_t max_length = kNoLimit,
                            Deadline deadline = Deadline::never()) = 0;
  /// Receives one message into `buffer`; `received` is its length, the rest of the buffer is untouched on kOk.
  /// kTooShort: the message was longer; it is consumed, `received` is its length and all of it is in `*too_long`
  /// if given. Otherwise as recv_bytes.
  virtual Status recv_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline = Deadline::never(),
                                 Bytes* too_long = nullptr) = 0;
  /// Waits until a receive would not wait for a message to begin. kOk: a message (also an empty one) or end of file is
  /// there; nothing is consumed. kTimeout, kClosed, kWrongDirection.
  virtual Status wait_readable(Deadline deadline = Deadline::never()) = 0;

  /// False, without a system call: a receive would most likely find nothing yet. Of a peer that died it may know
  /// nothing. True where nothing is known. The receiving user's.
  virtual bool has_news() noexcept { return true; }

  /// Need zero_copy, else kUnsupported. reserve() gives room for a message of `size` bytes in the transport's own
  /// memory, waiting as send_bytes does; commit() sends the first `size` bytes of it, at most what was reserved. Until
  /// then no other send, and nothing has happened for the peer; reserving again gives the first room up. kBadLength:
  /// more than the transport can ever hold in one piece. kState: nothing is reserved. Otherwise as send_bytes.
  virtual Status reserve(std::size_t size, ByteSpan& room, Deadline deadline = Deadline::never());
  virtual Status commit(std::size_t size);
  /// peek() shows the next message in the transport's own memory, waiting as recv_bytes does, and again the same until
  /// release() consumes it, after which the memory is the sender's again. kUnsupported also for a message that does not
  /// lie in one piece: it stays, for recv_bytes. kState: release() without peek(). Otherwise as recv_bytes.
  virtual Status peek(ByteView& message, Deadline deadline = Deadline::never());
  virtual Status release();

  /// Sends a message of at most kDescriptorMessage bytes that carries 1 to kMostDescriptors open descriptors. Needs
  /// passes_descriptors, else kUnsupported. kBadArgument: too many or none, a negative or closed one, too long a
  /// message. Otherwise as send_bytes.
  virtual Status send_descriptors(std::span<const int> descriptors, ByteView message,
                                  Deadline deadline = Deadline::never());
  /// Receives such a message: new descriptors (CLOEXEC), which the caller owns. kBadArgument: the next message carries
  /// none; it stays. (Received by recv_bytes instead, the descriptors are closed.) Otherwise as recv_bytes.
  virtual Status recv_descriptors(std::vector<int>& descriptors, Bytes& message, Deadline deadline = Deadline::never());
  static constexpr std::size_t kMostDescriptors = 8;
  static constexpr std::size_t kDescriptorMessage = 1024;

  /// Closes this process's copy. Whoever in this process is blocked on the end returns kClosed, after which close()
  /// returns; such a thread must not block signal wake_signal() (core/interrupt.h). Idempotent, any thread.
  virtual void close() noexcept = 0;
  virtual bool closed() const noexcept = 0;
  /// The directions. close() does not change them; a receive's kBadLength ends the receiving one.
  virtual bool readable() const noexcept = 0;
  virtual bool writable() const noexcept = 0;
  /// Needs pollable: a descriptor that polls readable when wait_readable() would succeed, owned by the connection.
  /// Throws Closed; Unsupported where the mechanism is not pollable.
  virtual int descriptor() const;
  /// Needs transferable: what another process makes its own copy of this end from (Mechanism::adopt). Throws Closed,
  /// Unsupported, StateError in the middle of a message or where messages were read ahead.
  virtual Handle handle() const;
  /// The name of the mechanism that this end is of.
  virtual std::string_view mechanism() const noexcept = 0;
  /// Who was at the other end when it came through a named door; nothing for others and where the kernel does not tell.
  const std::optional<PeerCredentials>& peer() const noexcept { return peer_; }
  void set_peer(const PeerCredentials& peer) noexcept { peer_ = peer; }  ///< for doors

  // --- Bytes: the verb grammar and slices ----------------------------------------------------------------

  Status try_send_bytes(ByteView message) { return send_bytes(message, Deadline::immediate()); }
  template <class R, class P>
  Status send_bytes_for(ByteView message, std::chrono::duration<R, P> duration) {
    return send_bytes(message, Deadline::after(duration));
  }
  /// Sends message[offset, offset + size); without size, to the end. kBadArgument unless the slice lies inside.
  Status send_slice(ByteView message, std::ptrdiff_t offset, std::optional<std::ptrdiff_t> size = std::nullopt,
                    Deadline deadline = Deadline::never());
  Status try_recv_bytes(Bytes& message) { return recv_bytes(message, kNoLimit, Deadline::immediate()); }
  template <class R, class P>
  Status recv_bytes_for(Bytes& message, std::chrono::duration<R, P> duration) {
    return recv_bytes(message, kNoLimit, Deadline::after(duration));
  }
  Status send_descriptor(int descriptor, Deadline deadline = Deadline::never()) {
    return send_descriptors({&descriptor, 1}, {}, deadline);
  }
  /// kBadArgument also if the message carries another number of descriptors than one; it is then consumed.
  Status recv_descriptor(int& descriptor, Deadline deadline = Deadline::never());
  /// Receives at buffer[offset...]. kBadArgument, the message staying where it is, unless 0 <= offset <= size.
  Status recv_bytes_at(ByteSpan buffer, std::ptrdiff_t offset, std::size_t& received,
                       Deadline deadline = Deadline::never(), Bytes* too_long = nullptr);

  // --- Objects: MessagePack, exceptions ------------------------------------------------------------------

  /// Throws the exception of the status that send_bytes returns, and EncodingError before anything is sent.
  template <class T>
  void send(const T& value) {
    (void)finish(send_bytes(encode(value).view()), "send");
  }
  /// False: the transport is full.
  template <class T>
  [[nodiscard]] bool try_send(const T& value) {
    return finish(send_bytes(encode(value).view(), Deadline::immediate()), "try_send");
  }
  template <class T, class R, class P>
  [[nodiscard]] bool send_for(const T& value, std::chrono::duration<R, P> duration) {
    const Deadline deadline = Deadline::after(duration);
    return finish(send_bytes(encode(value).view(), deadline), "send_for");
  }
  /// Throws the exception of the status that recv_bytes returns; EncodingError if the message is no T (it is consumed).
  template <class T>
  [[nodiscard]] T recv() {
    return *recv_until<T>(Deadline::never());
  }
  /// Nothing: no message is there.
  template <class T>
  [[nodiscard]] std::optional<T> try_recv() {
    return recv_until<T>(Deadline::immediate());
  }
  template <class T, class R, class P>
  [[nodiscard]] std::optional<T> recv_for(std::chrono::duration<R, P> duration) {
    return recv_until<T>(Deadline::after(duration));
  }
  /// Whether a message or end of file is there; the second form waits for it. Throws as wait_readable reports.
  [[nodiscard]] bool poll() { return finish(wait_readable(Deadline::immediate()), "poll"); }
  template <class R, class P>
  [[nodiscard]] bool poll_for(std::chrono::duration<R, P> duration) {
    return finish(wait_readable(Deadline::after(duration)), "poll_for");
  }

 private:
  std::optional<PeerCredentials> peer_;

  static bool finish(Status status, const char* operation) {
    if (status != Status::kOk && status != Status::kTimeout) throw_status(status, operation);
    return status == Status::kOk;
  }
  template <class T>
  std::optional<T> recv_until(Deadline deadline) {
    Bytes message;
    if (!finish(recv_bytes(message, kNoLimit, deadline), "recv")) return std::nullopt;
    return decode<T>(message);
  }
};

/// The two ends of a pipe. In a simplex pipe `first` only receives and `second` only sends.
using ConnectionPair = std::pair<std::unique_ptr<Connection>, std::unique_ptr<Connection>>;

}  // namespace crucible
