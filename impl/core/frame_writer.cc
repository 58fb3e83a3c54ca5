#include "core/frame_writer.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "core/io.h"
#include "core/opaque.h"

namespace crucible {
namespace {

constexpr std::array<std::byte, PIPE_BUF> kZeros{};
constexpr std::array<std::byte, 1> kConfirmed{std::byte{1}};

std::size_t put_frame(std::byte* to, const FrameHeader& header, ByteView message) noexcept {
  std::memcpy(to, &header, kFrameHeader);
  std::byte* end = to + kFrameHeader;
  if (!message.empty()) std::memcpy(end, message.data(), message.size());
  end += message.size();
  std::memset(end, 0, header.padding);
  end += header.padding;
  if (header.segmented != 0) *end++ = kConfirmed[0];
  return static_cast<std::size_t>(end - to);
}

// A message of a run.
std::size_t put_bare(std::byte* to, ByteView message) noexcept {
  if (message.size() < kFrameHeader) std::memset(to, 0, kFrameHeader);
  if (!message.empty()) std::memcpy(to, message.data(), opaque(message.size()));
  return std::max(message.size(), kFrameHeader);
}

}  // namespace

Status FrameWriter::send(ByteView message, Deadline deadline) {
  if (message.size() > kMaxFramePayload) return Status::kBadLength;
  if (const Status status = begin(deadline); status != Status::kOk) return status;
  return send_frame(message, deadline);
}

Status FrameWriter::send_many(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline) {
  sent = 0;
  while (sent < messages.size()) {
    std::size_t gathered = 0;
    Status status = begin(deadline);
    if (status == Status::kOk) status = send_gathered(messages.subspan(sent), gathered, deadline);
    if (status == Status::kOk && gathered == 0) {
      status = messages[sent].size() > kMaxFramePayload ? Status::kBadLength : send_frame(messages[sent], deadline);
      gathered = status == Status::kOk ? 1 : 0;
    }
    sent += gathered;
    if (status != Status::kOk) return status;
  }
  return Status::kOk;
}

Status FrameWriter::begin(Deadline deadline) {
  if (peer_is_gone_.load(std::memory_order_relaxed)) return Status::kBrokenPipe;
  if (kind_ == StreamKind::kSocket) {
    if (const Status status = ask_for_the_peer(); status != Status::kOk) return status;
  }
  return state_.is_in_debt() ? pay_debt(deadline) : Status::kOk;
}

// TCP takes bytes for a peer that is gone and tells only with the next ones, so the kernel is asked first. That costs
// small messages a third of their throughput. Where closing shows in memory only a death can stay unseen, and one that
// came within the interval is one that came a little later.
Status FrameWriter::ask_for_the_peer() {
  constexpr std::int64_t kIntervalNs = 50'000;
  const std::uint32_t closes = state_.closes.load(std::memory_order_acquire);
  const std::int64_t now_ns = Deadline::now_ns();
  if (state_.is_common.load(std::memory_order_relaxed) != 0 && closes == closes_ &&
      now_ns - asked_at_ns_ < kIntervalNs) {
    return Status::kOk;
  }
  closes_ = closes;
  asked_at_ns_ = now_ns;
  pollfd slot = {.fd = descriptor_, .events = POLLRDHUP, .revents = 0};
  if (sleep_on({&slot, 1}, Deadline::immediate()) != Wake::kReady) return Status::kOk;
  if ((slot.revents & POLLNVAL) != 0) {
    errno = EBADF;
    throw_errno("poll");
  }
  peer_is_gone();
  return Status::kBrokenPipe;
}

Status FrameWriter::pay_debt(Deadline deadline) {
  Status status = Status::kOk;
  while (const std::uint32_t debt = state_.debt.load(std::memory_order_relaxed)) {
    ByteView due = kZeros;
    const std::uint32_t owed_header = std::min<std::uint32_t>(state_.owed_header, kFrameHeader);
    if (owed_header > 0) due = std::as_bytes(std::span(&state_.owed, 1)).last(owed_header);
    std::size_t paid = 0;
    status = write_all(due.first(std::min<std::size_t>(debt, due.size())), deadline, paid);
    state_.owed_header = owed_header - static_cast<std::uint32_t>(std::min<std::size_t>(owed_header, paid));
    state_.debt.store(debt - static_cast<std::uint32_t>(paid), std::memory_order_relaxed);
    if (status != Status::kOk) return status;
  }
  return status;
}

// `written` bytes of a frame, of which `frame` bytes must come to abort it, are in the stream.
void FrameWriter::owe(const FrameHeader& header, std::size_t frame, std::size_t written) noexcept {
  state_.owed = header;
  state_.owed_header = static_cast<std::uint32_t>(kFrameHeader - std::min(kFrameHeader, written));
  state_.debt.store(static_cast<std::uint32_t>(frame - written), std::memory_order_relaxed);
}

bool FrameWriter::goes_whole(std::size_t size, Deadline deadline) const noexcept {
  return deadline.is_never() || (kind_ == StreamKind::kPipe && size <= PIPE_BUF);
}

// Only a run that the receiver has seen begin: whoever receives in its stead, if it is killed, knows of it then.
bool FrameWriter::goes_bare(FrameTerms terms, ByteView message) const noexcept {
  return terms.is_run() && message.size() == terms.length() &&
         (message.size() < kFrameHeader || !is_marked(message.data())) && state_.awaited().word() == terms.word();
}

FramePromise FrameWriter::promise_so_far() const noexcept {
  return {.terms = state_.sent(),
          .last = last_frame_,
          .runs = state_.runs,
          .may_run = kind_ == StreamKind::kPipe && state_.is_common.load(std::memory_order_relaxed) != 0};
}

Status FrameWriter::send_frame(ByteView message, Deadline deadline) {
  std::size_t written = 0;
  FramePromise promise = promise_so_far();
  if (goes_bare(promise.terms, message) && goes_whole(message.size(), deadline)) {
    if (message.size() >= kFrameHeader) return write_all(message, deadline, written);
    std::array<std::byte, kFrameHeader> filled;
    return write_all(ByteView(filled).first(put_bare(filled.data(), message)), deadline, written);
  }
  const FrameTerms before = promise.terms;
  const bool whole = goes_whole(std::max<std::size_t>(kFrameHeader + message.size(), before.least()), deadline);
  FrameHeader header = promise.next(message.size(), whole ? 0 : 1, state_.longest_promise());
  // The larger promise while the frame is under way: if this process is killed now, whoever sends next keeps both.
  state_.promised.store(std::max(before.least(), promise.terms.least()), std::memory_order_relaxed);
  state_.runs = promise.runs;

  const std::size_t frame = kFrameHeader + message.size() + header.padding + header.segmented;
  std::array<std::byte, kLongestPromise> start;
  Status status = Status::kOk;
  if (frame <= kLongestPromise) {
    status = write_all(ByteView(start).first(put_frame(start.data(), header, message)), deadline, written);
    if (!whole && written > 0 && written < frame) owe(header, frame, written);
  } else if (whole) {
    header.lead = kLeastFrame - kFrameHeader;
    std::memset(start.data(), 0, kLeastFrame);
    std::memcpy(start.data(), &header, kFrameHeader);
    status = write_both(ByteView(start).first(kLeastFrame), message, written);
  } else {
    status = send_segmented(header, message, deadline, written);
  }
  if (written > 0) last_frame_ = promise.last;
  state_.promised.store(written > 0 ? promise.terms.word() : before.word(), std::memory_order_relaxed);
  return status;
}

// A frame that may have to be given up: the byte behind each segment confirms it or, 0, aborts the whole frame. What is
// missing of the segment and that 0 are then owed, all as zeros, and paid by the next send.
Status FrameWriter::send_segmented(const FrameHeader& header, ByteView message, Deadline deadline,
                                   std::size_t& written) {
  ByteView head = std::as_bytes(std::span(&header, 1));
  Status status = Status::kOk;
  for (std::size_t position = 0; status == Status::kOk && position < message.size(); head = {}) {
    const ByteView payload = message.subspan(position, std::min(kSegment, message.size() - position));
    position += payload.size();
    const std::size_t end = written + head.size() + payload.size() + kConfirmed.size();
    for (const ByteView part : {head, payload, ByteView(kConfirmed)}) {
      std::size_t count = 0;
      if (status == Status::kOk) {
        status = write_all(part, deadline, count, part.data() == kConfirmed.data() ? 0 : MSG_MORE);
      }
      written += count;
    }
    if (written > 0 && written < end) owe(header, end, written);
  }
  return status;
}

// As many small frames as one write takes; none if the first is not small. With a deadline that is what a pipe takes
// whole or not at all, and what can be aborted in a socket.
Status FrameWriter::send_gathered(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline) {
  sent = 0;
  std::array<std::byte, kGather> bytes;
  std::array<std::size_t, kGather / kFrameHeader> ends;
  const bool is_pipe = kind_ == StreamKind::kPipe;
  const std::size_t room = deadline.is_never() || !is_pipe ? kGather : PIPE_BUF;
  const std::size_t trailer = deadline.is_never() || is_pipe ? 0 : 1;
  FramePromise promise = promise_so_far();
  const FrameTerms before = promise.terms;
  std::uint32_t largest = before.least();
  std::size_t used = 0;
  std::size_t count = 0;
  for (; count < messages.size(); ++count) {
    const ByteView message = messages[count];
    if (goes_bare(promise.terms, message)) {
      if (used + promise.terms.least() > room) break;
      used += put_bare(bytes.data() + used, message);
    } else {
      FramePromise after = promise;
      const FrameHeader header = after.next(message.size(), trailer, state_.longest_promise());
      if (message.size() > room || used + kFrameHeader + message.size() + header.padding + trailer > room) break;
      used += put_frame(bytes.data() + used, header, message);
      promise = after;
      largest = std::max(largest, promise.terms.least());
    }
    ends[count] = used;
  }
  if (count == 0) return Status::kOk;
  state_.promised.store(largest, std::memory_order_relaxed);
  state_.runs = promise.runs;
  std::size_t written = 0;
  const Status status = write_all(ByteView(bytes).first(used), deadline, written);
  while (sent < count && ends[sent] <= written) ++sent;
  const std::size_t complete = sent == 0 ? 0 : ends[sent - 1];
  if (trailer > 0 && written > complete) {
    FrameHeader cut;
    std::memcpy(&cut, bytes.data() + complete, kFrameHeader);
    owe(cut, ends[sent] - complete, written - complete);
  }
  if (written > 0) last_frame_ = promise.last;
  // The last frame that left may have promised anything up to `largest`.
  state_.promised.store(written == used ? promise.terms.word()
                        : written > 0   ? largest
                                        : before.word(),
                        std::memory_order_relaxed);
  return status;
}

// Writes all of `bytes` or, by then `written` of them, until something else than kOk happens.
Status FrameWriter::write_all(ByteView bytes, Deadline deadline, std::size_t& written, int flags) {
  written = 0;
  if (!deadline.is_never()) flags |= MSG_DONTWAIT;
  while (written < bytes.size()) {
    ByteView rest = bytes.subspan(written, std::min(kStreamChunk, bytes.size() - written));
    ssize_t count = 0;
    if (kind_ == StreamKind::kSocket) {
      if (is_full_ && !deadline.is_never()) {
        if (const Status status = await_room(deadline); status != Status::kOk) return status;
      }
      count = ::send(descriptor_, rest.data(), rest.size(), flags | MSG_NOSIGNAL);
    } else {
      if (!deadline.is_never()) {
        // A pipe that polls writable has a free page, so PIPE_BUF bytes of its only writer do not block.
        if (const Status status = await_events(descriptor_, POLLOUT, deadline, gate_); status != Status::kOk) {
          return status;
        }
        rest = rest.first(std::min<std::size_t>(rest.size(), PIPE_BUF));
      }
      count = ::write(descriptor_, rest.data(), rest.size());
    }
    if (count >= 0) {
      written += static_cast<std::size_t>(count);
      give_way(static_cast<std::size_t>(count));
    } else if (const Status status = after_failed_write(deadline); status != Status::kOk) {
      return status;
    }
  }
  return Status::kOk;
}

// Shorter writes are not worth a switch; those of a pipe, whose room is little, are not before they are the longest.
void FrameWriter::give_way(std::size_t written) noexcept {
  if (written >= (kind_ == StreamKind::kPipe ? kStreamChunk : kSegment)) give_way_.wrote(written);
}

// A header and its payload without a deadline.
Status FrameWriter::write_both(ByteView head, ByteView message, std::size_t& written) {
  written = 0;
  while (written < head.size()) {
    const ByteView rest = head.subspan(written);
    iovec parts[] = {{const_cast<std::byte*>(rest.data()), rest.size()},
                     {const_cast<std::byte*>(message.data()), std::min(kStreamChunk, message.size())}};
    const ssize_t count = writev(descriptor_, parts, 2);
    if (count >= 0) {
      written += static_cast<std::size_t>(count);
      give_way(static_cast<std::size_t>(count));
    } else if (const Status status = after_failed_write(Deadline::never()); status != Status::kOk) {
      return status;
    }
  }
  std::size_t more = 0;
  const Status status = write_all(message.subspan(written - head.size()), Deadline::never(), more);
  written += more;
  return status;
}

// TCP has room for a few bytes now and then although nobody receives. It polls writable when there is enough.
Status FrameWriter::await_room(Deadline deadline) {
  is_full_ = true;
  const Status status = await_events(descriptor_, POLLOUT, deadline, gate_);
  if (status == Status::kOk) is_full_ = false;
  return status;
}

// kOk: try again. EAGAIN is a full socket, or a copy was made non-blocking.
Status FrameWriter::after_failed_write(Deadline deadline) {
  switch (errno) {
    case EPIPE:
    case ECONNRESET:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH: return Status::kBrokenPipe;
    case EAGAIN: return await_room(deadline);
    case EINTR: return gate_.closed() ? Status::kClosed : Status::kOk;
    default: throw_errno("write");
  }
}

}  // namespace crucible
