// Getting, and what is asked about a PacketQueue.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/futex.h"
#include "core/packet_queue.h"
#include "core/packet_queue_shared.h"

namespace crucible {
namespace {

void raise_to(std::atomic<std::uint64_t>& mark, std::uint64_t least) {
  std::uint64_t seen = mark.load(std::memory_order_relaxed);
  while (seen < least && !mark.compare_exchange_weak(seen, least, std::memory_order_seq_cst)) {
  }
}

}  // namespace

// --- Getting -----------------------------------------------------------------------------------------------------

Status PacketQueue::get_bytes(Bytes& message, Deadline deadline) {
  Destination to(message, kNoLimit);
  // Whoever uses one byte string again and again receives long messages where they shall be.
  return take(to, message.size() > kCopied ? ByteSpan(message) : ByteSpan(), deadline);
}

Status PacketQueue::get_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline, Bytes* too_long) {
  Destination to(buffer, received, too_long);
  return take(to, to.buffer(kCopied), deadline);
}

Status PacketQueue::take(Destination& to, ByteSpan direct, Deadline deadline) {
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  Packet packet;
  const Status status = take_packet(packet, direct, deadline);
  return status == Status::kOk ? deliver(packet, direct, to) : status;
}

Status PacketQueue::take_packet(Packet& packet, ByteSpan direct, Deadline deadline) {
  while (true) {
    if (may_come_with_file()) require_room_for_file();
    const Received received = receive_packet(packet, direct, deadline.is_never());
    if (received == Received::kPacket) return Status::kOk;
    if (gate_.closed()) return Status::kClosed;
    if (received == Received::kInterrupted) continue;
    if (deadline.is_immediate()) return Status::kTimeout;
    if (const Status status = await_packet(deadline); status != Status::kOk) return status;
  }
}

Status PacketQueue::deliver(Packet& packet, ByteSpan direct, Destination& to) {
  after_get(packet.header);
  const auto length = static_cast<std::size_t>(packet.header.length & ~kBeside);
  const bool is_beside = (packet.header.length & kBeside) != 0;
  if (!is_beside && length != packet.direct + packet.spilled.size()) {
    errno = EPROTO;
    throw_errno("recv");
  }
  // Opening may move a byte string to more memory, with what is in it.
  const bool is_moved = !to.buffer(0).empty();
  std::byte* const payload = to.open(length);
  if (is_beside) {
    take_beside(packet, {payload, length});
  } else {
    if (packet.direct > 0 && is_moved && payload != direct.data()) std::memcpy(payload, direct.data(), packet.direct);
    if (!packet.spilled.empty()) std::memcpy(payload + packet.direct, packet.spilled.data(), packet.spilled.size());
  }
  return to.done(length);
}

Status PacketQueue::get_many(std::vector<Bytes>& messages, std::size_t most, Deadline deadline) {
  messages.clear();
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  if (most == 0) return Status::kBadArgument;
  while (messages.size() < most) {
    std::array<Packet, kBatch> packets;
    std::size_t wanted = std::min(kBatch, most - messages.size());
    if (may_come_with_file()) {
      if (messages.empty()) require_room_for_file();
      wanted = messages.empty() ? 1 : 0;
    }
    const std::size_t count = wanted > 0 ? receive_packets({packets.data(), wanted}) : 0;
    for (Packet& packet : std::span(packets).first(count)) {
      Destination to(messages.emplace_back(), kNoLimit);
      (void)deliver(packet, {}, to);
    }
    if (count > 0) continue;
    if (!messages.empty()) break;
    if (gate_.closed()) return Status::kClosed;
    if (deadline.is_immediate()) return Status::kTimeout;
    if (const Status status = await_packet(deadline); status != Status::kOk) return status;
  }
  return Status::kOk;
}

// Whether there are messages beside their packets, or one is just being put.
bool PacketQueue::may_come_with_file() const {
  const std::uint64_t gone = shared_.beside_first.load(std::memory_order_acquire);
  return shared_.beside.load(std::memory_order_acquire) + shared_.pending.load(std::memory_order_acquire) > gone;
}

// All that was put before has been taken, whoever died with it.
void PacketQueue::after_get(const Header& header) {
  raise_to(shared_.first, header.number + 1);
  const bool is_beside = (header.length & kBeside) != 0;
  raise_to(shared_.beside_first, header.beside + (is_beside ? bytes_beside(header.length & ~kBeside) : 0));
  if (Shared::Doubt::is_about(shared_.doubt.load(std::memory_order_seq_cst), header.number)) [[unlikely]]
    settle(header.number);
  if (shared_.wanted.load(std::memory_order_seq_cst) != 0) ring(header);
}

// The number was a message's after all.
void PacketQueue::settle(std::uint64_t number) {
  std::uint64_t doubt = shared_.doubt.load(std::memory_order_seq_cst);
  while (Shared::Doubt::is_about(doubt, number) &&
         !shared_.doubt.compare_exchange_weak(doubt, Shared::Doubt::settled(doubt), std::memory_order_seq_cst)) {
  }
}

// Whoever waits for room is woken when it is worth it: at once where there was little, or for a long message.
void PacketQueue::ring(const Header& header) {
  std::uint64_t room = std::numeric_limits<int>::max();
  if (maxsize_ != 0) {
    const std::uint64_t next = shared_.next.load(std::memory_order_acquire);
    const std::uint64_t there = next - std::min(next, header.number + 1);
    room = maxsize_ - std::min<std::uint64_t>(maxsize_, there);
    const bool is_long = (header.length & kBeside) != 0;
    if (room < std::max<std::uint64_t>(1, maxsize_ / 4) && !is_long) return;
  }
  std::uint32_t wanted = shared_.wanted.load(std::memory_order_seq_cst);
  shared_.bell.fetch_add(1, std::memory_order_seq_cst);
  const auto most = static_cast<int>(std::clamp<std::uint64_t>(room, 1, std::numeric_limits<int>::max()));
  if (futex_wake(shared_.bell, most) == 0) shared_.wanted.compare_exchange_strong(wanted, 0);
}

// --- Asking ------------------------------------------------------------------------------------------------------

// While somebody is inside a put the getters' word is good enough.
Status PacketQueue::count(std::size_t& count) {
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  if (try_lock()) {
    const Hold hold(shared_);
    count = shared_.next.load(std::memory_order_relaxed) - first_number();
  } else {
    const std::uint64_t next = shared_.next.load(std::memory_order_acquire);
    count = next - std::min(next, shared_.first.load(std::memory_order_acquire));
  }
  return Status::kOk;
}

Status PacketQueue::check_full(bool& is_full) {
  std::size_t messages = 0;
  if (maxsize_ != 0) {
    if (const Status status = count(messages); status != Status::kOk) return status;
  }
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  is_full = (maxsize_ != 0 && messages >= maxsize_) || this->is_full();
  return Status::kOk;
}

// --- Being done with -----------------------------------------------------------------------------------------------

Status PacketQueue::task_done() {
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  if (shared_.joinable == 0) return Status::kState;
  std::uint64_t done = shared_.done.load(std::memory_order_seq_cst);
  do {
    if (done >= messages_put()) return Status::kBadArgument;
  } while (!shared_.done.compare_exchange_weak(done, done + 1, std::memory_order_seq_cst));
  if (done + 1 >= messages_put()) {
    shared_.all_done.fetch_add(1, std::memory_order_seq_cst);
    futex_wake(shared_.all_done, kEverybody);
  }
  return Status::kOk;
}

Status PacketQueue::join_until(Deadline deadline) {
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  if (shared_.joinable == 0) return Status::kState;
  while (true) {
    const std::uint32_t seen = shared_.all_done.load(std::memory_order_seq_cst);
    if (shared_.done.load(std::memory_order_seq_cst) >= messages_put()) return Status::kOk;
    if (gate_.closed()) return Status::kClosed;
    if (deadline.has_passed()) return Status::kTimeout;
    futex_nap(shared_.all_done, seen, deadline);
  }
}

// What a killed putter left is looked into first. A message can be done with before its putter has counted it.
std::uint64_t PacketQueue::messages_put() {
  if (try_lock()) pthread_mutex_unlock(&shared_.lock);
  const std::uint64_t first = shared_.first.load(std::memory_order_seq_cst);
  const std::uint64_t skipped = Shared::Doubt::skipped(shared_.doubt.load(std::memory_order_seq_cst));
  return std::max(first, shared_.next.load(std::memory_order_seq_cst)) - skipped;
}

}  // namespace crucible
