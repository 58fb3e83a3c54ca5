// ServerLooks: how a ManagerServer looks for requests without system calls.
#pragma once

#include <cstdint>
#include <vector>

namespace crucible {

class ServerSession;

/// Whether requests are looked for before the loop sleeps: not at all, for a moment as long as that finds some, or
/// instead of sleeping.
enum class Glance : std::uint8_t { kNever, kWhilePaid, kAlways };

struct ServerLooks {
  const Glance glance;
  std::vector<ServerSession*> talkers = {};  // who were heard of late, and are looked at
  bool is_looking = false;
  bool yields_first = false;    // a client that shares this CPU answered when it was given away
  unsigned in_vain = 0;         // one after the other
  unsigned finds_per_turn = 1;  // after so many, those who were not heard meanwhile are let run
};

}  // namespace crucible
