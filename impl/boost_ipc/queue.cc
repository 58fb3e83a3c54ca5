#include "boost_ipc/queue.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <cerrno>
#include <ctime>
#include <system_error>

#include "api/status.h"

namespace crucible {

namespace bip = boost::interprocess;

struct BoostIpcQueue::Memory {
  bip::message_queue queue;
};

namespace {

constexpr mode_t kMode = 0600;
constexpr std::size_t kIdLength = 16;
constexpr std::size_t kMostQueues = 2;
constexpr const char* kDirectory = "/dev/shm";  // where shm_open(3) puts its objects
constexpr std::string_view kLockPrefix = "crucible.boost_ipc.";
constexpr unsigned kPriority = 0;  // one for all: only then the order is that of sending

std::string queue_name(std::string_view id, std::size_t which) {
  return "boost_ipc." + std::string(id) + "." + std::to_string(which);
}
std::string lock_path(std::string_view id) { return kDirectory + std::string("/").append(kLockPrefix).append(id); }

bool is_id(std::string_view text) {
  return text.size() == kIdLength && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string new_id() {
  std::array<unsigned char, kIdLength / 2> random{};
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) throw_errno("getrandom");
  std::string id;
  for (const unsigned char byte : random) {
    for (const int digit : {byte / 16, byte % 16}) id += "0123456789abcdef"[digit];
  }
  return id;
}

// Boost's exceptions are those of its own calls of the system.
template <class Call>
auto calling_system(Call call) {
  try {
    return call();
  } catch (const bip::interprocess_exception& error) {
    const int number = error.get_native_error();
    throw std::system_error(number != 0 ? number : EPROTO, std::generic_category(), "message_queue");
  }
}

// Takes the memory now, or says that there is none: what a tmpfs only promised kills by SIGBUS when it is touched.
// A handled signal undoes an allocation that is under way, hence the steps.
void allocate(int descriptor, std::size_t bytes, const BoostIpcShape& shape) {
  constexpr std::size_t kStep = 1024 * 1024;
  for (std::size_t from = 0; from < bytes; from += kStep) {
    const auto size = static_cast<off_t>(std::min(kStep, bytes - from));
    int error = EINTR;
    while (error == EINTR) error = posix_fallocate(descriptor, static_cast<off_t>(from), size);
    if (error == 0) continue;
    if (shape.asked_for) throw BadArgument("pipe: the system refuses so large a capacity");
    throw std::system_error(error, std::generic_category(), "posix_fallocate");
  }
}

// What Boost touches while it makes a queue, before anybody could allocate its memory: the head and the index.
std::size_t bytes_touched(const BoostIpcShape& shape) {
  constexpr std::size_t kPages = 64 * 1024;  // much more than the head, for whoever else takes some meanwhile
  return kPages + shape.depth * sizeof(void*);
}

// Names whose owner was killed between making and removing them.
void sweep() {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(kDirectory), closedir);
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string_view name = static_cast<const char*>(entry->d_name);
    if (!name.starts_with(kLockPrefix) || !is_id(name.substr(kLockPrefix.size()))) continue;
    const std::string_view id = name.substr(kLockPrefix.size());
    const Fd lock(::open(lock_path(id).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (lock && flock(lock.get(), LOCK_EX | LOCK_NB) == 0) BoostIpcNames::remove(id);
  }
}

boost::posix_time::ptime wall_clock_after(std::chrono::nanoseconds nap) {
  static const boost::posix_time::ptime epoch(boost::gregorian::date(1970, 1, 1));
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t at_ns = now.tv_sec * 1'000'000'000LL + now.tv_nsec + nap.count();
  return epoch + boost::posix_time::microseconds(at_ns / 1'000 + 1);
}

}  // namespace

BoostIpcShape BoostIpcShape::of(std::size_t capacity) {
  constexpr std::size_t kLeastDepth = 4;
  constexpr std::size_t kSmallPart = 4096;
  constexpr std::size_t kPayload = 1024;
  constexpr std::size_t kMostCapacity = std::size_t{1} << 46U;  // beyond any machine's memory, but no overflow
  if (capacity == 0) return {};
  if (capacity > kMostCapacity) throw BadArgument("pipe: a capacity of " + std::to_string(capacity));
  return {.depth = std::max(kLeastDepth, capacity / (2 * kPayload) + 1), .part = kSmallPart, .asked_for = true};
}

// --- BoostIpcQueue ---------------------------------------------------------------------------------------------

BoostIpcQueue::BoostIpcQueue(std::unique_ptr<Memory> memory)
    : memory_(std::move(memory)), part_(memory_->queue.get_max_msg_size()) {}

BoostIpcQueue::~BoostIpcQueue() = default;

bool BoostIpcQueue::try_send(ByteView part) { return memory_->queue.try_send(part.data(), part.size(), kPriority); }

bool BoostIpcQueue::send_within(ByteView part, std::chrono::nanoseconds nap) {
  return memory_->queue.timed_send(part.data(), part.size(), kPriority, wall_clock_after(nap));
}

bool BoostIpcQueue::try_receive(std::byte* to, std::size_t& received) {
  unsigned priority = 0;
  return memory_->queue.try_receive(to, part_, received, priority);
}

bool BoostIpcQueue::receive_within(std::byte* to, std::size_t& received, std::chrono::nanoseconds nap) {
  unsigned priority = 0;
  return memory_->queue.timed_receive(to, part_, received, priority, wall_clock_after(nap));
}

std::size_t BoostIpcQueue::count() const { return memory_->queue.get_num_msg(); }

std::size_t BoostIpcQueue::depth() const { return memory_->queue.get_max_msg(); }

// --- BoostIpcNames ---------------------------------------------------------------------------------------------

// The lock is there, and locked, before any queue is.
BoostIpcNames::BoostIpcNames(const BoostIpcShape& shape) : shape_(shape), id_(new_id()), owner_(getpid()) {
  sweep();
  lock_.reset(::open(kDirectory, O_TMPFILE | O_RDWR | O_CLOEXEC, kMode));
  if (!lock_) throw_errno("open(/dev/shm)");
  if (fchmod(lock_.get(), kMode) != 0) throw_errno("fchmod");
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) throw_errno("flock");
  const std::string unnamed = "/proc/self/fd/" + std::to_string(lock_.get());
  if (linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, lock_path(id_).c_str(), AT_SYMLINK_FOLLOW) != 0) {
    throw_errno("linkat");
  }
}

// A forked copy must not take the names away from whoever is about to open them.
BoostIpcNames::~BoostIpcNames() {
  if (getpid() == owner_) remove(id_);
}

std::shared_ptr<BoostIpcQueue> BoostIpcNames::create(std::size_t which) const {
  const std::string name = queue_name(id_, which);
  // Room that the lock's file shows to be there and gives back. Boost allocates nothing before it writes.
  allocate(lock_.get(), bytes_touched(shape_), shape_);
  if (ftruncate(lock_.get(), 0) != 0) throw_errno("ftruncate");
  auto memory = calling_system([&] {
    return std::unique_ptr<BoostIpcQueue::Memory>(new BoostIpcQueue::Memory{
        {bip::create_only, name.c_str(), shape_.depth, shape_.part, bip::permissions(kMode)}});
  });
  const Fd object(shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0));
  struct stat facts{};
  if (!object || fstat(object.get(), &facts) != 0) throw_errno("shm_open");
  allocate(object.get(), static_cast<std::size_t>(facts.st_size), shape_);
  return std::make_shared<BoostIpcQueue>(std::move(memory));
}

std::shared_ptr<BoostIpcQueue> BoostIpcNames::open(std::string_view id, std::size_t which) {
  if (!is_id(id)) throw BadArgument("boost_ipc: no name of a queue");
  const std::string name = queue_name(id, which);
  return std::make_shared<BoostIpcQueue>(calling_system([&] {
    return std::unique_ptr<BoostIpcQueue::Memory>(new BoostIpcQueue::Memory{{bip::open_only, name.c_str()}});
  }));
}

// The lock last: while any queue has a name, whoever looks finds out whether its owner lives.
void BoostIpcNames::remove(std::string_view id) noexcept {
  for (std::size_t which = 0; which < kMostQueues; ++which) bip::message_queue::remove(queue_name(id, which).c_str());
  unlink(lock_path(id).c_str());
}

}  // namespace crucible
