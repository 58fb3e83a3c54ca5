// Where the two processes of a case run.
#pragma once

#include <sched.h>

#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace crucible::bench {

/// kRemote: the other process is wherever it is, perhaps at another host.
enum class Placement { kCross, kSame, kFree, kRemote };
/// Of processes that one program starts.
inline constexpr std::array kPlacements = {Placement::kCross, Placement::kSame, Placement::kFree};
std::string_view to_string(Placement placement) noexcept;

/// The CPUs of parent and worker; on two cores where the machine has them. Nothing: not pinned.
/// Throws UnsupportedCell when this process may use too few CPUs.
std::optional<std::pair<int, int>> cpus_for(Placement placement);

/// Pins the calling process to one CPU. Throws std::system_error.
void pin(int cpu);

/// Gives this process its affinity back.
class AffinityScope {
 public:
  AffinityScope();
  AffinityScope(const AffinityScope&) = delete;
  AffinityScope& operator=(const AffinityScope&) = delete;
  ~AffinityScope();

 private:
  cpu_set_t before_;
};

}  // namespace crucible::bench
