#include "core/shared_name.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "api/status.h"

namespace crucible {
namespace {

constexpr std::string_view kPublic = "crucible.";
constexpr std::string_view kPrivate = "crucible~";  // what is not whole yet
constexpr int kLooks = 3;

std::string folder_of(std::string_view prefix, std::string_view rest) {
  std::string path(SharedName::kDirectory);
  path.append("/").append(prefix).append(rest);
  return path;
}

void require_name(const std::string& name) {
  const bool fits = !name.empty() && name.size() <= SharedName::kLongest;
  if (!fits || name.find('/') != std::string::npos || name.find('\0') != std::string::npos) {
    throw BadArgument("shared memory: not a name of 1 to 200 characters without slash and NUL");
  }
}

// The names in a folder; nothing if it cannot be read, errno says why. With `own`, if it is another user's too: what is
// this user's own in a directory with the sticky bit nobody else can put something else in the place of.
std::optional<std::vector<std::string>> list(const std::string& folder, bool own = true) {
  Fd descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat facts = {};
  if (!descriptor || ::fstat(descriptor.get(), &facts) != 0) return std::nullopt;
  if (own && facts.st_uid != ::geteuid()) {
    errno = EACCES;
    return std::nullopt;
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(descriptor.get()), ::closedir);
  if (directory == nullptr) return std::nullopt;
  (void)descriptor.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory.get())) {
    std::string name = static_cast<const char*>(entry->d_name);
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  return names;
}

// Without waiting: whoever holds the other kind of lock is asked for nothing.
bool lock(int file, int operation) {
  int result = 0;
  do {
    result = ::flock(file, operation | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

// Removes the file if nobody uses it. Whether it is gone.
bool remove_dead(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) return errno == ENOENT;
  if (!lock(file.get(), LOCK_EX)) return false;
  return ::unlink(path.c_str()) == 0 || errno == ENOENT;
}

// Empties the folder of the dead. Whether it is empty or gone.
bool clear(const std::string& folder) {
  const std::optional<std::vector<std::string>> files = list(folder);
  if (!files) return errno == ENOENT;
  bool empty = true;
  for (const std::string& file : *files) empty = remove_dead(folder + "/" + file) && empty;
  return empty;
}

void sweep_once_per_process() noexcept {
  static std::atomic<pid_t> swept_in = 0;
  const pid_t here = ::getpid();
  if (swept_in.exchange(here) != here) SharedName::sweep();
}

}  // namespace

std::string SharedName::random_id() {
  std::array<std::uint8_t, 16> bytes = {};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) throw_errno("getrandom");
  std::string id;
  for (const std::uint8_t byte : bytes) {
    id += "0123456789abcdef"[byte >> 4U];
    id += "0123456789abcdef"[byte & 15U];
  }
  return id;
}

std::unique_ptr<SharedName> SharedName::prepare(const std::string& name, std::size_t bytes) {
  require_name(name);
  sweep_once_per_process();
  std::unique_ptr<SharedName> made;
  do {  // a sweep may take it for dead before it is locked
    made.reset(new SharedName(name, folder_of(kPrivate, random_id())));
  } while (!made->make_file());
  int error = 0;
  bool swept = false;
  while (true) {
    error = ::posix_fallocate(made->descriptor(), 0, static_cast<off_t>(bytes));
    if (error == ENOSPC && !std::exchange(swept, true)) {
      sweep();
    } else if (error != EINTR) {
      break;
    }
  }
  if (error != 0) {
    errno = error;
    throw_errno("posix_fallocate");
  }
  return made;
}

bool SharedName::make_file() {
  id_ = random_id();
  if (::mkdir(folder_.c_str(), S_IRWXU) != 0) {
    if (errno == EEXIST) return false;
    throw_errno("mkdir");
  }
  // The umask may have taken what its owner needs.
  if (::chmod(folder_.c_str(), S_IRWXU) != 0) return false;
  file_ = Fd(::open(path().c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!file_) {
    if (errno == ENOENT) return false;
    const int error = errno;
    ::rmdir(folder_.c_str());
    errno = error;
    throw_errno("open");
  }
  if (::fchmod(file_.get(), S_IRUSR | S_IWUSR) != 0) throw_errno("fchmod");
  return use();
}

// Becomes a user of the open file. False: it was removed, or is about to be.
bool SharedName::use() {
  struct stat facts = {};
  const bool is_used = lock(file_.get(), LOCK_SH) && ::fstat(file_.get(), &facts) == 0 && facts.st_nlink > 0;
  if (!is_used) file_.reset();
  return is_used;
}

// Opens the file at path() and becomes a user of it. False: it is gone, or nobody uses it.
bool SharedName::take(bool writable) {
  file_ = Fd(::open(path().c_str(), (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file_ && errno != ENOENT) throw_errno("open");
  if (file_ && lock(file_.get(), LOCK_EX)) {
    ::unlink(path().c_str());
    ::rmdir(folder_.c_str());
    file_.reset();
  }
  return file_ && use();
}

void SharedName::publish() {
  const std::string folder = folder_of(kPublic, name_);
  int looks = 0;
  while (::rename(folder_.c_str(), folder.c_str()) != 0) {  // takes the place of an empty directory too
    const bool is_taken = errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR || errno == EPERM;
    if (!is_taken) throw_errno("rename");
    const bool is_object = errno == ENOTEMPTY || errno == EEXIST;
    if (is_object && clear(folder)) continue;
    if (errno == EMFILE || errno == ENFILE) throw_errno("open");
    if (!is_object || ++looks == kLooks) throw Exists("shared memory: " + name_);
    // Who is about to remove a dead one is taken for its user meanwhile.
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
  folder_ = folder;
}

std::unique_ptr<SharedName> SharedName::open(const std::string& name, bool writable, std::string_view id) {
  require_name(name);
  sweep_once_per_process();
  std::unique_ptr<SharedName> opened(new SharedName(name, folder_of(kPublic, name)));
  while (true) {
    const std::optional<std::vector<std::string>> files = list(opened->folder_);
    if (!files && errno == EACCES) throw Auth("shared memory: it belongs to another user");
    if (!files && errno != ENOENT && errno != ENOTDIR && errno != ELOOP) throw_errno("open");
    if (!files || files->empty() || (!id.empty() && files->front() != id)) throw NotFound("shared memory: " + name);
    if (files->front() == opened->id_) throw NotFound("shared memory: " + name);  // somebody is about to remove it
    opened->id_ = files->front();
    if (opened->take(writable)) break;
  }
  return opened;
}

// A descriptor of its own tells whether this was the last: the forks of this process share the lock of the other one.
SharedName::~SharedName() {
  if (!file_) return;
  file_.reset();
  if (remove_dead(path())) ::rmdir(folder_.c_str());
}

void SharedName::unlink() const {
  if (::unlink(path().c_str()) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) throw NotFound("shared memory: " + name_);
    throw_errno("unlink");
  }
  ::rmdir(folder_.c_str());
}

std::size_t SharedName::bytes() const {
  struct stat facts = {};
  if (::fstat(file_.get(), &facts) != 0) throw_errno("fstat");
  return static_cast<std::size_t>(facts.st_size);
}

void SharedName::sweep() noexcept try {
  const std::optional<std::vector<std::string>> names = list(std::string(kDirectory), false);
  if (!names) return;
  for (const std::string& name : *names) {
    if (!name.starts_with(kPublic) && !name.starts_with(kPrivate)) continue;
    const std::string folder = folder_of("", name);
    if (clear(folder)) ::rmdir(folder.c_str());
  }
} catch (const std::bad_alloc&) {  // then the next one does it
}

}  // namespace crucible
