#include "core/packet_queue.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "core/futex.h"
#include "core/packet_queue_shared.h"

namespace crucible {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr std::uint64_t kMostStorage = 1ULL << 46;  // beyond any machine's memory, but no overflow
constexpr int kLooks = 200;                         // at a lock that is held for one system call, before sleeping
const bool may_look = std::thread::hardware_concurrency() > 1;  // before main: see ignore_sigpipe() (io.h)

void pause_briefly() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace

// --- Made of -----------------------------------------------------------------------------------------------------

std::shared_ptr<SealedMemory> PacketQueue::make_page(const QueueOptions& options) {
  auto page = SealedMemory::make(sizeof(Shared));
  Shared& shared = *page->objects<Shared>();
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  const int error = pthread_mutex_init(&shared.lock, &attributes);
  pthread_mutexattr_destroy(&attributes);
  if (error != 0) throw std::system_error(error, std::generic_category(), "pthread_mutex_init");
  shared.maxsize = options.maxsize;
  shared.most_beside =
      std::max<std::uint64_t>(kBesideBytes, std::min<std::uint64_t>(options.storage_bytes, kMostStorage) * 2);
  shared.joinable = options.joinable ? 1 : 0;
  return page;
}

PacketQueue::PacketQueue(std::shared_ptr<SealedMemory> page, std::vector<Fd> descriptors, std::string address)
    : page_(std::move(page)),
      shared_(*page_->objects<Shared>()),
      descriptors_(std::move(descriptors)),
      maxsize_(shared_.maxsize),
      address_(std::move(address)) {}

std::atomic<std::uint32_t>& PacketQueue::places() noexcept { return shared_.places; }

void PacketQueue::open_door(const HandleDoor::Kind& kind, const std::string& address, const DoorOptions& options) {
  if (address.empty()) return;
  Handle handle;
  for (const Fd& descriptor : descriptors_) handle.descriptors.push_back(descriptor.get());
  handle.descriptors.push_back(page_->descriptor());
  door_ = std::make_unique<HandleDoor>(kind, address, options, handle);
  address_ = door_->address();
}

std::optional<PacketQueue::Opened> PacketQueue::enter_door(const HandleDoor::Kind& kind, const std::string& address,
                                                           const DoorOptions& options, Deadline deadline) {
  const std::optional<Handle> handle = HandleDoor::enter(kind, address, options, deadline);
  if (!handle) return std::nullopt;
  Opened opened;
  opened.descriptors.reserve(handle->descriptors.size());
  for (const int descriptor : handle->descriptors) opened.descriptors.emplace_back(descriptor);
  opened.page = SealedMemory::adopt(opened.descriptors.back().get(), sizeof(Shared));
  (void)opened.descriptors.back().release();
  opened.descriptors.pop_back();
  return opened;
}

ByteSpan PacketQueue::scratch(std::size_t bytes) {
  thread_local std::unique_ptr<std::byte[]> memory;
  thread_local std::size_t held = 0;
  if (held < bytes) {
    memory.reset(new std::byte[bytes]);  // unlike std::make_unique without touching it
    held = bytes;
  }
  return {memory.get(), bytes};
}

void PacketQueue::close() noexcept {
  if (!gate_.close()) return;
  door_.reset();  // which serves these descriptors
  descriptors_.clear();
}

// --- The lock ----------------------------------------------------------------------------------------------------

bool PacketQueue::try_lock() {
  const int result = pthread_mutex_trylock(&shared_.lock);
  if (result == EOWNERDEAD) recover();
  return result == 0 || result == EOWNERDEAD;
}

// Whoever holds it makes a few system calls that do not wait: it is worth looking again, and without a deadline it is
// only missed if its holder is stopped.
Status PacketQueue::lock(Deadline deadline) {
  constexpr milliseconds kPatience{100};
  for (int look = 0; look < (may_look ? kLooks : 1); ++look) {
    if (try_lock()) return Status::kOk;
    pause_briefly();
  }
  if (deadline.is_immediate()) deadline = Deadline::after(kPatience);
  while (true) {
    if (gate_.closed()) return Status::kClosed;
    timespec until{};
    clock_gettime(CLOCK_MONOTONIC, &until);
    const nanoseconds nap = deadline.is_never() ? kLongestNap : std::min<nanoseconds>(kLongestNap, deadline.left());
    const std::int64_t ns = until.tv_nsec + nap.count();
    until = {.tv_sec = until.tv_sec + ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
    const int result = pthread_mutex_clocklock(&shared_.lock, CLOCK_MONOTONIC, &until);
    if (result == EOWNERDEAD) recover();
    if (result == 0 || result == EOWNERDEAD) return Status::kOk;
    if (result != ETIMEDOUT) throw std::system_error(result, std::generic_category(), "pthread_mutex_clocklock");
    if (deadline.has_passed()) return Status::kTimeout;
  }
}

// The last holder was killed. If its packet is the last one, it went; if another is, it did not; and if there is none,
// the number is not used again, since somebody may have received it: who did takes it off the doubtful ones.
void PacketQueue::recover() {
  const std::uint64_t next = shared_.next.load(std::memory_order_relaxed);
  Header last = {};
  if (!peek_last(last)) {
    const std::uint64_t doubt = shared_.doubt.load(std::memory_order_relaxed);
    if (!Shared::Doubt::is_about(doubt, next)) {
      shared_.doubt.store(Shared::Doubt::of(next, Shared::Doubt::skipped(doubt) + 1), std::memory_order_seq_cst);
    }
    if (shared_.first.load(std::memory_order_seq_cst) > next) settle(next);
    shared_.beside += shared_.pending;
    shared_.pending = 0;
    shared_.next.store(next + 1, std::memory_order_release);
  } else if (last.number >= next) {
    shared_.beside = last.beside + ((last.length & kBeside) != 0 ? bytes_beside(last.length & ~kBeside) : 0);
    shared_.pending = 0;
    shared_.next.store(last.number + 1, std::memory_order_release);
  } else if (shared_.pending != 0) {
    drop_beside(shared_.beside, shared_.pending);
  }
  shared_.pending = 0;
  pthread_mutex_consistent(&shared_.lock);
}

// --- Putting -----------------------------------------------------------------------------------------------------

// The number of the first message that is there, or of the next one. Under the lock.
std::uint64_t PacketQueue::first_number() {
  Header first = {};
  return peek_first(first) ? first.number : shared_.next.load(std::memory_order_relaxed);
}

// For how many of `wanted` messages there is room in numbers.
std::size_t PacketQueue::room(std::size_t wanted) {
  if (maxsize_ == 0) return wanted;
  const std::uint64_t next = shared_.next.load(std::memory_order_relaxed);
  const auto left = [this, next] { return maxsize_ - std::min<std::uint64_t>(maxsize_, next - shared_.known_first); };
  if (left() >= wanted) return wanted;
  shared_.known_first = std::max(shared_.known_first, std::min(next, shared_.first.load(std::memory_order_acquire)));
  if (left() == 0) shared_.known_first = first_number();
  return std::min<std::uint64_t>(wanted, left());
}

bool PacketQueue::room_beside(std::uint64_t bytes) {
  const auto fits = [this, bytes](std::uint64_t gone) {
    return gone >= shared_.beside || shared_.beside - gone + bytes <= shared_.most_beside;
  };
  if (fits(shared_.beside_first.load(std::memory_order_acquire))) return true;
  Header first = {};
  return !peek_first(first) || fits(first.beside);
}

PacketQueue::Obstacle PacketQueue::send_some(std::span<const ByteView> messages, std::size_t& put, const Fd& prepared) {
  const std::size_t most = room(std::min(messages.size(), kBatch));
  if (most == 0) return Obstacle::kBound;
  if (messages.front().size() > part()) return send_long(messages.front(), put, prepared);
  return send_batch(messages.first(most), put);
}

PacketQueue::Obstacle PacketQueue::send_batch(std::span<const ByteView> messages, std::size_t& put) {
  std::array<Header, kBatch> headers;
  const std::uint64_t next = shared_.next.load(std::memory_order_relaxed);
  std::size_t count = 0;
  for (; count < messages.size() && messages[count].size() <= part(); ++count) {
    headers[count] = {.number = next + count, .length = messages[count].size(), .beside = shared_.beside};
  }
  const std::size_t sent = send_packets({headers.data(), count}, messages.first(count));
  shared_.next.store(next + sent, std::memory_order_release);
  put += sent;
  return sent > 0 ? Obstacle::kNone : Obstacle::kStorage;
}

PacketQueue::Obstacle PacketQueue::send_long(ByteView message, std::size_t& put, const Fd& prepared) {
  const std::uint64_t bytes = bytes_beside(message.size());
  if (!room_beside(bytes)) return Obstacle::kBound;
  const std::uint64_t next = shared_.next.load(std::memory_order_relaxed);
  shared_.pending = bytes;
  const Header header = {.number = next, .length = message.size() | kBeside, .beside = shared_.beside};
  if (!send_beside(header, message, prepared)) {
    shared_.pending = 0;
    return Obstacle::kStorage;
  }
  shared_.beside += bytes;
  shared_.pending = 0;
  shared_.next.store(next + 1, std::memory_order_release);
  ++put;
  return Obstacle::kNone;
}

/// Who waits for room looks again after ever longer naps: a getter wakes him when a quarter of it is free, lest the two
/// take turns for every message.
class PacketQueue::Patience {
 public:
  Deadline nap(Deadline deadline) {
    const nanoseconds longest = std::exchange(next_, std::min<nanoseconds>(kLongestNap, next_ * 2));
    if (!deadline.is_never() && deadline.left() < longest) return deadline;
    return Deadline::after(longest);
  }
  bool announced = false;

 private:
  nanoseconds next_ = milliseconds(2);
};

Status PacketQueue::await_room(Obstacle obstacle, std::uint32_t rung, Deadline deadline, Patience& patience) {
  if (obstacle == Obstacle::kStorage) {
    const Status status = await_storage(patience.nap(deadline));
    return status == Status::kClosed ? status : Status::kOk;
  }
  // Announced before the last look, and again after each sleep: who rings and wakes nobody withdraws it.
  if (!patience.announced) {
    shared_.wanted.fetch_add(1, std::memory_order_seq_cst);
  } else {
    const Deadline nap = patience.nap(deadline);
    futex_nap(shared_.bell, rung, nap, kLongestNap);
  }
  patience.announced = !patience.announced;
  return gate_.closed() ? Status::kClosed : Status::kOk;
}

Status PacketQueue::put_all(std::span<const ByteView> messages, std::size_t& put, Deadline deadline) {
  put = 0;
  const CrowdGate::Pass pass(gate_);
  if (!pass) return Status::kClosed;
  while (put < messages.size()) {
    const ByteView message = messages[put];
    if (message.size() > kMaxMessage) return Status::kBadLength;
    const Fd prepared = message.size() > part() ? prepare_beside(message) : Fd();
    const std::size_t before = put;
    for (Patience patience; put == before;) {
      const std::uint32_t rung = shared_.bell.load(std::memory_order_acquire);
      const bool is_last_attempt = deadline.has_passed();
      if (const Status status = lock(deadline); status != Status::kOk) return status;
      Obstacle obstacle = Obstacle::kNone;
      {
        const Hold hold(shared_);
        obstacle = send_some(messages.subspan(put), put, prepared);
      }
      if (obstacle == Obstacle::kNone) break;
      if (is_last_attempt) return Status::kTimeout;
      if (const Status status = await_room(obstacle, rung, deadline, patience); status != Status::kOk) return status;
    }
  }
  return Status::kOk;
}

Status PacketQueue::put_bytes(ByteView message, Deadline deadline) {
  std::size_t put = 0;
  return put_all({&message, 1}, put, deadline);
}

Status PacketQueue::put_many(std::span<const ByteView> messages, std::size_t& put, Deadline deadline) {
  return put_all(messages, put, deadline);
}

}  // namespace crucible
