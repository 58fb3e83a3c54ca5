#include "conformance/support/proc.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

namespace crucible::testing::proc {
namespace {

std::string task_path(pid_t pid, pid_t tid) {
  return "/proc/" + std::to_string(pid) + "/task/" + std::to_string(tid) + "/";
}

std::string one_line(const std::string& path) {
  std::string text = read_file(path);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::vector<pid_t> numbers_in(const std::string& directory) {
  std::vector<pid_t> numbers;
  for (const std::string& name : list_directory(directory)) {
    pid_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc() && end == name.data() + name.size()) numbers.push_back(number);
  }
  std::ranges::sort(numbers);
  return numbers;
}

// The fields of a stat file that follow the name, which is in parentheses and may hold anything.
void parse_stat(const std::string& stat, Thread& thread) {
  const std::size_t open = stat.find('(');
  const std::size_t close = stat.rfind(')');
  if (open == std::string::npos || close == std::string::npos) return;
  thread.name = stat.substr(open + 1, close - open - 1);
  std::istringstream rest(stat.substr(close + 1));
  long group = 0;
  long session = 0;
  long terminal = 0;
  long foreground = 0;
  rest >> thread.state >> thread.parent >> group >> session >> terminal >> foreground >> thread.flags >> thread.faults;
}

}  // namespace

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

std::vector<std::string> list_directory(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename());
  }
  std::ranges::sort(names);
  return names;
}

bool Thread::exiting() const noexcept {
  constexpr unsigned long kExiting = 0x4;  // PF_EXITING of the kernel's sched.h
  return gone() || (flags & kExiting) != 0;
}

bool Thread::sleeps_in_call() const {
  return (state == 'S' || state == 'D') && system_call != "running" && !system_call.starts_with("-1");
}

Thread thread(pid_t pid, pid_t tid) {
  const std::string path = task_path(pid, tid);
  Thread thread;
  thread.pid = pid;
  thread.tid = tid;
  // Read before the state: a thread seen asleep afterwards was asleep in this call or a later one.
  thread.system_call = one_line(path + "syscall");
  parse_stat(read_file(path + "stat"), thread);
  thread.wait_channel = one_line(path + "wchan");
  std::istringstream(read_file(path + "schedstat")) >> thread.cpu_ns;
  const std::string status = read_file(path + "status");
  constexpr std::string_view kSwitches = "\nvoluntary_ctxt_switches:";
  if (const std::size_t at = status.find(kSwitches); at != std::string::npos) {
    thread.switches = std::stoul(status.substr(at + kSwitches.size()));
  }
  return thread;
}

std::vector<pid_t> threads_of(pid_t pid) { return numbers_in("/proc/" + std::to_string(pid) + "/task"); }

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  for (const pid_t candidate : numbers_in("/proc")) {
    Thread leader;
    parse_stat(read_file("/proc/" + std::to_string(candidate) + "/stat"), leader);
    if (leader.parent == pid) children.push_back(candidate);
  }
  return children;
}

std::vector<pid_t> descendants_of(pid_t pid) {
  std::vector<pid_t> all;
  for (const pid_t child : children_of(pid)) {
    all.push_back(child);
    const std::vector<pid_t> below = descendants_of(child);
    all.insert(all.end(), below.begin(), below.end());
  }
  return all;
}

void await_gone(const std::vector<pid_t>& pids) {
  for (const pid_t pid : pids) {
    while (!thread(pid, pid).gone()) std::this_thread::yield();
  }
}

std::string describe(pid_t pid) {
  std::ostringstream out;
  const std::vector<pid_t> tids = threads_of(pid);
  if (tids.empty()) out << "  " << pid << " is gone\n";
  for (const pid_t tid : tids) {
    const Thread shown = thread(pid, tid);
    out << "  " << pid << '/' << tid << ' ' << shown.name << ' ' << shown.state << ", parent " << shown.parent
        << ", waits in " << (shown.wait_channel.empty() ? "?" : shown.wait_channel) << ", system call "
        << (shown.system_call.empty() ? "?" : shown.system_call) << '\n';
    std::istringstream stack(read_file(task_path(pid, tid) + "stack"));
    for (std::string line; std::getline(stack, line);) out << "      " << line << '\n';
  }
  return out.str();
}

}  // namespace crucible::testing::proc
