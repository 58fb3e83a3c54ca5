#include "core/random.h"

#include <sodium.h>

#include "api/status.h"

namespace crucible {
namespace {

// Before there are threads: every call takes a mutex for a moment, and a child that was forked in that moment would
// find it taken for ever.
const int initialised = sodium_init();

}  // namespace

void fill_randomly(std::span<unsigned char> bytes) {
  if (initialised < 0) throw Error("libsodium cannot be initialised");
  randombytes_buf(bytes.data(), bytes.size());
}

}  // namespace crucible
