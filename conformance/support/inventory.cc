#include "conformance/support/inventory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <memory>
#include <thread>

#include "conformance/support/proc.h"
#include "conformance/support/watchdog.h"
#include "core/fd.h"

namespace crucible::testing {
namespace {

using Things = std::map<std::string, std::string>;

void add_descriptors(Things& things) {
  constexpr const char* kDirectory = "/proc/self/fd";
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(kDirectory), ::closedir);
  if (directory == nullptr) return;
  const std::string own = std::to_string(::dirfd(directory.get()));
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string number = static_cast<const char*>(entry->d_name);
    if (number == own || number.starts_with('.')) continue;
    std::array<char, PATH_MAX> target = {};
    const ssize_t length = ::readlinkat(::dirfd(directory.get()), number.c_str(), target.data(), target.size());
    things["descriptor " + number] = std::string(target.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  }
}

void add_children(Things& things) {
  for (const pid_t child : proc::children_of(::getpid())) {
    if (child == watchdog::pid()) continue;
    const proc::Thread leader = proc::thread(child, child);
    things["child " + std::to_string(child)] = leader.state == 'Z' ? "a zombie" : leader.name + ", running";
  }
}

// A joined thread stays in /proc for a moment after pthread_join returned; one that is ending is no leak.
void add_threads(Things& things) {
  for (const pid_t tid : proc::threads_of(::getpid())) {
    proc::Thread thread = proc::thread(::getpid(), tid);
    while (thread.exiting() && !thread.gone()) {
      std::this_thread::yield();
      thread = proc::thread(::getpid(), tid);
    }
    if (!thread.gone()) things["thread " + std::to_string(tid)] = thread.name;
  }
}

// Tests run side by side: a name whose owner lives, which holds a lock on it, is not this test's leftover. What this
// process itself still holds shows among its descriptors.
bool abandoned(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat facts = {};
  return file && ::fstat(file.get(), &facts) == 0 && S_ISREG(facts.st_mode) &&
         ::flock(file.get(), LOCK_EX | LOCK_NB) == 0;
}

// A directory of shared memory's, whose file's users hold locks; asked of the kernel's list, since whoever probed by
// locking would look like a user himself for a moment.
bool abandoned_folder(const std::string& path) {
  struct stat facts = {};
  if (::stat(path.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) return false;
  for (const std::string& file : proc::list_directory(path)) {
    if (::stat((path + "/" + file).c_str(), &facts) != 0) continue;
    std::string inode = ":";
    inode.append(std::to_string(facts.st_ino)).append(" ");
    if (proc::read_file("/proc/locks").find(inode) != std::string::npos) return false;
  }
  return true;
}

void add_names(Things& things, const std::string& directory) {
  for (const std::string& name : proc::list_directory(directory)) {
    const std::string path = directory + "/" + name;
    if (!name.starts_with("crucible")) continue;
    if (abandoned(path) || abandoned_folder(path)) things["name " + path] = "held by nobody";
  }
}

}  // namespace

Inventory Inventory::take(const std::vector<std::string>& directories) {
  Inventory inventory;
  add_descriptors(inventory.things_);
  add_children(inventory.things_);
  add_threads(inventory.things_);
  for (const std::string& directory : directories) add_names(inventory.things_, directory);
  return inventory;
}

std::vector<std::string> Inventory::differences_from(const Inventory& before) const {
  std::vector<std::string> sentences;
  for (const auto& [thing, what] : things_) {
    const auto was = before.things_.find(thing);
    if (was == before.things_.end()) {
      sentences.push_back(thing + " (" + what + ") is left over");
    } else if (was->second != what) {
      sentences.push_back(thing + " was " + was->second + " and is " + what);
    }
  }
  for (const auto& [thing, what] : before.things_) {
    const bool lost = !things_.contains(thing) && !thing.starts_with("name ");  // another start may sweep names
    if (lost) sentences.push_back(thing + " (" + what + ") is gone");
  }
  return sentences;
}

}  // namespace crucible::testing
