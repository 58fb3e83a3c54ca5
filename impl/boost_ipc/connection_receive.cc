// What a BoostIpcConnection's receiving end does.
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "boost_ipc/connection.h"
#include "boost_ipc/naps.h"
#include "core/wait.h"

namespace crucible {

using boost_ipc::kFirstNap;
using boost_ipc::nap;

Status BoostIpcConnection::recv_bytes(Bytes& message, std::size_t max_length, Deadline deadline) {
  Destination to(message, max_length);
  return receive(to, deadline);
}

Status BoostIpcConnection::recv_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline, Bytes* too_long) {
  Destination to(buffer, received, too_long);
  return receive(to, deadline);
}

bool BoostIpcConnection::look_for_message() { return !in_->empty() || look_for_peer(Gate::kReceive); }

// Woken by a message, the peer's end, or close(), unlike in Boost's own sleep.
void BoostIpcConnection::sleep_until_rung(Deadline deadline) {
  pollfd slot = {.fd = socket_.get(), .events = POLLIN, .revents = 0};
  incoming_.waiting.store(1, std::memory_order_relaxed);
  const bool rung = in_->empty() && sleep_on({&slot, 1}, deadline) == Wake::kReady;
  incoming_.waiting.store(0, std::memory_order_relaxed);
  if (rung) take_rings();
}

Status BoostIpcConnection::wait_readable(Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass) return Status::kClosed;
  if (!readable_) return Status::kWrongDirection;
  while (!look_for_message()) {
    if (deadline.has_passed()) return Status::kTimeout;
    sleep_until_rung(deadline);
    if (gate_.closed()) return Status::kClosed;
  }
  return Status::kOk;
}

Status BoostIpcConnection::receive(Destination& to, Deadline deadline) {
  Status status = Status::kOk;
  {
    const Gate::Pass pass(gate_, Gate::kReceive);
    if (!pass) return Status::kClosed;
    if (!readable_) return Status::kWrongDirection;
    status = receive_message(to, deadline);
    if (status != Status::kBadLength) return status;
    readable_ = false;
    incoming_.deaf.store(1, std::memory_order_relaxed);
    incoming_.news.fetch_add(1, std::memory_order_release);
  }
  if (!writable_) close();
  return status;
}

Status BoostIpcConnection::receive_message(Destination& to, Deadline deadline) {
  thread_local std::array<std::byte, BoostIpcShape::kLargestPart> staged;
  bool with_caller = !begun_;  // and not in pending_, where an earlier call that its deadline ended left it
  std::byte* payload = pending_.data();
  while (true) {
    const bool direct = begun_ && !discarding_ && length_ - position_ >= part_;
    std::byte* const at = direct ? payload + position_ : staged.data();
    std::size_t got = 0;
    if (const Status status = receive_part(at, got, deadline); status != Status::kOk) {
      if (begun_ && (status == Status::kTimeout || status == Status::kClosed)) {
        if (with_caller && !discarding_) {
          pending_.assign(payload, payload + position_);
          pending_.resize(length_);
        }
        return status;
      }
      const bool lost = std::exchange(begun_, false) && incoming_.given_up.load(std::memory_order_relaxed) == 0;
      return lost && status == Status::kEof ? Status::kTruncated : status;
    }
    if (got == part_) {
      // The rest of a message whose beginning another process received is nobody's any more.
      if (!begun_ || length_ - position_ < part_) continue;
      position_ += part_;
    } else {
      if (direct) std::memcpy(staged.data(), at, got);
      Header header{};
      if (got >= kHeader) std::memcpy(&header, staged.data(), kHeader);
      const ByteView body = ByteView(staged).first(got).subspan(std::min(got, kHeader));
      if (got < kHeader || header.length > kMaxMessage || header.length < body.size()) {
        errno = EPROTO;
        throw_errno("message_queue");
      }
      if (header.offset == 0) {  // a new message; one that was under way has been given up by its sender
        begun_ = true;
        length_ = static_cast<std::size_t>(header.length);
        position_ = 0;
        discarding_ = !to.accepts(length_);
        // What may yet be given up must not have touched a buffer that a shorter message then comes into.
        with_caller = header.may_be_given_up == 0 || body.size() == length_ || to.buffer(0).empty();
        if (!with_caller && !discarding_) pending_.resize(length_);
        if (!discarding_) payload = with_caller ? to.open(length_) : pending_.data();
      } else if (!begun_ || header.offset != position_ || header.length != length_) {
        continue;
      }
      if (!discarding_ && !body.empty()) std::memcpy(payload + position_, body.data(), body.size());
      position_ += body.size();
    }
    if (position_ < length_) continue;
    begun_ = false;
    if (discarding_ || !to.accepts(length_)) return Status::kBadLength;
    if (with_caller) return to.done(length_);
    return to.put(std::exchange(pending_, {}));
  }
}

Status BoostIpcConnection::receive_part(std::byte* to, std::size_t& got, Deadline deadline) {
  bool received = in_->try_receive(to, got);
  for (bool first = true; !received; first = false) {
    if (gate_.closed()) return Status::kClosed;
    // What a peer sent before it went comes first. Without a deadline the look can wait until the nap is over.
    const bool has_news = incoming_.news.load(std::memory_order_acquire) != outlooks_[Gate::kReceive].news ||
                          gone_.load(std::memory_order_relaxed);
    if ((!first || !deadline.is_never() || has_news) && look_for_peer(Gate::kReceive)) {
      if (!in_->try_receive(to, got)) return Status::kEof;
      break;
    }
    if (deadline.has_passed()) return Status::kTimeout;
    if (first) {
      received = in_->receive_within(to, got, nap(kFirstNap, deadline));
    } else {
      sleep_until_rung(deadline);
      received = in_->try_receive(to, got);
    }
  }
  if (names_ != nullptr) [[unlikely]]
    names_.reset();
  return Status::kOk;
}

}  // namespace crucible
