#include "boost_ipc/shared_queue.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "boost_ipc/naps.h"
#include "core/futex.h"

namespace crucible {
namespace {

using boost_ipc::kFirstNap;
using boost_ipc::kNap;
using boost_ipc::nap;
using std::chrono::nanoseconds;

std::size_t checked_storage(const QueueOptions& options) {
  constexpr std::size_t kMost = std::size_t{1} << 42U;  // beyond any machine's memory, but no overflow
  if (options.storage_bytes <= kMost) return options.storage_bytes;
  throw BadArgument("queue: storage for " + std::to_string(options.storage_bytes) + " bytes");
}

// About 2 MiB, in parts that are as long as so many messages leave.
BoostIpcShape shape_of(const QueueOptions& options) {
  constexpr std::size_t kStorage = std::size_t{2} << 20U;
  constexpr std::size_t kDepth = 512;
  constexpr std::size_t kMostDepth = 65'536;
  constexpr std::size_t kLeastPart = 256;
  constexpr std::size_t kPayload = 64;  // of a message at least, when storage is asked for in bytes
  if (options.storage_bytes != 0) {
    const std::size_t depth = checked_storage(options) / kPayload + 1;
    return {.depth = options.maxsize != 0 ? std::min(depth, options.maxsize) : depth,
            .part = kLeastPart,
            .asked_for = true};
  }
  const std::size_t depth = options.maxsize != 0 ? std::min(options.maxsize, kMostDepth) : kDepth;
  return {.depth = depth, .part = std::clamp(kStorage / depth, kLeastPart, BoostIpcShape::kLargestPart)};
}

}  // namespace

std::unique_ptr<BoostIpcSharedQueue> BoostIpcSharedQueue::create(const std::string& address,
                                                                 const QueueOptions& options) {
  auto names = std::make_unique<BoostIpcNames>(shape_of(options));  // gone when the queue is made, unless it has a door
  auto page = SealedMemory::make(sizeof(Shared));
  Shared& shared = *page->objects<Shared>();
  shared.maxsize = options.maxsize;
  constexpr std::uint64_t kPageOfPart = 16;  // a message just longer than a part takes a page
  shared.most_beside = std::max(kBesideBytes, checked_storage(options) * kPageOfPart);
  shared.joinable = options.joinable ? 1 : 0;
  Fd file(::memfd_create("crucible", MFD_CLOEXEC));
  if (!file) throw_errno("memfd_create");
  std::unique_ptr<BoostIpcSharedQueue> made(
      new BoostIpcSharedQueue(std::move(page), std::move(file), names->create(0)));
  if (address.empty()) return made;
  const ByteView id = as_bytes(names->id());
  made->names_ = std::move(names);
  made->door_ = std::make_unique<HandleDoor>(
      kDoor, address, options.door,
      Handle{.descriptors = {made->page_->descriptor(), made->file_.get()}, .state = Bytes(id.begin(), id.end())});
  made->address_ = made->door_->address();
  return made;
}

std::unique_ptr<BoostIpcSharedQueue> BoostIpcSharedQueue::open(const std::string& address, const QueueOptions& options,
                                                               Deadline deadline) {
  const std::optional<Handle> handle = HandleDoor::enter(kDoor, address, options.door, deadline);
  if (!handle) return nullptr;
  Fd page_file(handle->descriptors[0]);
  Fd file(handle->descriptors[1]);
  auto page = SealedMemory::adopt(page_file.get(), sizeof(Shared));
  (void)page_file.release();
  std::unique_ptr<BoostIpcSharedQueue> made(
      new BoostIpcSharedQueue(std::move(page), std::move(file), BoostIpcNames::open(as_text(handle->state), 0)));
  made->address_ = address;
  return made;
}

BoostIpcSharedQueue::BoostIpcSharedQueue(std::shared_ptr<SealedMemory> page, Fd file,
                                         std::shared_ptr<BoostIpcQueue> queue)
    : page_(std::move(page)),
      shared_(*page_->objects<Shared>()),
      file_(std::move(file)),
      queue_(std::move(queue)),
      part_(queue_->part()),
      maxsize_(shared_.maxsize) {}

void BoostIpcSharedQueue::close() noexcept {
  if (!gate_.close()) return;
  door_.reset();
  names_.reset();
  queue_.reset();
  file_.reset();
}

// --- Putting -----------------------------------------------------------------------------------------------------

Status BoostIpcSharedQueue::put_bytes(ByteView message, Deadline deadline) {
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  return put(message, deadline);
}

Status BoostIpcSharedQueue::put_many(std::span<const ByteView> messages, std::size_t& put, Deadline deadline) {
  put = 0;
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  for (; put < messages.size(); ++put) {
    if (const Status status = this->put(messages[put], deadline); status != Status::kOk) return status;
  }
  return Status::kOk;
}

// Counted before it is there, since its consumer may be done with it before its producer goes on.
Status BoostIpcSharedQueue::put(ByteView message, Deadline deadline) {
  if (message.size() > kMaxMessage) return Status::kBadLength;
  if (shared_.joinable != 0) shared_.undone.fetch_add(1, std::memory_order_seq_cst);
  Status status = Status::kOk;
  try {
    status = message.size() < part_ ? put_part(message, deadline) : put_beside(message, deadline);
  } catch (...) {
    undo();
    throw;
  }
  if (status != Status::kOk) undo();
  return status;
}

void BoostIpcSharedQueue::undo() {
  if (shared_.joinable == 0 || shared_.undone.fetch_sub(1, std::memory_order_seq_cst) != 1) return;
  shared_.all_done.fetch_add(1, std::memory_order_seq_cst);
  futex_wake(shared_.all_done, kEverybody);
}

Status BoostIpcSharedQueue::put_part(ByteView part, Deadline deadline) {
  bool sent = queue_->try_send(part);
  for (nanoseconds most = kFirstNap; !sent; most = kNap) {
    if (gate_.closed()) return Status::kClosed;
    if (deadline.has_passed()) return Status::kTimeout;
    sent = queue_->send_within(part, nap(most, deadline));
  }
  return Status::kOk;
}

// A full part is never a message's own, so that a ticket cannot be taken for one.
Status BoostIpcSharedQueue::put_beside(ByteView message, Deadline deadline) {
  const std::uint64_t bytes = in_pages(message.size());
  Ticket ticket = {.offset = 0, .length = message.size()};
  if (const Status status = reserve_beside(bytes, ticket.offset, deadline); status != Status::kOk) return status;
  Status status = Status::kOk;
  try {
    write_beside(message, ticket.offset);
    thread_local std::array<std::byte, BoostIpcShape::kLargestPart> part = {};
    std::memcpy(part.data(), &ticket, sizeof ticket);
    status = put_part(ByteView(part).first(part_), deadline);
  } catch (...) {
    free_beside(ticket.offset, bytes);
    throw;
  }
  if (status != Status::kOk) free_beside(ticket.offset, bytes);
  return status;
}

// Offsets are never given twice: 2^63 bytes last longer than any machine.
Status BoostIpcSharedQueue::reserve_beside(std::uint64_t bytes, std::uint64_t& offset, Deadline deadline) {
  offset = shared_.beside.load(std::memory_order_seq_cst);
  while (true) {
    const std::uint32_t seen = shared_.room.load(std::memory_order_seq_cst);
    const std::uint64_t kept = offset - std::min(offset, shared_.beside_gone.load(std::memory_order_seq_cst));
    if (kept == 0 || kept + bytes <= shared_.most_beside) {
      if (shared_.beside.compare_exchange_strong(offset, offset + bytes)) return Status::kOk;
      continue;
    }
    if (gate_.closed()) return Status::kClosed;
    if (deadline.has_passed()) return Status::kTimeout;
    futex_nap(shared_.room, seen, deadline);
    offset = shared_.beside.load(std::memory_order_seq_cst);
  }
}

void BoostIpcSharedQueue::write_beside(ByteView message, std::uint64_t offset) {
  while (!message.empty()) {
    const ssize_t count = ::pwrite(file_.get(), message.data(), message.size(), static_cast<off_t>(offset));
    if (count >= 0) {
      message = message.subspan(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    } else if (errno != EINTR) {
      throw_errno("pwrite(memfd)");
    }
  }
}

void BoostIpcSharedQueue::free_beside(std::uint64_t offset, std::uint64_t bytes) {
  while (fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                   static_cast<off_t>(bytes)) != 0) {
    if (errno != EINTR) throw_errno("fallocate(FALLOC_FL_PUNCH_HOLE)");
  }
  shared_.beside_gone.fetch_add(bytes, std::memory_order_seq_cst);
  shared_.room.fetch_add(1, std::memory_order_seq_cst);
  futex_wake(shared_.room, kEverybody);
}

}  // namespace crucible
