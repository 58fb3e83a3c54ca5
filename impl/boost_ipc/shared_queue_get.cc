// Getting, and what is asked about a BoostIpcSharedQueue.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "boost_ipc/naps.h"
#include "boost_ipc/shared_queue.h"
#include "core/futex.h"

namespace crucible {

using boost_ipc::kFirstNap;
using boost_ipc::kNap;
using boost_ipc::nap;
using std::chrono::nanoseconds;

Status BoostIpcSharedQueue::get_bytes(Bytes& message, Deadline deadline) {
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  Destination to(message, kNoLimit);
  return get(to, deadline);
}

Status BoostIpcSharedQueue::get_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline, Bytes* too_long) {
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  Destination to(buffer, received, too_long);
  return get(to, deadline);
}

Status BoostIpcSharedQueue::get_many(std::vector<Bytes>& messages, std::size_t most, Deadline deadline) {
  messages.clear();
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  if (most == 0) return Status::kBadArgument;
  while (messages.size() < most) {
    Bytes message;
    Destination to(message, kNoLimit);
    const Status status = get(to, messages.empty() ? deadline : Deadline::immediate());
    if (status != Status::kOk) return messages.empty() ? status : Status::kOk;
    messages.push_back(std::move(message));
  }
  return Status::kOk;
}

Status BoostIpcSharedQueue::get(Destination& to, Deadline deadline) {
  ByteView part;
  if (const Status status = get_part(part, deadline); status != Status::kOk) return status;
  if (part.size() < part_) return to.put(part);
  Ticket ticket = {};
  std::memcpy(&ticket, part.data(), sizeof ticket);
  return take_beside(ticket, to);
}

Status BoostIpcSharedQueue::get_part(ByteView& part, Deadline deadline) {
  thread_local std::array<std::byte, BoostIpcShape::kLargestPart> staged;
  std::size_t got = 0;
  bool received = queue_->try_receive(staged.data(), got);
  for (nanoseconds most = kFirstNap; !received; most = kNap) {
    if (gate_.closed()) return Status::kClosed;
    if (deadline.has_passed()) return Status::kTimeout;
    received = queue_->receive_within(staged.data(), got, nap(most, deadline));
  }
  part = ByteView(staged).first(got);
  return Status::kOk;
}

Status BoostIpcSharedQueue::take_beside(const Ticket& ticket, Destination& to) {
  std::byte* const payload = to.open(static_cast<std::size_t>(ticket.length));
  std::size_t done = 0;
  while (done < ticket.length) {
    const ssize_t count =
        ::pread(file_.get(), payload + done, ticket.length - done, static_cast<off_t>(ticket.offset + done));
    if (count == 0) errno = EPROTO;
    if (count > 0) {
      done += static_cast<std::size_t>(count);
    } else if (count == 0 || errno != EINTR) {
      throw_errno("pread(memfd)");
    }
  }
  free_beside(ticket.offset, in_pages(done));
  return to.done(done);
}

// --- Asking, and being done with -----------------------------------------------------------------------------------

Status BoostIpcSharedQueue::count(std::size_t& count) {
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  count = queue_->count();
  return Status::kOk;
}

Status BoostIpcSharedQueue::check_full(bool& is_full) {
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  is_full = queue_->count() >= queue_->depth();
  return Status::kOk;
}

Status BoostIpcSharedQueue::task_done() {
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  if (shared_.joinable == 0) return Status::kState;
  std::uint64_t undone = shared_.undone.load(std::memory_order_seq_cst);
  do {
    if (undone == 0) return Status::kBadArgument;
  } while (!shared_.undone.compare_exchange_weak(undone, undone - 1, std::memory_order_seq_cst));
  if (undone == 1) {
    shared_.all_done.fetch_add(1, std::memory_order_seq_cst);
    futex_wake(shared_.all_done, kEverybody);
  }
  return Status::kOk;
}

Status BoostIpcSharedQueue::join_until(Deadline deadline) {
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  if (shared_.joinable == 0) return Status::kState;
  while (true) {
    const std::uint32_t seen = shared_.all_done.load(std::memory_order_seq_cst);
    if (shared_.undone.load(std::memory_order_seq_cst) == 0) return Status::kOk;
    if (gate_.closed()) return Status::kClosed;
    if (deadline.has_passed()) return Status::kTimeout;
    futex_nap(shared_.all_done, seen, deadline);
  }
}

}  // namespace crucible
