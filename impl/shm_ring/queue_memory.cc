#include "shm_ring/queue_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <limits>
#include <system_error>

#include "api/status.h"
#include "core/liveness.h"

namespace crucible::shm_ring {
namespace {

constexpr std::uint64_t kMagic = 0x3171676e69726d68;  // and version: "hmringq1"
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr std::size_t kPage = 4096;

constexpr std::size_t kLeastRing = std::size_t{16} * 1024;
constexpr std::size_t kMostRing = std::size_t{1} << 33U;
constexpr std::size_t kLeastUsual = std::size_t{4} * 1024 * 1024 / QueueMemory::kChunk;
constexpr std::size_t kMostMessages = std::numeric_limits<std::int32_t>::max();

// Both begin shortly before they wrap: arithmetic that is too narrow fails at once and not after 64 GiB.
constexpr std::uint32_t kFirstGrain = ~0U - 127;
constexpr std::uint32_t kFirstCount = ~0U - 4;

void allocate(int file, std::size_t from, std::size_t bytes) {
  int error = EINTR;
  while (error == EINTR) error = posix_fallocate(file, static_cast<off_t>(from), static_cast<off_t>(bytes));
  if (error != 0) throw std::system_error(error, std::generic_category(), "posix_fallocate");
}

std::byte* map_at(void* at, std::size_t bytes, int memory, std::size_t offset, int flags) {
  void* const mapped =
      mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | flags, memory, static_cast<off_t>(offset));
  if (mapped == MAP_FAILED) throw_errno("mmap");
  return static_cast<std::byte*>(mapped);
}

}  // namespace

QueueShape QueueShape::of(std::size_t storage, std::size_t maxsize, bool joinable) {
  if (maxsize > kMostMessages) throw BadArgument("queue: a bound of more than 2^31 - 1 messages");
  if (storage > kMostRing / 2) throw BadArgument("queue: no memory holds so much");
  if (storage == 0) storage = QueueMemory::kDefaultStorage;
  QueueShape shape = {};
  shape.maxsize = maxsize;
  shape.joinable = joinable;
  // A message of 64 bytes takes 80.
  shape.ring_bytes = std::bit_ceil(std::max(storage + storage / 4 + 2 * QueueMemory::kGrain, kLeastRing));
  // Messages that are just too long for the ring waste most of their chunk.
  const std::size_t longest_here = std::min(shape.ring_bytes / 8, QueueMemory::kLongestHere);
  const std::size_t needed = storage / longest_here + storage / QueueMemory::kChunk + 1;
  shape.usual_chunks = std::max(needed, kLeastUsual);
  // Twice, or holes between messages of different lengths would make one wait though enough is free.
  shape.chunks = 2 * shape.usual_chunks + QueueMemory::kLongest / QueueMemory::kChunk;
  return shape;
}

std::size_t QueueMemory::table_bytes(std::size_t chunks) noexcept {
  return (chunks * sizeof(Block) + kPage - 1) / kPage * kPage;
}
std::size_t QueueMemory::arena_offset(const QueueShape& shape) noexcept {
  return kHeaderBytes + table_bytes(shape.chunks) + shape.ring_bytes;
}
std::size_t QueueMemory::file_bytes(const QueueShape& shape) noexcept {
  return arena_offset(shape) + shape.chunks * kChunk;
}

Fd QueueMemory::create(const QueueShape& shape) {
  Fd memory(memfd_create("crucible_queue", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory) throw_errno("memfd_create");
  // Allocates all but the chunks: where memory is short this fails, and not, with SIGBUS, the first touch of a page.
  allocate(memory.get(), 0, arena_offset(shape));
  if (ftruncate(memory.get(), static_cast<off_t>(file_bytes(shape))) != 0) throw_errno("ftruncate");
  QueueHeader header = {};
  header.magic = kMagic;
  header.ring_bytes = shape.ring_bytes;
  header.chunks = shape.chunks;
  header.usual_chunks = shape.usual_chunks;
  header.maxsize = shape.maxsize;
  header.joinable = shape.joinable ? 1 : 0;
  header.pids = pid_namespace();
  header.tail.place = Place(kFirstGrain, kFirstCount).raw();
  header.head.place = Place(kFirstGrain, kFirstCount).raw();
  header.done = kFirstCount;
  if (pwrite(memory.get(), &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) throw_errno("pwrite");
  if (fcntl(memory.get(), F_ADD_SEALS, kSeals) != 0) throw_errno("fcntl(F_ADD_SEALS)");
  return memory;
}

std::unique_ptr<QueueMemory> QueueMemory::map(int memory) {
  struct stat status = {};
  if (fstat(memory, &status) != 0) throw_errno("fstat");
  const int seals = fcntl(memory, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) throw BadArgument("shm_ring: no sealed memory");
  struct {
    std::uint64_t magic, ring_bytes, chunks, usual_chunks, maxsize, joinable;
  } claim = {};
  const bool is_ours = pread(memory, &claim, sizeof claim, 0) == static_cast<ssize_t>(sizeof claim) &&
                       claim.magic == kMagic && std::has_single_bit(claim.ring_bytes) &&
                       claim.ring_bytes >= kLeastRing && claim.ring_bytes <= kMostRing &&
                       claim.chunks <= kMostRing / QueueMemory::kGrain && claim.maxsize <= kMostMessages;
  const QueueShape shape = {.ring_bytes = claim.ring_bytes,
                            .chunks = claim.chunks,
                            .usual_chunks = claim.usual_chunks,
                            .maxsize = claim.maxsize,
                            .joinable = claim.joinable != 0};
  if (!is_ours || static_cast<std::size_t>(status.st_size) != file_bytes(shape)) {
    throw BadArgument("shm_ring: not the memory of a queue");
  }
  std::unique_ptr<QueueMemory> whole(new QueueMemory(shape));  // unmaps from here on
  const std::size_t bytes = file_bytes(shape) + shape.ring_bytes;
  void* const room = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) throw_errno("mmap");
  whole->base_ = static_cast<std::byte*>(room);
  whole->mapped_bytes_ = bytes;
  const std::size_t front = kHeaderBytes + table_bytes(shape.chunks);
  map_at(whole->base_, front, memory, 0, MAP_POPULATE);
  whole->ring_ = map_at(whole->base_ + front, shape.ring_bytes, memory, front, MAP_POPULATE);
  map_at(whole->ring_ + shape.ring_bytes, shape.ring_bytes, memory, front, MAP_POPULATE);
  whole->arena_ = map_at(whole->ring_ + 2 * shape.ring_bytes, shape.chunks * kChunk, memory, arena_offset(shape), 0);
  return whole;
}

QueueMemory::~QueueMemory() {
  if (base_ != nullptr) munmap(base_, mapped_bytes_);
}

void QueueMemory::back(int memory, std::size_t end) {
  const std::size_t backed = header().backed.load(std::memory_order_relaxed);
  if (end <= backed) return;
  allocate(memory, arena_offset(shape_) + backed * kChunk, (end - backed) * kChunk);
  header().backed.store(static_cast<std::uint32_t>(end), std::memory_order_release);
}

}  // namespace crucible::shm_ring
