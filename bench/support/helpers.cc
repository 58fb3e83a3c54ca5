#include "support/helpers.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace crucible::bench {
namespace {

/// The number behind `key` in a file of lines "key: number"; 0 without one.
std::int64_t number_in(const std::filesystem::path& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) return std::stoll(line.substr(key.size()));
  }
  return 0;
}

Usage usage_of(pid_t process) {
  const std::filesystem::path folder = "/proc/" + std::to_string(process);
  Usage usage;
  clockid_t clock = {};
  if (clock_getcpuclockid(process, &clock) != 0) return usage;
  // The clock is exact; what the process itself used is told in whole ticks, which only ever grow.
  const std::int64_t total_us = clock_ns(clock) / 1000;
  std::string stat;
  std::getline(std::ifstream(folder / "stat"), stat);
  std::istringstream fields(stat.substr(stat.rfind(')') + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  std::int64_t ticks = 0;
  fields >> ticks;
  usage.user_us = std::min(total_us, ticks * 1'000'000 / sysconf(_SC_CLK_TCK));
  usage.system_us = total_us - usage.user_us;
  usage.context_switches = number_in(folder / "status", "voluntary_ctxt_switches:") +
                           number_in(folder / "status", "nonvoluntary_ctxt_switches:");
  return usage;
}

}  // namespace

std::vector<pid_t> known_helpers() {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
    if (const auto process = static_cast<pid_t>(number_in(entry.path(), "Pid:")); process > 0) found.push_back(process);
  }
  return found;
}

Usage usage_of(const std::vector<pid_t>& helpers) {
  Usage usage;
  for (const pid_t helper : helpers) usage += usage_of(helper);
  return usage;
}

}  // namespace crucible::bench
