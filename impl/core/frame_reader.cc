#include "core/frame_reader.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/io.h"

namespace crucible {
namespace {

// No sender of ours makes such a frame; what follows could not be told apart.
bool is_malformed(const FrameHeader& header, StreamKind kind) noexcept {
  return header.length > kMaxFramePayload || header.segmented > 1 || header.lead > kLeastFrame - kFrameHeader ||
         header.padding > kLongestPromise ||
         (header.mark != 0 && (kind != StreamKind::kPipe || header.mark != kFrameMark));
}

// What comes before the payload.
std::size_t lead_of(const FrameHeader& header) noexcept { return kFrameHeader + header.lead; }

// A frame with at most one segment.
std::uint64_t whole_size(const FrameHeader& header) noexcept {
  return lead_of(header) + header.length + header.padding + header.segmented;
}

bool is_aborted(const FrameHeader& header, const std::byte* frame) noexcept {
  return header.segmented != 0 && frame[whole_size(header) - 1] == std::byte{0};
}

}  // namespace

Status FrameReader::wait_readable(Deadline deadline) const {
  return has_ahead() ? Status::kOk : await_events(descriptor_, POLLIN, deadline, gate_);
}

Status FrameReader::receive(Destination& to, Deadline deadline) {
  while (true) {
    if (Status status = Status::kOk;
        had_ == 0 && (has_ahead() ? receive_ahead(to, status) : receive_straight(to, deadline, status))) {
      return status;
    }
    if (const Status status = receive_start(deadline); status != Status::kOk) return status;
    if (const FrameTerms terms = state_.awaited(); terms.is_run() && !is_marked(start_.data())) {
      had_ = 0;
      end_start(terms);
      return to.accepts(terms.length()) ? to.put(ByteView(start_).first(terms.length())) : Status::kBadLength;
    }
    FrameHeader header;
    std::memcpy(&header, start_.data(), kFrameHeader);
    if (is_malformed(header, kind_)) return Status::kBadLength;
    // A segmented frame may yet be given up; its length counts only once it is complete.
    if (header.segmented == 0 && !to.accepts(header.length)) return Status::kBadLength;
    const auto length = static_cast<std::size_t>(header.length);
    bool aborted = false;
    Status status = Status::kOk;
    if (whole_size(header) <= wanted_) {
      aborted = is_aborted(header, start_.data());
      if (!aborted && !to.accepts(length)) return Status::kBadLength;
      if (!aborted) status = to.put(ByteView(start_).subspan(lead_of(header), length));
    } else {
      status = receive_body(header, to, deadline, aborted);
      if (status == Status::kTimeout || status == Status::kClosed) return status;
    }
    await(header);
    had_ = 0;
    if (!aborted) return status;
  }
}

// A message of a run comes to where its caller wants it. False: none did, or what came is the beginning of a frame.
bool FrameReader::receive_straight(Destination& to, Deadline deadline, Status& status) {
  const FrameTerms terms = state_.awaited();
  if (!terms.is_run() || ahead_ != nullptr || state_.is_receiving.load(std::memory_order_relaxed) != 0) return false;
  const std::size_t length = terms.length();
  std::byte* place = length >= kFrameHeader ? to.place(length) : nullptr;
  if (place == nullptr) return false;
  begin_start(terms);
  std::size_t got = 0;
  status = read_kernel(place, length, deadline, got);
  const bool is_message = got == length && !is_marked(place);
  if (got == 0 || is_message) {
    end_start(terms);
    if (is_message) status = to.done(length);
    return true;
  }
  std::memcpy(start_.data(), place, got);
  wanted_ = length;
  had_ = got;
  return false;
}

// Runs are for those who share the state: nobody else could tell where one is.
void FrameReader::await(const FrameHeader& header) noexcept {
  const FrameTerms terms(header.promise);
  const bool runs =
      terms.is_run() && kind_ == StreamKind::kPipe && state_.is_common.load(std::memory_order_relaxed) != 0;
  state_.expected.store(runs ? terms.word() : std::min(header.promise, state_.longest_promise()),
                        std::memory_order_relaxed);
  state_.is_receiving.store(0, std::memory_order_relaxed);
}

// A frame that lies in what was read ahead as a whole is taken from there. False: none does, or it was aborted.
bool FrameReader::receive_ahead(Destination& to, Status& status) {
  FrameHeader header;
  const std::size_t held = ahead_->end - ahead_->begin;
  const std::byte* frame = ahead_->bytes.data() + ahead_->begin;
  if (held < kFrameHeader) return false;
  if (const FrameTerms terms = state_.awaited(); terms.is_run() && !is_marked(frame)) {
    if (held < terms.least()) return false;
    ahead_->begin += terms.least();
    status = to.accepts(terms.length()) ? to.put(ByteView(frame, terms.length())) : Status::kBadLength;
    return true;
  }
  std::memcpy(&header, frame, kFrameHeader);
  if (is_malformed(header, kind_) || whole_size(header) > held || header.length > kSegment) return false;
  const bool aborted = is_aborted(header, frame);
  ahead_->begin += static_cast<std::size_t>(whole_size(header));
  await(header);
  if (aborted) return false;
  const auto length = static_cast<std::size_t>(header.length);
  status = to.accepts(length) ? to.put(ByteView(frame + lead_of(header), length)) : Status::kBadLength;
  return true;
}

// The header and what was promised to come with it, or a message of a run. While it is under way the next expectation
// is the least one, so that whoever receives next is right if this process is killed. Only a run's stays, for its
// sender to see: what the killed process took may have been the frame that ended it.
Status FrameReader::receive_start(Deadline deadline) {
  const FrameTerms terms = state_.awaited();
  const bool in_doubt = terms.is_run() && had_ == 0 && state_.is_receiving.load(std::memory_order_relaxed) != 0;
  if (had_ == 0) wanted_ = in_doubt ? std::min<std::size_t>(kLeastFrame, terms.least()) : terms.least();
  while (true) {
    if (terms.is_run() && had_ >= kFrameHeader) {
      wanted_ = is_marked(start_.data()) ? std::max(wanted_, kLeastFrame) : terms.least();
    }
    if (had_ == wanted_) return Status::kOk;
    begin_start(terms);
    std::size_t got = 0;
    const Status status = read_some(start_.data() + had_, wanted_ - had_, deadline, got);
    had_ += got;
    if (status == Status::kOk) continue;
    if (had_ == 0 && !in_doubt) end_start(terms);
    if (status != Status::kEof || had_ == 0) return status;
    had_ = 0;
    return lost();
  }
}

void FrameReader::begin_start(FrameTerms terms) noexcept {
  if (terms.is_run()) {
    state_.is_receiving.store(1, std::memory_order_relaxed);
  } else {
    state_.expected.store(kLeastFrame, std::memory_order_relaxed);
  }
}

// Nothing came, or a message of a run.
void FrameReader::end_start(FrameTerms terms) noexcept {
  if (terms.is_run()) {
    state_.is_receiving.store(0, std::memory_order_relaxed);
  } else {
    state_.expected.store(terms.word(), std::memory_order_relaxed);
  }
}

// End of file inside a frame. One that its sender had given up and never got round to aborting is no loss. Where the
// sender's word does not reach, a frame that may be given up passes for one that was.
Status FrameReader::lost() const noexcept {
  const bool given_up =
      state_.is_common.load(std::memory_order_relaxed) != 0 ? state_.is_in_debt() : start_[0] != std::byte{0};
  return given_up ? Status::kEof : Status::kTruncated;
}

// The rest of a frame that is longer than its start. The payload goes straight to the caller, unless an earlier call's
// deadline passed inside this frame.
Status FrameReader::receive_body(const FrameHeader& header, Destination& to, Deadline deadline, bool& aborted) {
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
    const std::size_t begin = lead_of(header);
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
      status =
          read_some(payload + position_, std::min(kStreamChunk, std::min(stop, length) - position_), deadline, got);
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
  if (status == Status::kEof) status = lost();
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

Status FrameReader::read_some(std::byte* to, std::size_t size, Deadline deadline, std::size_t& got) {
  if (ahead_ == nullptr || (!has_ahead() && size >= ahead_->bytes.size())) return read_kernel(to, size, deadline, got);
  Ahead& ahead = *ahead_;
  got = 0;
  if (ahead.begin == ahead.end) {
    ahead.begin = ahead.end = 0;
    const Status status = read_kernel(ahead.bytes.data(), ahead.bytes.size(), deadline, ahead.end);
    if (status != Status::kOk) return status;
  }
  got = std::min(size, ahead.end - ahead.begin);
  std::memcpy(to, ahead.bytes.data() + ahead.begin, got);
  ahead.begin += got;
  return Status::kOk;
}

Status FrameReader::read_kernel(std::byte* to, std::size_t size, Deadline deadline, std::size_t& got) {
  got = 0;
  while (true) {
    ssize_t count = 0;
    if (kind_ == StreamKind::kSocket) {
      count = ::recv(descriptor_, to, size, deadline.is_never() ? 0 : MSG_DONTWAIT);
    } else {
      if (!deadline.is_never()) {
        const Status status = await_events(descriptor_, POLLIN, deadline, gate_);
        if (status != Status::kOk) return status;
      }
      count = ::read(descriptor_, to, size);
    }
    if (count > 0) {
      got = static_cast<std::size_t>(count);
      return Status::kOk;
    }
    if (count == 0) return Status::kEof;
    switch (errno) {
      case EAGAIN: {  // nothing has come, or a copy was made non-blocking
        const Status status = await_events(descriptor_, POLLIN, deadline, gate_);
        if (status != Status::kOk) return status;
        break;
      }
      // Said once, behind everything that had come: the peer went with messages unread, or its host is silent.
      case ECONNRESET:
      case EPIPE:
      case ETIMEDOUT:
      case EHOSTUNREACH:
      case ENETUNREACH:
      case EINTR: break;
      default: throw_errno("read");
    }
    if (gate_.closed()) return Status::kClosed;
  }
}

}  // namespace crucible
