#include "core/shared_block.h"

#include <sys/mman.h>

#include "api/status.h"

namespace crucible {

SharedBlock SharedBlock::allocate(std::size_t bytes) {
  if (bytes == 0) throw BadArgument("SharedBlock: no bytes");
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) throw_errno("mmap");
  SharedBlock block;
  block.memory_ = memory;
  block.bytes_ = bytes;
  return block;
}

SharedBlock::~SharedBlock() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

}  // namespace crucible
