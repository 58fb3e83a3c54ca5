#include "posix_pipe/connection.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "core/io.h"

namespace crucible {
namespace {

constexpr std::array<std::byte, PIPE_BUF> kZeros{};
constexpr std::size_t kPage = 4096;  // of memory, and of a pipe

struct PipeEnds {
  Fd reader;
  Fd writer;
};

PipeEnds make_pipe(std::size_t capacity) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe2");
  PipeEnds made{Fd(ends[0]), Fd(ends[1])};
  // Past /proc/sys/fs/pipe-user-pages-soft only a capacity that was asked for is insisted on.
  // One more page than asked for, since a pipe whose last page has room left does not poll writable.
  const auto resize = [&made](std::size_t bytes) {
    return fcntl(made.writer.get(), F_SETPIPE_SZ, static_cast<int>(bytes)) >= 0;
  };
  if (capacity == 0) {
    (void)resize(PosixPipeConnection::kDefaultCapacity);
  } else if (capacity > INT_MAX - kPage || (!resize(capacity + kPage) && !resize(capacity))) {
    throw BadArgument("pipe: the system refuses a capacity of " + std::to_string(capacity));
  }
  return made;
}

}  // namespace

PosixPipeConnection::PosixPipeConnection(Fd in, Fd out, std::shared_ptr<SealedMemory> page, bool first)
    : in_(std::move(in)),
      out_(std::move(out)),
      writable_(static_cast<bool>(out_)),
      readable_(static_cast<bool>(in_)),
      page_(std::move(page)),
      first_(first),
      outgoing_(page_->objects<Shared>()[first ? 0 : 1]),
      incoming_(page_->objects<Shared>()[first ? 1 : 0]) {
  ignore_sigpipe();
}

std::uint32_t PosixPipeConnection::Shared::least(const std::atomic<std::uint32_t>& length) noexcept {
  return std::clamp<std::uint32_t>(length.load(std::memory_order_relaxed), kLeastFrame, kLongestPromise);
}

std::pair<std::unique_ptr<PosixPipeConnection>, std::unique_ptr<PosixPipeConnection>> PosixPipeConnection::pair(
    const PipeOptions& options) {
  PipeEnds to_first = make_pipe(options.capacity_bytes);
  PipeEnds to_second = options.duplex ? make_pipe(options.capacity_bytes) : PipeEnds{};
  const auto page = SealedMemory::make(kSharedBytes);
  return {std::unique_ptr<PosixPipeConnection>(
              new PosixPipeConnection(std::move(to_first.reader), std::move(to_second.writer), page, true)),
          std::unique_ptr<PosixPipeConnection>(
              new PosixPipeConnection(std::move(to_second.reader), std::move(to_first.writer), page, false))};
}

void PosixPipeConnection::close() noexcept {
  if (!gate_.close()) return;
  in_.reset();
  out_.reset();
}

int PosixPipeConnection::descriptor() const {
  if (closed()) throw Closed("descriptor");
  return readable_ ? in_.get() : out_.get();
}

bool PosixPipeConnection::begin_wait(pollfd& slot) {
  if (!gate_.enter(Gate::kReceive)) throw Closed("wait");
  slot.fd = readable_ ? in_.get() : out_.get();
  slot.events = readable_ ? POLLIN : 0;  // a writer's only news is that its reader is gone
  return false;
}

bool PosixPipeConnection::end_wait(short revents) {
  gate_.leave(Gate::kReceive);
  return revents != 0;
}

// --- Sending -------------------------------------------------------------------------------------------------

// A frame promises the next one no more than both this and the last one had, so that neither alternating sizes nor one
// large message among small ones makes every small one padded.
PosixPipeConnection::Header PosixPipeConnection::Promise::next(std::size_t length) noexcept {
  const std::size_t natural = kHeader + length;
  const std::size_t least = std::min(natural, last);
  // A start of a long frame is copied once more by its receiver and saves it nothing: it must read again anyway.
  const std::size_t promise = least > kLongestPromise ? kLeastFrame : std::max(least, kLeastFrame);
  const Header header = {.segmented = 0,
                         .lead = 0,
                         .padding = static_cast<std::uint16_t>(natural < promised ? promised - natural : 0),
                         .promise = static_cast<std::uint32_t>(promise),
                         .length = length};
  promised = header.promise;
  last = natural;
  return header;
}

// kOk: try again.
Status PosixPipeConnection::after_failed_write(Deadline deadline) {
  if (errno == EPIPE) return Status::kBrokenPipe;
  if (errno == EAGAIN) return await_events(out_.get(), POLLOUT, deadline, gate_);  // a copy was made non-blocking
  if (errno != EINTR) throw_errno("write");
  return gate_.closed() ? Status::kClosed : Status::kOk;
}

// Writes all of `bytes` or, by then `written` of them, until something else than kOk happens.
Status PosixPipeConnection::write_all(ByteView bytes, Deadline deadline, std::size_t& written) {
  written = 0;
  while (written < bytes.size()) {
    ByteView rest = bytes.subspan(written, std::min(kChunk, bytes.size() - written));
    if (!deadline.is_never()) {
      // A pipe that polls writable has a free page, so PIPE_BUF bytes of its only writer do not block.
      if (const Status status = await_events(out_.get(), POLLOUT, deadline, gate_); status != Status::kOk)
        return status;
      rest = rest.first(std::min<std::size_t>(rest.size(), PIPE_BUF));
    }
    const ssize_t count = ::write(out_.get(), rest.data(), rest.size());
    if (count >= 0) {
      written += static_cast<std::size_t>(count);
    } else if (const Status status = after_failed_write(deadline); status != Status::kOk) {
      return status;
    }
  }
  return Status::kOk;
}

// A header and its payload without a deadline.
Status PosixPipeConnection::write_both(ByteView head, ByteView message, std::size_t& written) {
  written = 0;
  while (written < head.size()) {
    const ByteView rest = head.subspan(written);
    const iovec parts[] = {{const_cast<std::byte*>(rest.data()), rest.size()},
                           {const_cast<std::byte*>(message.data()), std::min(kChunk, message.size())}};
    const ssize_t count = writev(out_.get(), parts, 2);
    if (count >= 0) {
      written += static_cast<std::size_t>(count);
    } else if (const Status status = after_failed_write(Deadline::never()); status != Status::kOk) {
      return status;
    }
  }
  std::size_t more = 0;
  const Status status = write_all(message.subspan(written - head.size()), Deadline::never(), more);
  written += more;
  return status;
}

Status PosixPipeConnection::pay_debt(Deadline deadline) {
  while (const std::uint32_t debt = outgoing_.debt.load(std::memory_order_relaxed)) {
    std::size_t paid = 0;
    const Status status = write_all(ByteView(kZeros).first(std::min<std::size_t>(debt, kZeros.size())), deadline, paid);
    outgoing_.debt.store(debt - static_cast<std::uint32_t>(paid), std::memory_order_relaxed);
    if (status != Status::kOk) return status;
  }
  return Status::kOk;
}

Status PosixPipeConnection::send_frame(ByteView message, Deadline deadline) {
  if (message.size() > kMaxMessage) return Status::kBadLength;
  if (const Status status = pay_debt(deadline); status != Status::kOk) return status;
  const std::uint32_t promised = Shared::least(outgoing_.promised);
  Promise promise = {.promised = promised, .last = last_frame_};
  Header header = promise.next(message.size());
  // The larger promise while the frame is under way: if this process is killed now, whoever sends next keeps both.
  outgoing_.promised.store(std::max(promised, promise.promised), std::memory_order_relaxed);

  const std::size_t frame = kHeader + message.size() + header.padding;
  const bool whole = frame <= PIPE_BUF || deadline.is_never();
  header.segmented = whole ? 0 : 1;
  std::array<std::byte, kLongestPromise> start;
  std::size_t written = 0;
  Status status = Status::kOk;
  if (whole && frame <= kLongestPromise) {
    status = write_all(ByteView(start).first(put_frame(start.data(), header, message)), deadline, written);
  } else {
    header.lead = whole ? kLeastFrame - kHeader : 0;
    std::memset(start.data(), 0, kLeastFrame);
    std::memcpy(start.data(), &header, kHeader);
    const ByteView head = ByteView(start).first(kHeader + header.lead);
    status =
        whole ? write_both(head, message, written) : send_segmented(head, message, header.padding, deadline, written);
  }
  if (written > 0) last_frame_ = promise.last;
  outgoing_.promised.store(written > 0 ? promise.promised : promised, std::memory_order_relaxed);
  return status;
}

// A frame that may have to be given up: the byte behind each segment confirms it or, 0, aborts the whole frame. What is
// missing of the segment and that 0 are then owed, all as zeros, and paid by the next send.
Status PosixPipeConnection::send_segmented(ByteView head, ByteView message, std::size_t padding, Deadline deadline,
                                           std::size_t& written) {
  static constexpr std::array<std::byte, 1> kConfirmed{std::byte{1}};
  Status status = write_all(head, deadline, written);  // whole or not at all: it is shorter than PIPE_BUF
  std::size_t position = 0;
  for (bool first = true; status == Status::kOk && (first || position < message.size()); first = false) {
    const ByteView payload = message.subspan(position, std::min(kSegment, message.size() - position));
    position += payload.size();
    const ByteView fill = ByteView(kZeros).first(position == message.size() ? padding : 0);
    std::size_t unsent = payload.size() + fill.size() + kConfirmed.size();
    for (const ByteView part : {payload, fill, ByteView(kConfirmed)}) {
      std::size_t count = 0;
      if (status == Status::kOk) status = write_all(part, deadline, count);
      unsent -= count;
    }
    outgoing_.debt.store(static_cast<std::uint32_t>(unsent), std::memory_order_relaxed);
  }
  return status;
}

Status PosixPipeConnection::send_bytes(ByteView message, Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (!writable_) return Status::kWrongDirection;
  return send_frame(message, deadline);
}

Status PosixPipeConnection::send_many(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline) {
  sent = 0;
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (!writable_) return Status::kWrongDirection;
  while (sent < messages.size()) {
    std::size_t gathered = 0;
    Status status = send_gathered(messages.subspan(sent), gathered, deadline);
    if (status == Status::kOk && gathered == 0) {
      status = send_frame(messages[sent], deadline);
      gathered = status == Status::kOk ? 1 : 0;
    }
    sent += gathered;
    if (status != Status::kOk) return status;
  }
  return Status::kOk;
}

// As many small frames as one write takes; none if the first is not small. With a deadline that is what a pipe takes
// whole or not at all.
Status PosixPipeConnection::send_gathered(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline) {
  sent = 0;
  if (const Status status = pay_debt(deadline); status != Status::kOk) return status;
  std::array<std::byte, kGather> bytes;
  std::array<std::size_t, kGather / kLeastFrame> ends;
  const std::size_t room = deadline.is_never() ? kGather : PIPE_BUF;
  const std::uint32_t promised = Shared::least(outgoing_.promised);
  std::uint32_t largest = promised;
  Promise promise = {.promised = promised, .last = last_frame_};
  std::size_t used = 0;
  std::size_t count = 0;
  for (; count < messages.size(); ++count) {
    Promise after = promise;
    const Header header = after.next(messages[count].size());
    if (messages[count].size() > room || used + kHeader + messages[count].size() + header.padding > room) break;
    used += put_frame(bytes.data() + used, header, messages[count]);
    ends[count] = used;
    promise = after;
    largest = std::max(largest, promise.promised);
  }
  if (count == 0) return Status::kOk;
  outgoing_.promised.store(largest, std::memory_order_relaxed);
  std::size_t written = 0;
  const Status status = write_all(ByteView(bytes).first(used), deadline, written);
  while (sent < count && ends[sent] <= written) ++sent;
  if (written > 0) last_frame_ = promise.last;
  outgoing_.promised.store(written > 0 ? promise.promised : promised, std::memory_order_relaxed);
  return status;
}

std::size_t PosixPipeConnection::put_frame(std::byte* to, const Header& header, ByteView message) noexcept {
  std::memcpy(to, &header, kHeader);
  if (!message.empty()) std::memcpy(to + kHeader, message.data(), message.size());
  std::memset(to + kHeader + message.size(), 0, header.padding);
  return kHeader + message.size() + header.padding;
}

// --- Receiving -----------------------------------------------------------------------------------------------

Status PosixPipeConnection::recv_bytes(Bytes& message, std::size_t max_length, Deadline deadline) {
  Destination to(message, max_length);
  return receive(to, deadline);
}

Status PosixPipeConnection::recv_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline,
                                            Bytes* too_long) {
  Destination to(buffer, received, too_long);
  return receive(to, deadline);
}

Status PosixPipeConnection::wait_readable(Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass) return Status::kClosed;
  if (!readable_) return Status::kWrongDirection;
  return await_events(in_.get(), POLLIN, deadline, gate_);
}

Status PosixPipeConnection::receive(Destination& to, Deadline deadline) {
  Status status = Status::kOk;
  {
    const Gate::Pass pass(gate_, Gate::kReceive);
    if (!pass) return Status::kClosed;
    if (!readable_) return Status::kWrongDirection;
    status = receive_frame(to, deadline);
    if (status != Status::kBadLength) return status;
    readable_ = false;
    if (writable_) in_.reset();  // its sender learns that nobody will receive
  }
  if (!writable_) close();
  return status;
}

Status PosixPipeConnection::receive_frame(Destination& to, Deadline deadline) {
  while (true) {
    if (const Status status = receive_start(deadline); status != Status::kOk) return status;
    Header header;
    std::memcpy(&header, start_.data(), kHeader);
    if (header.length > kMaxMessage) return Status::kBadLength;
    // A segmented frame may yet be given up; its length counts only once it is complete.
    if (header.segmented == 0 && !to.accepts(header.length)) return Status::kBadLength;
    const auto length = static_cast<std::size_t>(header.length);
    bool aborted = false;
    Status status = Status::kOk;
    if (kHeader + length + header.padding <= wanted_ && header.segmented == 0) {
      status = to.put(ByteView(start_).subspan(kHeader, length));
    } else {
      status = receive_body(header, to, deadline, aborted);
      if (status == Status::kTimeout || status == Status::kClosed) return status;
    }
    incoming_.expected.store(std::clamp<std::uint32_t>(header.promise, kLeastFrame, kLongestPromise),
                             std::memory_order_relaxed);
    had_ = 0;
    if (!aborted) return status;
  }
}

// The header and what was promised to come with it. While it is under way the next expectation is the least one, so
// that whoever receives next is right if this process is killed.
Status PosixPipeConnection::receive_start(Deadline deadline) {
  if (had_ == 0) wanted_ = Shared::least(incoming_.expected);
  while (had_ < wanted_) {
    incoming_.expected.store(kLeastFrame, std::memory_order_relaxed);
    std::size_t got = 0;
    const Status status = read_some(start_.data() + had_, wanted_ - had_, deadline, got);
    had_ += got;
    if (status == Status::kOk) continue;
    if (had_ == 0) incoming_.expected.store(static_cast<std::uint32_t>(wanted_), std::memory_order_relaxed);
    if (status != Status::kEof || had_ == 0) return status;
    had_ = 0;
    return incoming_.debt.load(std::memory_order_relaxed) == 0 ? Status::kTruncated : Status::kEof;
  }
  return Status::kOk;
}

// The rest of a frame that is longer than its start. The payload goes straight to the caller, unless an earlier call's
// deadline passed inside this frame.
Status PosixPipeConnection::receive_body(const Header& header, Destination& to, Deadline deadline, bool& aborted) {
  const auto length = static_cast<std::size_t>(header.length);
  const std::size_t body = length + header.padding;
  const bool resumed = body_begun_;
  if (!resumed) discarding_ = !to.accepts(length);
  std::byte* payload = nullptr;
  if (!discarding_) {
    if (resumed) pending_.resize(length);
    payload = resumed ? pending_.data() : to.open(length);
  }
  if (!resumed) {
    const std::size_t begin = kHeader + header.lead;
    position_ = wanted_ - begin;
    if (!discarding_ && length > 0) std::memcpy(payload, start_.data() + begin, std::min(position_, length));
    body_begun_ = true;
    trailer_due_ = header.segmented != 0 && position_ == body;
  }
  std::array<std::byte, kLongestPromise> discarded;
  Status status = Status::kOk;
  while (status == Status::kOk && (position_ < body || trailer_due_)) {
    std::size_t got = 0;
    if (trailer_due_) {
      status = read_some(discarded.data(), 1, deadline, got);
      trailer_due_ = status != Status::kOk;
      aborted = status == Status::kOk && discarded[0] == std::byte{0};
      if (aborted) break;
      continue;
    }
    const std::size_t stop = header.segmented != 0 ? std::min(body, (position_ / kSegment + 1) * kSegment) : body;
    if (position_ < length && !discarding_) {
      status = read_some(payload + position_, std::min(kChunk, std::min(stop, length) - position_), deadline, got);
    } else {
      status = read_some(discarded.data(), std::min(stop - position_, discarded.size()), deadline, got);
    }
    position_ += got;
    trailer_due_ = header.segmented != 0 && got > 0 && position_ == stop;
  }
  if (status == Status::kTimeout || status == Status::kClosed) {
    if (!resumed && !discarding_) pending_.assign(payload, payload + std::min(position_, length));
    return status;
  }
  body_begun_ = false;
  // A frame that its sender had given up and never got round to aborting is no loss.
  if (status == Status::kEof && incoming_.debt.load(std::memory_order_relaxed) == 0) status = Status::kTruncated;
  if (status == Status::kOk && !aborted) {
    if (discarding_ || !to.accepts(length)) {
      status = Status::kBadLength;
    } else {
      status = resumed ? to.put(std::move(pending_)) : to.done(length);
    }
  }
  pending_ = {};
  return status;
}

Status PosixPipeConnection::read_some(std::byte* to, std::size_t size, Deadline deadline, std::size_t& got) {
  got = 0;
  while (true) {
    if (!deadline.is_never()) {
      if (const Status status = await_events(in_.get(), POLLIN, deadline, gate_); status != Status::kOk) return status;
    }
    const ssize_t count = ::read(in_.get(), to, size);
    if (count > 0) {
      got = static_cast<std::size_t>(count);
      return Status::kOk;
    }
    if (count == 0) return Status::kEof;
    if (errno == EAGAIN) {  // a copy was made non-blocking
      if (const Status status = await_events(in_.get(), POLLIN, deadline, gate_); status != Status::kOk) return status;
    } else if (errno != EINTR) {
      throw_errno("read");
    }
    if (gate_.closed()) return Status::kClosed;
  }
}

}  // namespace crucible
