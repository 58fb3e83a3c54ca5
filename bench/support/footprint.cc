#include "support/footprint.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/helpers.h"
#include "support/inherited.h"
#include "support/worker.h"

namespace crucible::bench {
namespace {

constexpr int kObjects = 32;

std::optional<pid_t> parent_of(const std::filesystem::path& process) {
  std::ifstream file(process / "stat");
  const std::string line{std::istreambuf_iterator<char>(file), {}};
  // The name in parentheses may contain anything; behind it: state, parent.
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  return std::stoi(line.substr(name_end + 4));
}

/// This process, its helpers, which may be nobody's children, and all that descend from these.
std::vector<pid_t> family() {
  std::multimap<pid_t, pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (std::isdigit(static_cast<unsigned char>(name.front())) == 0) continue;
    if (const auto parent = parent_of(entry.path())) children.emplace(*parent, std::stoi(name));
  }
  std::vector<pid_t> found = known_helpers();
  found.push_back(getpid());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto [first, last] = children.equal_range(found[i]);
    std::transform(first, last, std::back_inserter(found), [](const auto& link) { return link.second; });
  }
  std::ranges::sort(found);  // a helper may be a child as well
  found.erase(std::ranges::unique(found).begin(), found.end());
  return found;
}

std::int64_t proportional_bytes(const std::filesystem::path& process) {
  std::ifstream file(process / "smaps_rollup");
  for (std::string word; file >> word;) {
    std::int64_t kib = 0;
    if (word == "Pss:" && file >> kib) return kib * 1024;
  }
  return 0;
}

}  // namespace

Footprint Footprint::here() {
  Footprint found;
  for (const pid_t pid : family()) {
    const auto process = std::filesystem::path("/proc") / std::to_string(pid);
    std::error_code error;
    const std::filesystem::directory_iterator descriptors(process / "fd", error);
    if (error) continue;  // it has ended meanwhile
    found.descriptors += std::distance(begin(descriptors), end(descriptors));
    found.bytes += proportional_bytes(process);
    ++found.processes;
  }
  return found;
}

Json study_footprint(const std::function<void(int count, const std::function<void()>& look)>& hold) {
  const auto seen = make_inherited<Footprint>(2, [](Footprint* at) { new (at) Footprint; });
  for (const int more : {0, 1}) {
    Worker holder(std::nullopt, [&](Post& post) {
      (void)post.next_block();
      hold(1 + more * kObjects, [&] { seen[more] = Footprint::here(); });
      post.answer();
    });
    holder.order(1);
    (void)holder.await();
    if (seen[more].bytes == 0) throw UnsupportedCell("the kernel shows no smaps_rollup here");
  }
  const auto each = [&](std::int64_t Footprint::* part) {
    return static_cast<double>(seen[1].*part - seen[0].*part) / kObjects;
  };
  return {{"metrics",
           {{"memory_bytes_per_object", each(&Footprint::bytes)},
            {"descriptors_per_object", each(&Footprint::descriptors)},
            {"processes_per_object", each(&Footprint::processes)},
            {"samples", kObjects}}},
          {"fairness", {{"compared_with", "one object"}, {"not_seen", "memory of the kernel"}}}};
}

}  // namespace crucible::bench
