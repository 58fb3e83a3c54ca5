// The receiving side: whole messages, messages in parts, and looking at them in the ring.
#include <atomic>
#include <cstring>
#include <utility>

#include "shm_ring/connection.h"

namespace crucible {

using shm_ring::Call;
using shm_ring::Control;

Status ShmRingConnection::wait_readable(Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass) return Status::kClosed;
  if (!readable()) return Status::kWrongDirection;
  require_mapped();
  Consumer::Record record = {0, Word(0)};
  const Status status = await_record(record, deadline);
  return status == Status::kEof ? Status::kOk : status;
}

Status ShmRingConnection::await_record(Consumer::Record& record, Deadline deadline) {
  if (mapped_->in.front(record)) return Status::kOk;
  shm_ring::Waiting wait = waiting(mapped_->in.control().receiver, receiver_patience_);
  const Status status = wait.until(deadline, [&] { return mapped_->in.front(record); });
  glances_ = wait.glances();
  return status;
}

void ShmRingConnection::wake_sender() {
  Control& control = mapped_->in.control();
  const std::uint64_t head = control.head.load(std::memory_order_relaxed);
  if ((control.sender.load(std::memory_order_acquire) & Call::kSleeps) != 0 &&
      static_cast<std::int64_t>(head - control.wanted.load(std::memory_order_relaxed)) < 0) {
    return;
  }
  if ((control.sender.exchange(0, std::memory_order_seq_cst) & Call::kSleeps) != 0) shm_ring::wake(control.sender);
}

void ShmRingConnection::stop_receiving() noexcept {
  readable_ = false;
  mapped_->in.control().receiver.fetch_or(Call::kDeaf, std::memory_order_seq_cst);
  mapped_->own.closes.fetch_add(1, std::memory_order_seq_cst);
  mapped_->in.control().sender.store(0, std::memory_order_seq_cst);
  shm_ring::wake(mapped_->in.control().sender);
}

Status ShmRingConnection::receive_message(Destination& to, Deadline deadline) {
  bool with_caller = !begun_;  // and not in pending_, where an earlier call that its deadline ended left it
  std::byte* payload = pending_.data();
  while (true) {
    Consumer::Record record = {0, Word(0)};
    if (const Status status = await_record(record, deadline); status != Status::kOk) {
      if (begun_ && status != Status::kEof) {
        if (with_caller && !discarding_) {
          pending_.assign(payload, payload + position_);
          pending_.resize(length_);
        }
        return status;
      }
      const bool lost = std::exchange(begun_, false) && !mapped_->in.control().given_up.load(std::memory_order_acquire);
      return lost ? Status::kTruncated : status;
    }
    const ByteView part = mapped_->in.payload(record);
    if (record.word.kind() != Word::kPart) {
      begun_ = false;  // given up by its sender
      if (!to.accepts(part.size())) {
        consume(record);
        return Status::kBadLength;
      }
      const Status status = to.put(part);
      consume(record);
      return status;
    }
    std::uint64_t where[2];  // whole length, offset
    std::memcpy(where, mapped_->in.at(record.place) + sizeof(std::uint64_t), sizeof where);
    const auto [length, offset] = where;
    if (length > kMaxMessage || offset > length || part.size() > length - offset) return Status::kBadLength;
    if (offset == 0) {
      begun_ = true;
      with_caller = true;
      length_ = length;
      position_ = 0;
      discarding_ = !to.accepts(length_);
      if (!discarding_) payload = to.open(length_);
    } else if (!begun_ || offset != position_ || length != length_) {
      // The rest of a message whose beginning another process received is nobody's any more.
      consume(record);
      continue;
    }
    if (!discarding_) std::memcpy(payload + position_, part.data(), part.size());
    position_ += part.size();
    consume(record);
    if (position_ < length_) continue;
    begun_ = false;
    if (discarding_ || !to.accepts(length_)) return Status::kBadLength;
    return with_caller ? to.done(length_) : to.put(std::move(pending_));
  }
}

Status ShmRingConnection::peek(ByteView& message, Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass) return Status::kClosed;
  if (!readable()) return Status::kWrongDirection;
  require_mapped();
  Consumer::Record record = {0, Word(0)};
  if (const Status status = await_record(record, deadline); status != Status::kOk) {
    if (status != Status::kEof || !std::exchange(begun_, false)) return status;
    return mapped_->in.control().given_up.load(std::memory_order_acquire) ? Status::kEof : Status::kTruncated;
  }
  if (record.word.kind() == Word::kPart) return Status::kUnsupported;
  peeked_ = true;
  peeked_record_ = record;
  message = mapped_->in.payload(record);
  return Status::kOk;
}

Status ShmRingConnection::release() {
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass) return Status::kClosed;
  if (!readable()) return Status::kWrongDirection;
  if (!peeked_) return Status::kState;
  begun_ = false;
  consume(peeked_record_);
  return Status::kOk;
}

}  // namespace crucible
