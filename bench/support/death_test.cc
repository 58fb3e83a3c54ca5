// A killed peer: what it had sent and lost is counted, and who never notices is stuck and not waited for.
#include "support/death.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>

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

// A third process keeps both ends open, so that the death of one holder is no end of file.
TEST(Death, WhoNeverNoticesIsStuckAndInNoOtherFigure) {
  const auto make = [] {
    ConnectionPair ends = context("unix_socket").pipe();
    const pid_t survivor = getpid();
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      while (getppid() == survivor) pause();
      _exit(0);
    }
    return ends;
  };
  const Json figures = study_death(make, 1)["metrics"];
  EXPECT_EQ(figures["stuck"], 3);
  EXPECT_EQ(figures["sent"], 0);
  EXPECT_FALSE(figures.contains("notice_p50_ns"));
  EXPECT_FALSE(figures.contains("notice_sender_p50_ns"));
}

}  // namespace
}  // namespace crucible::bench
