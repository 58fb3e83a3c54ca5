// What becomes of a pipe when the process at the other end is killed.
#pragma once

#include <functional>

#include "api/mechanism.h"
#include "support/case.h"

namespace crucible::bench {

inline constexpr int kKills = 20;
/// Kills `kills` processes in each of three situations, with SIGKILL, at the other end of a pipe that `make` gives:
/// - the survivor has waited for a message for a while (notice_p50_ns, notice_max_ns: from the signal until the
///   receive is over);
/// - the victim sends without pause and the survivor receives. `sent`: messages whose send had returned; of them `lost`
///   did not arrive, and `received_after_death` came after the signal;
/// - the survivor waits in a send, the pipe being full (notice_sender_p50_ns).
/// `stuck`: survivors, of all situations, whose call was not over within a second; they are in no other figure.
/// `left_over`: names of shared objects, files and sockets that were not there before and outlive both ends. Throws
/// VerificationError when bytes are wrong.
Json study_death(const std::function<ConnectionPair()>& make, int kills = kKills);

}  // namespace crucible::bench
