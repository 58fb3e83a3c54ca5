// Fixtures: every test runs under the watchdog and must leave its process as it found it.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "api/mechanism.h"
#include "conformance/support/inventory.h"

namespace crucible::testing {

/// Fails a test that leaves a descriptor, child, thread or name behind. The process adopts orphaned descendants, so
/// that they count as children: a test that kills parents calls await_orphans().
class CleanFixture : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  /// What the library opens once per process and keeps must be there before the photograph.
  virtual void warm_up();

  /// Waits until all children, adopted ones included, have ended, and reaps them. Join Process and Peer objects first.
  static void await_orphans();

 private:
  Inventory before_;
};

/// A mechanism and the way its connections are made: as it is by default, or with one thing changed.
struct Variant {
  const Mechanism* mechanism;
  bool named = false;                     ///< by a named door, both sides in the test's process
  bool read_ahead = false;                ///< with PipeOptions::read_ahead
  std::optional<WaitStrategy> wait = {};  ///< with this strategy instead of the default

  /// `unix_socket`, `unix_socket_named`, `unix_socket_ahead`, `shm_ring_spin`.
  std::string name() const;
  /// What is left of the mechanism's capabilities.
  Capabilities capabilities() const;
  ConnectionPair pipe(PipeOptions options) const;
};
/// Every mechanism in every way it has.
std::vector<Variant> all_variants();
/// Every mechanism once.
std::vector<Variant> all_mechanisms();

/// A test that runs once per variant, CRUCIBLE_INSTANTIATE(Suite) after its TEST_Ps, or once per mechanism,
/// CRUCIBLE_INSTANTIATE_ONCE(Suite), for what has nothing to do with how connections are made. Suite.Name/variant.
class MechanismTest : public CleanFixture, public ::testing::WithParamInterface<Variant> {
 protected:
  static const Mechanism& mechanism() { return *GetParam().mechanism; }
  static Capabilities capabilities() { return GetParam().capabilities(); }
  static Context context() { return Context(mechanism()); }
  static ConnectionPair pipe(const PipeOptions& options = {}) { return GetParam().pipe(options); }

  void warm_up() override;
};

}  // namespace crucible::testing

// First statement of a test of a MAY clause: skips, saying why, on mechanisms that do not declare the capability.
#define CRUCIBLE_REQUIRE(capability)                 \
  if (capabilities().capability) {                   \
  } else /* NOLINT(readability-else-after-return) */ \
    GTEST_SKIP() << "MAY(" #capability "): " << mechanism().name << " does not declare it"

#define CRUCIBLE_INSTANTIATE_OVER(suite, variants) \
  INSTANTIATE_TEST_SUITE_P(                        \
      , suite, ::testing::ValuesIn(variants),      \
      [](const ::testing::TestParamInfo<::crucible::testing::Variant>& row) { return row.param.name(); })
#define CRUCIBLE_INSTANTIATE(suite) CRUCIBLE_INSTANTIATE_OVER(suite, ::crucible::testing::all_variants())
#define CRUCIBLE_INSTANTIATE_ONCE(suite) CRUCIBLE_INSTANTIATE_OVER(suite, ::crucible::testing::all_mechanisms())
