#include "core/liveness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string_view>

#include "api/status.h"
#include "core/fd.h"

namespace crucible {
namespace {

// Of proc_pid_stat(5): field 3, 20 and 22.
struct Stat {
  char state = '?';
  std::uint64_t threads = 0;
  std::uint64_t start = 0;

  // A leader that left its threads behind shows as Z too, and is not dead.
  bool dead() const noexcept { return (state == 'Z' && threads <= 1) || state == 'X'; }
};

std::string_view next_field(std::string_view& rest) noexcept {
  const std::string_view field = rest.substr(0, rest.find(' '));
  rest.remove_prefix(field.size() < rest.size() ? field.size() + 1 : rest.size());
  return field;
}

std::optional<Stat> parse(std::string_view text) noexcept {
  const std::size_t name_end = text.rfind(')');  // the name may hold anything
  if (name_end == std::string_view::npos || name_end + 2 > text.size()) return std::nullopt;
  std::string_view rest = text.substr(name_end + 2);
  Stat stat;
  for (int field = 3; field <= 22; ++field) {
    const std::string_view value = next_field(rest);
    if (value.empty()) return std::nullopt;
    if (field == 3) stat.state = value.front();
    if (field == 20) std::from_chars(value.data(), value.data() + value.size(), stat.threads);
    if (field == 22) std::from_chars(value.data(), value.data() + value.size(), stat.start);
  }
  return stat;
}

// Nothing, and errno, where it cannot be read.
std::optional<Stat> read_stat(std::int64_t pid) noexcept {
  std::array<char, 32> path = {};
  (void)std::snprintf(path.data(), path.size(), "/proc/%lld/stat", static_cast<long long>(pid));
  const Fd file(::open(path.data(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::array<char, 1024> text = {};
  ssize_t length = -1;
  while ((length = ::read(file.get(), text.data(), text.size())) < 0 && errno == EINTR) {
  }
  if (length < 0) return std::nullopt;
  return parse({text.data(), static_cast<std::size_t>(length)});
}

std::atomic<std::uint64_t> cached_self = 0;
std::atomic<std::uint64_t> cached_namespace = 0;

void forget_in_children() {
  static std::once_flag once;
  std::call_once(once, [] {
    pthread_atfork(nullptr, nullptr, [] {
      cached_self.store(0);
      cached_namespace.store(0);
    });
  });
}

}  // namespace

ProcessIdentity ProcessIdentity::of(pid_t pid) noexcept {
  const std::optional<Stat> stat = read_stat(pid);
  return stat ? ProcessIdentity{.pid = pid, .start = stat->start} : ProcessIdentity{};
}

ProcessIdentity ProcessIdentity::self() {
  std::uint64_t packed = cached_self.load(std::memory_order_relaxed);
  if (packed == 0) {
    forget_in_children();
    const std::optional<Stat> stat = read_stat(::getpid());
    if (!stat) throw_errno("open /proc/self/stat");
    packed = ProcessIdentity{.pid = ::getpid(), .start = stat->start}.packed();
    cached_self.store(packed, std::memory_order_relaxed);
  }
  return unpacked(packed);
}

bool alive(ProcessIdentity process) noexcept {
  if (process.is_nobody()) return false;
  if (::kill(static_cast<pid_t>(process.pid), 0) != 0 && errno == ESRCH) return false;
  const std::optional<Stat> stat = read_stat(process.pid);
  // ENOENT and ESRCH: it has gone since; or /proc hides it, which the next kill() tells apart.
  if (!stat) return ::kill(static_cast<pid_t>(process.pid), 0) == 0 || errno != ESRCH;
  return stat->start == process.start && !stat->dead();
}

std::uint64_t pid_namespace() noexcept {
  std::uint64_t number = cached_namespace.load(std::memory_order_relaxed);
  if (number == 0) {
    forget_in_children();
    struct stat entry = {};
    if (::stat("/proc/self/ns/pid", &entry) == 0) number = entry.st_ino;
    cached_namespace.store(number, std::memory_order_relaxed);
  }
  return number;
}

}  // namespace crucible
