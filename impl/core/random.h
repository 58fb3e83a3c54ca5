// Random bytes that nobody can foresee, by libsodium.
#pragma once

#include <cstddef>
#include <span>

namespace crucible {

/// Throws Error (libsodium cannot be initialised). Waits for no other thread, also in a process that was forked while
/// one was in here.
void fill_randomly(std::span<unsigned char> bytes);

}  // namespace crucible
