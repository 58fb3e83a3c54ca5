// The getting side of the queue, and what is asked about it.
#include <algorithm>
#include <cstring>

#include "shm_ring/queue.h"

namespace crucible {

using shm_ring::Place;
using shm_ring::Role;

// --- Getting ---------------------------------------------------------------------------------------------------

// Taking is one store: whoever died in this role left nothing to repair.
Status ShmRingQueue::enter_head(Deadline deadline) {
  const std::uint64_t identity = shm_ring::require_own_identity();
  if (head_.try_enter(identity)) return Status::kOk;
  const Role::Entry entry = head_.enter(identity, deadline, closed_);
  if (entry == Role::Entry::kClosed) return Status::kClosed;
  return entry == Role::Entry::kTimeout ? Status::kTimeout : Status::kOk;
}

Status ShmRingQueue::await_message(Deadline deadline) {
  return getting_.until(header_.getters, deadline, closed_, [this] { return !ring_.seems_empty(); });
}

Status ShmRingQueue::get_slowly(Destination& to, Deadline deadline) {
  const Stay stay(*this);
  if (stay.is_late()) return Status::kClosed;
  Status status = Status::kOk;
  Record record = {Place(0), Word(0)};
  std::optional<std::uint64_t> block;
  for (bool is_there = false; !is_there;) {
    if (status = enter_head(deadline); status != Status::kOk) return status;
    {
      const Hold hold(head_);
      is_there = ring_.front(record);
      if (is_there && !is_sound(record.word)) return Status::kBroken;
      if (is_there && record.word.kind() == Word::kHere) {
        status = read(record, to);
      } else if (is_there) {
        block = take_block(record);
        if (!block) return Status::kBroken;
      }
    }
    if (is_there) break;
    if (status = await_message(deadline); status != Status::kOk) return status;
  }
  if (block) status = read_block(*block, record.word.length(), to);
  call_putter();
  if (ring_.seems_empty()) {
    getting_.was_in_vain();
  } else if (header_.getters.is_asleep()) {  // whoever was called for the messages that there are calls the next one
    header_.getters.call_one();
  }
  return status;
}

std::optional<std::uint64_t> ShmRingQueue::take_block(const Record& record) {
  std::uint64_t first = 0;
  std::memcpy(&first, ring_.payload(record), sizeof first);
  if (!blocks_.claim(first, record.word.length(), shm_ring::require_own_identity())) return std::nullopt;
  ring_.take(record);
  return first;
}

// Outside of the role, so that other consumers go on meanwhile.
Status ShmRingQueue::read_block(std::uint64_t first, std::size_t length, Destination& to) {
  try {
    std::memcpy(to.open(length), blocks_.data(first), length);
  } catch (...) {
    blocks_.free(first);
    throw;
  }
  blocks_.free(first);
  return to.done(length);
}

// What is long ends a batch, since it is copied outside of the role.
Status ShmRingQueue::get_many(std::vector<Bytes>& messages, std::size_t most, Deadline deadline) {
  if (most == 0) return Status::kBadArgument;
  if (closed()) return Status::kClosed;
  std::size_t got = 0;
  {
    const Stay stay(*this);
    if (stay.is_late()) return Status::kClosed;
    if (const Status status = enter_head(deadline); status != Status::kOk) return status;
    const Hold hold(head_);
    Place place = ring_.head();
    Record record = {place, Word(0)};
    for (; got < most && ring_.at(place, record) && record.word.kind() == Word::kHere && is_sound(record.word); ++got) {
      if (messages.size() == got) messages.emplace_back();
      Bytes& message = messages[got];
      message.resize(record.word.length());
      shm_ring::copy(message.data(), ring_.payload(record), message.size());
      place = shm_ring::QueueRing::behind(record);
    }
    if (got > 0) ring_.take_up_to(place);
  }
  if (got > 0) {
    messages.resize(got);
    call_putter();
    return Status::kOk;
  }
  messages.resize(1);
  const Status status = get_bytes(messages.front(), deadline);
  if (status != Status::kOk) messages.clear();
  return status;
}

// --- Asking ----------------------------------------------------------------------------------------------------

void ShmRingQueue::settle_tail() {
  if (!tail_.is_orphaned()) return;
  if (enter_tail(Deadline::immediate()) == Status::kOk) tail_.leave();
}

Status ShmRingQueue::count(std::size_t& count) {
  if (closed()) return Status::kClosed;
  settle_tail();
  const Place head = ring_.head();
  const auto there = static_cast<std::int32_t>(ring_.tail().count() - head.count());
  count = static_cast<std::size_t>(std::max(there, 0));  // somebody may be between a commit and its count
  return Status::kOk;
}

Status ShmRingQueue::check_full(bool& is_full) {
  if (closed()) return Status::kClosed;
  settle_tail();
  is_full = !ring_.seems_to_have_room(Word(Word::kHere, 1));
  return Status::kOk;
}

bool ShmRingQueue::is_all_done() { return ring_.tail().count() == header_.done.load(std::memory_order_acquire); }

Status ShmRingQueue::task_done() {
  if (closed()) return Status::kClosed;
  if (!memory_->shape().joinable) return Status::kState;
  std::uint32_t done = header_.done.load(std::memory_order_acquire);
  while (true) {
    if (done == ring_.tail().count()) {
      // Somebody may be between the commit of what was got and its count, which the role waits for.
      if (const Status status = enter_tail(Deadline::never()); status != Status::kOk) return status;
      tail_.leave();
      if (done == ring_.tail().count() && done == header_.done.load(std::memory_order_acquire)) {
        return Status::kBadArgument;
      }
    }
    if (header_.done.compare_exchange_weak(done, done + 1, std::memory_order_acq_rel)) break;
  }
  if (is_all_done()) header_.joiners.call_all();
  return Status::kOk;
}

Status ShmRingQueue::join_until(Deadline deadline) {
  if (closed()) return Status::kClosed;
  if (!memory_->shape().joinable) return Status::kState;
  const Stay stay(*this);
  if (stay.is_late()) return Status::kClosed;
  while (true) {
    settle_tail();
    if (is_all_done()) return Status::kOk;
    const Status status = joining_.until(header_.joiners, deadline, closed_, [this] { return is_all_done(); });
    if (status != Status::kOk) return status;
  }
}

}  // namespace crucible
