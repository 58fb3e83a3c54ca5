#include "limits/pairing.h"

namespace crucible::bench {

std::vector<std::string_view> limits_for(std::string_view family, Traffic traffic, Wait wait, Placement placement,
                                         std::size_t bytes) {
  if (family != "shared_memory") return {family};
  if (traffic == Traffic::kOneWay) return {bytes <= sizeof(std::uint64_t) ? "ring_u64" : "ring_copy"};
  if (wait == WaitStrategy::kBlock) return {"futex_round_trip"};
  // A pause on one CPU lasts as long as the scheduler lets it: who does not sleep there must yield.
  if (placement == Placement::kSame) return {"yield_round_trip"};
  if (placement == Placement::kCross) return {"line_round_trip"};
  return {"line_round_trip", "yield_round_trip"};
}

}  // namespace crucible::bench
