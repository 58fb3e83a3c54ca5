// Where in the experiment a cell of pipes lies, beside its mechanism and its workload.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "support/case.h"
#include "support/payload.h"
#include "support/placement.h"
#include "support/subject.h"

namespace crucible::bench {

struct Spot {
  std::size_t bytes;
  Placement placement;
  Wait wait;
};

/// A cell of mechanism M that is a study: nothing is measured beside it.
template <class M>
Case study_of(std::string primitive, std::string workload, const Spot& spot) {
  Case cell;
  cell.primitive = std::move(primitive);
  cell.workload = std::move(workload);
  cell.name = M::kName;
  cell.bytes = spot.bytes;
  cell.placement = spot.placement;
  cell.wait = to_string(spot.wait);
  return cell;
}

/// Throws UnsupportedCell where a message could not hold its number.
inline void check_holds_number(std::size_t bytes) {
  if (bytes < Payload::kWord) throw UnsupportedCell("a message must hold its 8-byte sequence number");
}

/// The same, and where no message of M can be as long.
template <class M>
void check_size(std::size_t bytes) {
  check_holds_number(bytes);
  if (bytes > M::kPipe.max_message_bytes) {
    throw UnsupportedCell("at most " + std::to_string(M::kPipe.max_message_bytes) + " bytes in a message");
  }
}

}  // namespace crucible::bench
