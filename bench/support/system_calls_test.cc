// System calls are counted one by one, those of the worker as well, and wrong bytes still fail the run.
#include "support/system_calls.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "limits/unix_raw.h"
#include "support/transfer.h"

namespace crucible::bench {
namespace {

constexpr std::size_t kBytes = 64;

/// One send and one receive, each one call, and `extra` calls more at each receive.
struct ChattyEnd : UnixRaw {
  static Link<ChattyEnd> link(int extra, int drops) {
    auto [here, there, fairness] = UnixRaw::make({.chunk_bytes = kBytes});
    return {ChattyEnd(std::move(here), extra, drops), ChattyEnd(std::move(there), extra, 0), std::move(fairness)};
  }
  ChattyEnd(UnixRaw sound, int more, int lost) : UnixRaw(std::move(sound)), extra(more), drops(lost) {}
  void send(ByteView message) {
    if (++sent != drops) UnixRaw::send(message);
  }
  std::size_t receive(ByteSpan buffer) {
    for (int i = 0; i < extra; ++i) (void)syscall(SYS_getppid);
    return UnixRaw::receive(buffer);
  }
  int extra, drops, sent = 0;
};

double counted(int extra) {
  const Json found = count_system_calls(
      [extra] { return std::make_unique<RoundTrip<ChattyEnd>>(ChattyEnd::link(extra, 0), kBytes, Cpus()); }, 2);
  return found["metrics"]["system_calls_per_message"].get<double>();
}

TEST(SystemCalls, AreCountedInBothProcesses) {
  EXPECT_NEAR(counted(0), 2, 0.01);
  EXPECT_NEAR(counted(3), 5, 0.01);
}

TEST(SystemCalls, WrongBytesFailTheRun) {
  const auto make = [] { return std::make_unique<OneWay<ChattyEnd>>(ChattyEnd::link(0, 50), kBytes, Cpus()); };
  EXPECT_THROW((void)count_system_calls(make, 1), VerificationError);
}

}  // namespace
}  // namespace crucible::bench
