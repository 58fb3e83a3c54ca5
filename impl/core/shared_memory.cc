#include "core/shared_memory.h"

#include "core/shared_name.h"

namespace crucible {
namespace {

constexpr SharedBlock::Kind kKind = {"memory", 1};

}  // namespace

SharedMemory SharedMemory::create(std::size_t bytes, const std::function<std::string()>& propose) {
  while (true) {
    try {
      return {propose(), bytes};
    } catch (const Exists&) {  // then the next one
    }
  }
}

SharedMemory::SharedMemory(const std::string& name, std::size_t bytes)
    : SharedMemory(SharedBlock::create(name, kKind, bytes, {}), Access::kReadWrite) {}

SharedMemory::SharedMemory(const Handle& handle, Access access)
    : SharedMemory(SharedBlock::open(handle.name, kKind, access, handle.id), access) {}

SharedMemory::SharedMemory(SharedBlock block, Access access)
    : block_(std::make_shared<SharedBlock>(std::move(block))),
      handle_{block_->name(), block_->id()},
      size_(block_->bytes()),
      access_(access),
      mapping_(std::make_shared<detail::Mapping>(block_)) {}

std::shared_ptr<detail::Mapping> SharedMemory::mapping() const {
  const std::lock_guard lock(mutex_);
  if (mapping_ == nullptr) throw Closed("shared memory " + name());
  return mapping_;
}

SharedView<std::byte> SharedMemory::view() const {
  if (!writable()) throw BadArgument("view: shared memory that was attached for reading only");
  std::shared_ptr<detail::Mapping> mapping = this->mapping();
  const std::span bytes(static_cast<std::byte*>(mapping->block->data()), size_);
  return {std::move(mapping), bytes};
}

SharedView<const std::byte> SharedMemory::const_view() const {
  std::shared_ptr<detail::Mapping> mapping = this->mapping();
  const std::span bytes(static_cast<const std::byte*>(mapping->block->data()), size_);
  return {std::move(mapping), bytes};
}

void SharedMemory::close() noexcept {
  std::shared_ptr<detail::Mapping> last;
  const std::lock_guard lock(mutex_);
  if (mapping_ == nullptr) return;
  mapping_->closed = true;
  last = std::move(mapping_);
}

bool SharedMemory::closed() const noexcept {
  const std::lock_guard lock(mutex_);
  return mapping_ == nullptr;
}

std::string SharedMemory::random_name() { return "memory-" + SharedName::random_id(); }

}  // namespace crucible
