#include "support/placement.h"

#include <fstream>
#include <string>
#include <vector>

#include "api/status.h"
#include "support/side.h"

namespace crucible::bench {
namespace {

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) throw_errno("sched_getaffinity");
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

std::string siblings(int cpu) {
  std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
  std::string list;
  std::getline(file, list);
  return list.empty() ? std::to_string(cpu) : list;
}

}  // namespace

std::string_view to_string(Placement placement) noexcept {
  switch (placement) {
    case Placement::kCross: return "cross";
    case Placement::kSame: return "same";
    case Placement::kFree: return "free";
    case Placement::kRemote: return "remote";
  }
  return "invalid placement";
}

std::optional<std::pair<int, int>> cpus_for(Placement placement) {
  if (placement == Placement::kFree || placement == Placement::kRemote) return std::nullopt;
  const std::vector<int> cpus = allowed_cpus();
  if (placement == Placement::kSame) return std::pair(cpus.front(), cpus.front());
  if (cpus.size() < 2) throw UnsupportedCell("two CPUs are needed and this process may use one");
  for (const int cpu : cpus) {
    if (siblings(cpu) != siblings(cpus.front())) return std::pair(cpus.front(), cpu);
  }
  return std::pair(cpus[0], cpus[1]);
}

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) throw_errno("sched_setaffinity");
}

AffinityScope::AffinityScope() {
  if (sched_getaffinity(0, sizeof before_, &before_) != 0) throw_errno("sched_getaffinity");
}
AffinityScope::~AffinityScope() { sched_setaffinity(0, sizeof before_, &before_); }

}  // namespace crucible::bench
