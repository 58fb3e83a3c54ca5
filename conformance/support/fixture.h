// Fixtures: every test runs under the watchdog and must leave its process as it found it.
#pragma once

#include <gtest/gtest.h>

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

/// A test that runs once per mechanism: CRUCIBLE_INSTANTIATE(Suite) after its TEST_Ps. Suite.Name/mechanism.
class MechanismTest : public CleanFixture, public ::testing::WithParamInterface<const Mechanism*> {
 protected:
  static const Mechanism& mechanism() { return *GetParam(); }
  static Context context() { return Context(mechanism()); }
  static ConnectionPair pipe(const PipeOptions& options = {}) { return mechanism().make_pipe(options); }

  void warm_up() override;
};

std::vector<const Mechanism*> all_mechanisms();

}  // namespace crucible::testing

// First statement of a test of a MAY clause: skips, saying why, on mechanisms that do not declare the capability.
#define CRUCIBLE_REQUIRE(capability)                 \
  if (mechanism().pipe.capability) {                 \
  } else /* NOLINT(readability-else-after-return) */ \
    GTEST_SKIP() << "MAY(" #capability "): " << mechanism().name << " does not declare it"

#define CRUCIBLE_INSTANTIATE(suite)                                        \
  INSTANTIATE_TEST_SUITE_P(                                                \
      , suite, ::testing::ValuesIn(::crucible::testing::all_mechanisms()), \
      [](const ::testing::TestParamInfo<const ::crucible::Mechanism*>& row) { return std::string(row.param->name); })
