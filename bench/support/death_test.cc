// A killed peer: what it had sent and lost is counted, and who never notices is stuck and not waited for.
#include "support/death.h"

#include <gtest/gtest.h>

#include <memory>

#include "api/mechanism.h"
#include "mechanisms.h"

namespace crucible::bench {
namespace {

TEST(Death, IsNoticedOverASocketAndNothingIsLost) {
  const Json figures = study_death([] { return context("unix_socket").pipe(); })["metrics"];
  EXPECT_EQ(figures["samples"], 3 * kKills);
  EXPECT_EQ(figures["stuck"], 0);
  EXPECT_EQ(figures["lost"], 0);
  EXPECT_GT(figures["sent"], 0);
  EXPECT_GT(figures["notice_p50_ns"], 0);
  EXPECT_GE(figures["notice_max_ns"], figures["notice_p50_ns"]);
  EXPECT_GT(figures["notice_sender_p50_ns"], 0);
}

}  // namespace
}  // namespace crucible::bench
