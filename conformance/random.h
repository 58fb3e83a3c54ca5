// Random steps whose seed is printed, so that a failure can be repeated: CRUCIBLE_SEED=<n>.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "api/bytes.h"

namespace crucible::testing {

/// A generator seeded from CRUCIBLE_SEED, else anew for every run. Says its seed on stdout and in every failure
/// while it lives.
class Random {
 public:
  Random() : Random(chosen_seed()) {}
  explicit Random(std::uint64_t seed)
      : engine_(seed), trace_(__FILE__, __LINE__, "repeat with CRUCIBLE_SEED=" + std::to_string(seed)) {
    std::printf("[   seed   ] CRUCIBLE_SEED=%llu\n", static_cast<unsigned long long>(seed));
  }

  /// Uniform in [low, high].
  std::size_t between(std::size_t low, std::size_t high) {
    return std::uniform_int_distribution<std::size_t>(low, high)(engine_);
  }
  bool one_in(std::size_t n) { return between(1, n) == 1; }
  /// A length up to `limit`: mostly small, sometimes near a power of two, where buffers end.
  std::size_t length(std::size_t limit) {
    const std::size_t power = std::size_t{1} << between(0, 20);
    const std::size_t raw = one_in(3) ? power + between(0, 2) - 1 : between(0, power);
    return raw < limit ? raw : limit;
  }
  Bytes bytes(std::size_t size) {
    Bytes result(size);
    for (std::byte& byte : result) byte = static_cast<std::byte>(engine_());
    return result;
  }
  std::mt19937_64& engine() { return engine_; }

 private:
  static std::uint64_t chosen_seed() {
    const char* chosen = std::getenv("CRUCIBLE_SEED");
    return chosen != nullptr ? std::strtoull(chosen, nullptr, 0) : std::random_device()();
  }

  std::mt19937_64 engine_;
  ::testing::ScopedTrace trace_;
};

}  // namespace crucible::testing
