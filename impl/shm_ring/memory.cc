#include "shm_ring/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <bit>
#include <cerrno>
#include <system_error>
#include <utility>

#include "api/status.h"

namespace crucible::shm_ring {
namespace {

constexpr std::uint64_t kMagic = 0x31676e6972636d68;  // and version: "hmcring1"
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// Positions are bytes since the beginning of time, which is shortly before 2^32: what is too narrow for a
// position shows in the first lap and not after 4 GiB.
constexpr std::uint64_t kFirstPosition = (std::uint64_t{1} << 32U) - 2048;

std::size_t file_bytes(std::size_t capacity, std::size_t directions) {
  return Memory::kControlBytes + directions * capacity;
}

void map(std::byte* at, std::size_t bytes, int memory, std::size_t offset) {
  const int flags = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
  if (mmap(at, bytes, PROT_READ | PROT_WRITE, flags, memory, static_cast<off_t>(offset)) == MAP_FAILED) {
    throw_errno("mmap");
  }
}

}  // namespace

Fd Memory::create(std::size_t capacity, std::size_t directions) {
  Fd memory(memfd_create("crucible_ring", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory) throw_errno("memfd_create");
  const auto bytes = static_cast<off_t>(file_bytes(capacity, directions));
  // Allocates: where memory is short this fails, and not, with SIGBUS, the first touch of a page.
  int error = EINTR;
  while (error == EINTR) error = posix_fallocate(memory.get(), 0, bytes);
  if (error != 0) throw std::system_error(error, std::generic_category(), "posix_fallocate");
  Header header = {.magic = kMagic, .capacity = capacity, .directions = directions, .sides = {}, .controls = {}};
  for (Header::Side& side : header.sides) side.cpu.store(~0U, std::memory_order_relaxed);
  for (Control& control : header.controls) {
    control.tail.store(kFirstPosition, std::memory_order_relaxed);
    control.head.store(kFirstPosition, std::memory_order_relaxed);
  }
  if (pwrite(memory.get(), &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) throw_errno("pwrite");
  if (fcntl(memory.get(), F_ADD_SEALS, kSeals) != 0) throw_errno("fcntl(F_ADD_SEALS)");
  return memory;
}

Memory::Memory(int memory) {
  struct stat status = {};
  if (fstat(memory, &status) != 0) throw_errno("fstat");
  const int seals = fcntl(memory, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) throw BadArgument("shm_ring: no sealed memory");
  struct {
    std::uint64_t magic, capacity, directions;
  } claim = {};
  const bool is_ours = pread(memory, &claim, sizeof claim, 0) == static_cast<ssize_t>(sizeof claim) &&
                       claim.magic == kMagic && std::has_single_bit(claim.capacity) &&
                       claim.capacity >= kLeastCapacity && claim.capacity <= kMostCapacity &&
                       (claim.directions == 1 || claim.directions == 2) &&
                       static_cast<std::size_t>(status.st_size) == file_bytes(claim.capacity, claim.directions);
  if (!is_ours) throw BadArgument("shm_ring: not the memory of a pair of ends");
  const std::size_t bytes = kControlBytes + claim.directions * 2 * claim.capacity;
  void* const room = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) throw_errno("mmap");
  // From here on the destructor unmaps.
  Memory whole;
  whole.base_ = static_cast<std::byte*>(room);
  whole.capacity_ = claim.capacity;
  whole.directions_ = claim.directions;
  map(whole.base_, kControlBytes, memory, 0);
  for (std::size_t direction = 0; direction < claim.directions; ++direction) {
    for (std::size_t view = 0; view < 2; ++view) {
      map(whole.data(direction) + view * claim.capacity, claim.capacity, memory, file_bytes(claim.capacity, direction));
    }
  }
  *this = std::move(whole);
}

Memory::Memory(Memory&& other) noexcept { *this = std::move(other); }

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(capacity_, other.capacity_);
  std::swap(directions_, other.directions_);
  return *this;
}

Memory::~Memory() {
  if (base_ != nullptr) munmap(base_, kControlBytes + directions_ * 2 * capacity_);
}

}  // namespace crucible::shm_ring
