#include "shm_ring/queue.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>

#include "core/liveness.h"

namespace crucible {

using shm_ring::Blocks;
using shm_ring::QueueMemory;
using shm_ring::QueueShape;
using shm_ring::Role;

namespace {

constexpr HandleDoor::Kind kDoor = {.object = "shm_ring queue", .scheme = "shm", .descriptors = 1};

std::uint64_t random_number() {
  std::uint64_t number = 0;
  while (getrandom(&number, sizeof number, 0) != sizeof number) {
  }
  return number;
}

}  // namespace

ShmRingQueue::ShmRingQueue(Fd descriptor, std::unique_ptr<QueueMemory> memory, WaitStrategy strategy)
    : memory_(std::move(memory)),
      header_(memory_->header()),
      tail_(header_.tail.role),
      head_(header_.head.role),
      ring_(*memory_),
      blocks_(*memory_),
      salt_(random_number()),
      descriptor_(std::move(descriptor)),
      putting_(strategy),
      getting_(strategy),
      joining_(strategy) {
  enroll();
  (void)shm_ring::require_own_identity();
}

std::unique_ptr<Queue> ShmRingQueue::create(const std::string& address, const QueueOptions& options) {
  const QueueShape shape = QueueShape::of(options.storage_bytes, options.maxsize, options.joinable);
  std::unique_ptr<ShmRingQueue> queue = adopt(QueueMemory::create(shape), options);
  if (!address.empty()) {
    queue->door_.emplace(kDoor, address, options.door, Handle{.descriptors = {queue->descriptor_.get()}, .state = {}});
    queue->address_ = queue->door_->address();
  }
  return queue;
}

std::unique_ptr<Queue> ShmRingQueue::open(const std::string& address, const QueueOptions& options, Deadline deadline) {
  const std::optional<Handle> handle = HandleDoor::enter(kDoor, address, options.door, deadline);
  if (!handle) return nullptr;
  std::unique_ptr<ShmRingQueue> queue = adopt(Fd(handle->descriptors.front()), options);
  queue->address_ = address;
  return queue;
}

std::unique_ptr<ShmRingQueue> ShmRingQueue::adopt(Fd descriptor, const QueueOptions& options) {
  std::unique_ptr<QueueMemory> memory = QueueMemory::map(descriptor.get());
  if (memory->header().pids != pid_namespace()) {
    throw Unsupported("open: the queue was created in another pid namespace, where deaths cannot be told");
  }
  return std::unique_ptr<ShmRingQueue>(
      new ShmRingQueue(std::move(descriptor), std::move(memory), options.wait.value_or(WaitStrategy::kAdaptive)));
}

void ShmRingQueue::close() noexcept {
  using std::chrono::microseconds;
  if (closed_.exchange(true, std::memory_order_seq_cst)) return;
  // Without an identity, in a new fork, nobody is.
  const std::uint64_t identity = shm_ring::own_identity.load(std::memory_order_relaxed);
  for (auto pause = microseconds(20); identity != 0 && stays_.any(identity);
       pause = std::min(2 * pause, microseconds(1000))) {
    for (shm_ring::Crowd* crowd : {&header_.getters, &header_.putters, &header_.joiners}) crowd->call_all();
    std::this_thread::sleep_for(pause);
  }
  if (door_) door_->close();
  descriptor_.reset();
}

// --- Putting ---------------------------------------------------------------------------------------------------

Status ShmRingQueue::enter_tail(Deadline deadline) {
  const std::uint64_t identity = shm_ring::require_own_identity();
  auto entry = Role::Entry::kOrdinary;
  if (!tail_.try_enter(identity)) entry = tail_.enter(identity, deadline, closed_);
  if (entry == Role::Entry::kClosed) return Status::kClosed;
  if (entry == Role::Entry::kTimeout) return Status::kTimeout;
  const bool changes = tail_.changes_hands(identity ^ salt_);
  if (entry == Role::Entry::kFromDead) {
    ring_.repair_tail();
  } else if (changes) {
    ring_.forget();
  }
  return Status::kOk;
}

Status ShmRingQueue::await_room(Word record, Deadline deadline) {
  const Status status =
      putting_.until(header_.putters, deadline, closed_, [&] { return ring_.seems_to_have_room(record); });
  if (status == Status::kOk && !deadline.is_immediate()) {
    shm_ring::fall_back([this] { return ring_.head().raw(); }, [this] { return ring_.is_roomy(); });
  }
  return status;
}

Status ShmRingQueue::put_slowly(ByteView message, Deadline deadline) {
  if (message.size() > kMaxMessage) return Status::kBadLength;
  const Stay stay(*this);
  if (stay.is_late()) return Status::kClosed;
  const Status status =
      message.size() <= ring_.longest_here() ? put_here(message, deadline) : put_block(message, deadline);
  if (status == Status::kOk && !ring_.seems_to_have_room(Word(Word::kHere, message.size()))) putting_.was_in_vain();
  // Whoever was called for the room that there is calls the next one.
  if (header_.putters.is_asleep() && ring_.is_roomy()) header_.putters.call_one();
  return status;
}

Status ShmRingQueue::put_here(ByteView message, Deadline deadline) {
  const Word record(Word::kHere, message.size());
  while (true) {
    if (const Status status = enter_tail(deadline); status != Status::kOk) return status;
    const bool fits = ring_.has_room(record);
    if (fits) write(message, record);
    tail_.leave();
    if (fits) break;
    if (const Status status = await_room(record, deadline); status != Status::kOk) return status;
  }
  call_getter();
  return Status::kOk;
}

// The message is copied outside of the role; its place among the others is that of its record.
Status ShmRingQueue::put_block(ByteView message, Deadline deadline) {
  const Word record(Word::kBlock, message.size());
  std::uint32_t first = 0;
  if (const Status status = reserve(Blocks::chunks_for(message.size()), first, deadline); status != Status::kOk) {
    return status;
  }
  std::memcpy(blocks_.data(first), message.data(), message.size());
  const Status status = put_record(record, first, deadline);
  if (status == Status::kOk) {
    call_getter();
  } else {
    blocks_.free(first);
  }
  return status;
}

Status ShmRingQueue::reserve(std::uint32_t chunks, std::uint32_t& first, Deadline deadline) {
  const Word record(Word::kBlock, 0);
  while (true) {
    if (const Status status = enter_tail(deadline); status != Status::kOk) return status;
    {
      const Hold hold(tail_);
      // Asked now, lest a long message be copied in vain; nobody promises that it will still be so.
      if (ring_.has_room(record)) {
        const std::uint64_t identity = shm_ring::require_own_identity();
        std::optional<std::uint32_t> found = blocks_.find(chunks);
        if (!found && blocks_.reap(ring_)) found = blocks_.find(chunks);
        if (found) {
          blocks_.allocate(*found, chunks, identity, descriptor_.get());
          first = *found;
          return Status::kOk;
        }
      }
    }
    // Of a death nobody tells: one looks for what the dead held after a while.
    const bool is_soon = !deadline.is_never() && deadline.left() <= shm_ring::Crowd::kLongestNap;
    const Deadline soon = is_soon ? deadline : Deadline::after(shm_ring::Crowd::kLongestNap);
    const Status status = putting_.until(header_.putters, soon, closed_, [&] {
      return ring_.seems_to_have_room(record) && blocks_.find(chunks).has_value();
    });
    if (status == Status::kClosed || (status == Status::kTimeout && deadline.has_passed())) return status;
  }
}

Status ShmRingQueue::put_record(Word record, std::uint32_t first, Deadline deadline) {
  while (true) {
    if (const Status status = enter_tail(deadline); status != Status::kOk) return status;
    {
      const Hold hold(tail_);
      if (ring_.has_room(record)) {
        const std::uint64_t place = first;
        std::memcpy(ring_.payload_at_tail(record), &place, sizeof place);
        blocks_.enqueue(first, ring_.tail(), shm_ring::require_own_identity());
        ring_.commit(record);
        return Status::kOk;
      }
    }
    if (const Status status = await_room(record, deadline); status != Status::kOk) return status;
  }
}

Status ShmRingQueue::put_many(std::span<const ByteView> messages, std::size_t& put, Deadline deadline) {
  put = 0;
  if (closed()) return Status::kClosed;
  while (put < messages.size()) {
    if (messages[put].size() > ring_.longest_here()) {
      if (const Status status = put_slowly(messages[put], deadline); status != Status::kOk) return status;
      ++put;
      continue;
    }
    const std::size_t before = put;
    {
      const Stay stay(*this);
      if (stay.is_late()) return Status::kClosed;
      if (const Status status = enter_tail(deadline); status != Status::kOk) return status;
      const Hold hold(tail_);
      for (; put < messages.size() && messages[put].size() <= ring_.longest_here(); ++put) {
        const Word record(Word::kHere, messages[put].size());
        if (!ring_.has_room(record)) break;
        write(messages[put], record);
      }
    }
    if (put > before) {
      call_getter();
    } else {
      if (const Status status = put_slowly(messages[put], deadline); status != Status::kOk) return status;
      ++put;
    }
  }
  return Status::kOk;
}

}  // namespace crucible
