// In which order the handlers of forks (pthread_atfork) are registered, and so in which order their mutexes are taken.
#pragma once

namespace crucible::fork_order {

// Priorities of functions that run before main, lower ones first; the family (core/family.cc) registers when it is
// first used, after all of them. Before a fork handlers run from the last registered to the first: the family's mutex
// is taken first, as it is by a Process that forks while it holds it. In the child they run from the first to the last:
// what others use when they let go of their parent's things is free by then.
inline constexpr int kLeaf = 200;   ///< takes no other mutex of these
inline constexpr int kOwner = 300;  ///< has connections and memory, and frees its parent's in the child

}  // namespace crucible::fork_order
