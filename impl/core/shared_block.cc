#include "core/shared_block.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include "api/status.h"
#include "core/shared_heap.h"
#include "core/shared_name.h"

namespace crucible {
namespace {

// What stands in front of the bytes of a named block.
struct alignas(SharedBlock::kAlignment) Header {
  std::array<char, 8> magic;
  std::uint32_t layout;
  std::uint32_t version;  // of the kind
  std::uint64_t bytes;
  std::array<char, 32> kind;
  bool operator==(const Header&) const = default;
};
static_assert(sizeof(Header) == SharedBlock::kAlignment);

constexpr std::array<char, 8> kMagic = {'C', 'R', 'U', 'C', 'S', 'H', 'M', '\n'};
constexpr std::uint32_t kLayout = 0x100U + sizeof(void*);  // a 32-bit program lays objects out differently

Header header_of(SharedBlock::Kind kind, std::size_t bytes) {
  Header header = {.magic = kMagic, .layout = kLayout, .version = kind.version, .bytes = bytes, .kind = {}};
  if (kind.name.empty() || kind.name.size() >= header.kind.size()) throw BadArgument("SharedBlock: not a kind");
  std::copy(kind.name.begin(), kind.name.end(), header.kind.begin());
  return header;
}

void require_size(std::size_t bytes) {
  constexpr std::size_t kMost = std::numeric_limits<off_t>::max() - sizeof(Header);
  if (bytes == 0 || bytes > kMost) throw BadArgument("SharedBlock: no bytes, or more than an address can reach");
}

}  // namespace

SharedBlock SharedBlock::allocate(std::size_t bytes) {
  require_size(bytes);
  SharedBlock block;
  if (bytes <= SharedHeap::kLargest) {
    block.memory_ = SharedHeap::get().take(bytes);
    block.bytes_ = bytes;
    return block;
  }
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) throw_errno("mmap");
  block.memory_ = memory;
  block.bytes_ = bytes;
  return block;
}

SharedBlock SharedBlock::create(const std::string& name, Kind kind, std::size_t bytes, const Initialise& initialise) {
  require_size(bytes);
  const Header header = header_of(kind, bytes);
  SharedBlock block;
  block.file_ = SharedName::prepare(name, sizeof(Header) + bytes);
  block.map(sizeof(Header) + bytes, PROT_READ | PROT_WRITE);
  std::memcpy(static_cast<std::byte*>(block.memory_) - sizeof header, &header, sizeof header);
  if (initialise) initialise(block);
  block.file_->publish();
  return block;
}

SharedBlock SharedBlock::open(const std::string& name, Kind kind, Access access, std::string_view id) {
  const bool writable = access == Access::kReadWrite;
  SharedBlock block;
  block.file_ = SharedName::open(name, writable, id);
  Header header = {};
  ssize_t length = 0;
  do {
    length = ::pread(block.file_->descriptor(), &header, sizeof header, 0);
  } while (length < 0 && errno == EINTR);
  if (length < 0) throw_errno("pread");
  const Header expected = header_of(kind, header.bytes);
  const std::size_t held = block.file_->bytes();
  if (length != sizeof header || header != expected || header.bytes > held - sizeof header) {
    throw BadArgument("SharedBlock: " + name + " is no " + std::string(kind.name) + " of this version");
  }
  block.map(sizeof header + header.bytes, PROT_READ | (writable ? PROT_WRITE : 0));
  return block;
}

void SharedBlock::map(std::size_t file_bytes, int protection) {
  void* const memory = ::mmap(nullptr, file_bytes, protection, MAP_SHARED, file_->descriptor(), 0);
  if (memory == MAP_FAILED) throw_errno("mmap");
  memory_ = static_cast<std::byte*>(memory) + sizeof(Header);
  bytes_ = file_bytes - sizeof(Header);
}

void SharedBlock::unmap() noexcept {
  if (memory_ == nullptr || file_ == nullptr) return;
  ::munmap(static_cast<std::byte*>(memory_) - sizeof(Header), bytes_ + sizeof(Header));
  memory_ = nullptr;
}

SharedBlock::SharedBlock() = default;
SharedBlock::SharedBlock(SharedBlock&& other) noexcept { swap(other); }
SharedBlock& SharedBlock::operator=(SharedBlock&& other) noexcept {
  swap(other);
  return *this;
}

void SharedBlock::swap(SharedBlock& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
}

SharedBlock::~SharedBlock() {
  if (file_ != nullptr) {
    unmap();
  } else if (memory_ != nullptr && bytes_ <= SharedHeap::kLargest) {
    SharedHeap::get().give_back(static_cast<std::byte*>(memory_));
  } else if (memory_ != nullptr) {
    ::munmap(memory_, bytes_);
  }
}

void SharedBlock::unlink() const {
  if (file_ == nullptr) throw StateError("unlink: the block has no name");
  file_->unlink();
}

std::string SharedBlock::name() const { return file_ == nullptr ? std::string() : file_->name(); }
std::string SharedBlock::id() const { return file_ == nullptr ? std::string() : file_->id(); }

}  // namespace crucible
