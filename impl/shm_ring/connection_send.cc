// The sending side: whole messages, messages in parts, and rooms reserved in the ring.
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "shm_ring/connection.h"

namespace crucible {

using shm_ring::Call;

namespace {

// What the receiver copies out while it is still in a cache that both have.
constexpr std::size_t kLongestPart = std::size_t{32} * 1024;

}  // namespace

bool ShmRingConnection::is_deaf() const noexcept {
  return (mapped_->out.control().receiver.load(std::memory_order_relaxed) & Call::kDeaf) != 0;
}

// Of a peer that was killed nothing tells but the socket. Asked every 10 ms or 256 messages, whichever comes first,
// judged by the rate at which messages were sent; a receiver that waits, or died waiting, has it asked sooner.
Status ShmRingConnection::question() {
  constexpr std::int64_t kPeriod = 10'000'000;
  constexpr std::uint32_t kMost = 256;
  require_mapped();
  if (!writable_) return Status::kWrongDirection;
  const std::int64_t now = Deadline::now_ns();
  const std::int64_t past = std::max<std::int64_t>(now - std::exchange(questioned_ns_, now), 1);
  const std::int64_t fitting = sends_per_question_ * kPeriod / past;
  sends_per_question_ =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(fitting, 1, std::min(2 * sends_per_question_, kMost)));
  const bool in_vain = mapped_->watch.gone() || is_deaf();
  sends_before_question_ = in_vain ? 1 : sends_per_question_;
  return in_vain ? Status::kBrokenPipe : Status::kOk;
}

Status ShmRingConnection::send_many(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline) {
  sent = 0;
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (const Status status = prepare_to_send(); status != Status::kOk) return status;
  reserved_ = false;
  Status status = Status::kOk;
  for (; sent < messages.size(); ++sent) {
    const ByteView message = messages[sent];
    status = message.size() <= Word::kLongestNear ? put_near(message, deadline) : put_far(message, deadline);
    if (status != Status::kOk) break;
  }
  const Status called = sent > 0 ? call_receiver() : Status::kOk;
  return status == Status::kOk ? called : status;
}

Status ShmRingConnection::put_far(ByteView message, Deadline deadline) {
  if (message.size() > kMaxMessage) return Status::kBadLength;
  // A message in one piece is received in one piece; in parts the receiver copies while the sender does.
  if (message.size() > mapped_->out.capacity() / 4) return put_parts(message, deadline);
  const Word record(Word::kFar, message.size());
  std::uint64_t place = 0;
  if (!mapped_->out.find(record.stride(), place)) {
    if (const Status status = await_room(record.stride(), place, deadline); status != Status::kOk) return status;
  }
  std::memcpy(mapped_->out.at(place) + record.payload(), message.data(), message.size());
  mapped_->out.commit(place, record);
  return Status::kOk;
}

// A message given up half-way needs no clean-up: the next one begins with a record that says so.
Status ShmRingConnection::put_parts(ByteView message, Deadline deadline) {
  shm_ring::Producer& out = mapped_->out;
  const std::size_t longest = std::min(out.capacity() / 8, kLongestPart) - shm_ring::kLine;
  std::atomic<bool>& given_up = out.control().given_up;
  for (std::size_t offset = 0; offset < message.size();) {
    const Word record(Word::kPart, std::min(longest, message.size() - offset));
    std::uint64_t place = 0;
    if (!out.find(record.stride(), place)) {
      if (const Status status = await_room(record.stride(), place, deadline); status != Status::kOk) {
        if (offset > 0) given_up.store(true, std::memory_order_release);
        return status;
      }
    }
    if (offset == 0) given_up.store(false, std::memory_order_relaxed);
    const std::uint64_t where[] = {message.size(), offset};
    std::memcpy(out.at(place) + sizeof(std::uint64_t), where, sizeof where);
    std::memcpy(out.at(place) + record.payload(), message.data() + offset, record.length());
    out.commit(place, record);
    offset += record.length();
    if (offset < message.size()) {
      if (const Status status = call_receiver(); status != Status::kOk) return status;
    }
  }
  return Status::kOk;
}

Status ShmRingConnection::await_room(std::uint64_t stride, std::uint64_t& place, Deadline deadline) {
  shm_ring::Producer& out = mapped_->out;
  if (const Status status = call_receiver(); status != Status::kOk) return status;
  // Asleep, one is woken for more than one message's room.
  const std::uint64_t worth = std::max<std::uint64_t>(stride + 2 * shm_ring::kLine, out.capacity() / 4);
  out.control().wanted.store(out.control().tail.load(std::memory_order_relaxed) + worth - out.capacity(),
                             std::memory_order_relaxed);
  const Status status = waiting(out.control().sender, sender_patience_).until(deadline, [&] {
    return out.find(stride, place) || is_deaf();
  });
  if (status == Status::kEof || (status == Status::kOk && is_deaf())) return Status::kBrokenPipe;
  if (status == Status::kOk && !deadline.is_immediate()) {
    const auto head = [&] { return out.control().head.load(std::memory_order_relaxed); };
    shm_ring::fall_back(head, [&] {
      return static_cast<std::int64_t>(head() - out.control().wanted.load(std::memory_order_relaxed)) >= 0;
    });
  }
  return status;
}

Status ShmRingConnection::wake_receiver() {
  std::atomic<std::uint32_t>& word = mapped_->out.control().receiver;
  const std::uint32_t calls = word.fetch_and(Call::kDeaf, std::memory_order_seq_cst);
  const bool slept = (calls & Call::kSleeps) != 0;
  const int woken = slept ? shm_ring::wake(word) : 0;
  if ((calls & Call::kBell) != 0) (void)::send(socket_.get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  // Announced and not to be found: it is about to sleep, or dead.
  const bool doubtful = (slept && woken == 0) || (calls & Call::kSpins) != 0;
  const bool in_vain = (calls & Call::kDeaf) != 0 || (doubtful && mapped_->watch.gone());
  return in_vain ? Status::kBrokenPipe : Status::kOk;
}

Status ShmRingConnection::reserve(std::size_t size, ByteSpan& room, Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (const Status status = prepare_to_send(); status != Status::kOk) return status;
  reserved_ = false;
  if (size > mapped_->out.longest_piece()) return Status::kBadLength;
  const Word record(Word::kFar, size);
  if (!mapped_->out.find(record.stride(), reserved_place_)) {
    const Status status = await_room(record.stride(), reserved_place_, deadline);
    if (status != Status::kOk) return status;
  }
  mapped_->out.soil();  // by whoever fills it and commits less
  reserved_ = true;
  reserved_size_ = size;
  room = ByteSpan(mapped_->out.at(reserved_place_) + record.payload(), size);
  return Status::kOk;
}

Status ShmRingConnection::commit(std::size_t size) {
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (const Status status = prepare_to_send(); status != Status::kOk) return status;
  if (!reserved_) return Status::kState;
  if (size > reserved_size_) return Status::kBadArgument;
  reserved_ = false;
  mapped_->out.commit(reserved_place_, Word(Word::kFar, size));
  return call_receiver();
}

}  // namespace crucible
