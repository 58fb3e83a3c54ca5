#include "core/sealed_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "api/status.h"

namespace crucible {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

std::shared_ptr<SealedMemory> SealedMemory::make(std::size_t bytes) {
  std::shared_ptr<SealedMemory> made(new SealedMemory);
  made->file_ = Fd(::memfd_create("crucible", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const int file = made->file_.get();
  if (file < 0) throw_errno("memfd_create");
  int error = 0;
  do {  // a hole could not be filled later
    error = ::posix_fallocate(file, 0, static_cast<off_t>(bytes));
  } while (error == EINTR);
  if (error != 0) {
    errno = error;
    throw_errno("posix_fallocate");
  }
  if (::fcntl(file, F_ADD_SEALS, kSeals) != 0) throw_errno("fcntl(F_ADD_SEALS)");
  made->map(file, bytes);
  if (made->memory_ == nullptr) throw_errno("mmap");
  return made;
}

std::shared_ptr<SealedMemory> SealedMemory::adopt(int descriptor, std::size_t bytes) {
  struct stat facts = {};
  const int seals = ::fcntl(descriptor, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || ::fstat(descriptor, &facts) != 0 ||
      static_cast<std::size_t>(facts.st_size) < bytes) {
    throw BadArgument("adopt: no shared memory of a pipe's");
  }
  std::shared_ptr<SealedMemory> adopted(new SealedMemory);
  adopted->map(descriptor, bytes);
  if (adopted->memory_ == nullptr) throw BadArgument("adopt: shared memory that may not be written");
  adopted->file_ = Fd(descriptor);
  return adopted;
}

void SealedMemory::map(int descriptor, std::size_t bytes) {
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (memory == MAP_FAILED) return;
  memory_ = memory;
  bytes_ = bytes;
}

SealedMemory::~SealedMemory() {
  if (memory_ != nullptr) ::munmap(memory_, bytes_);
}

}  // namespace crucible
