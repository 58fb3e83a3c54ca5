// Clauses P40, P41, P44 to P47 and H31, H32: capabilities' operations, exhausted descriptors, leaks, forks beside
// threads.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "api/connection.h"
#include "conformance/pipe_support.h"
#include "conformance/random.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"
#include "conformance/support/resources.h"
#include "core/fd.h"

namespace crucible::testing {
namespace {

class PipeFaults : public MechanismTest {};

constexpr std::size_t kLarge = std::size_t{8} << 20U;

TEST_P(PipeFaults, P40_DescriptorPollsReadableAsWaitReadableDoes) {
  CRUCIBLE_REQUIRE(pollable);
  auto [here, there] = pipe();
  const auto readable = [&end = *here] {
    pollfd slot = {.fd = end.descriptor(), .events = POLLIN, .revents = 0};
    return ::poll(&slot, 1, 0) == 1;
  };
  EXPECT_FALSE(readable());
  give(*there, {});
  EXPECT_TRUE(readable());
  EXPECT_EQ(take(*here).size(), 0U);
  EXPECT_FALSE(readable());
  EXPECT_NE(::fcntl(here->descriptor(), F_GETFD) & FD_CLOEXEC, 0);
  there->close();
  EXPECT_TRUE(readable());
  EXPECT_THROW((void)there->descriptor(), Closed);
}

TEST_P(PipeFaults, P41_OperationsOfUndeclaredCapabilitiesAreRefused) {
  auto [here, there] = pipe();
  int descriptor = -1;
  if (!capabilities().passes_descriptors) {
    EXPECT_EQ(here->send_descriptor(STDIN_FILENO), Status::kUnsupported);
    EXPECT_EQ(there->recv_descriptor(descriptor, Deadline::immediate()), Status::kUnsupported);
  }
  if (capabilities().pollable) {
    EXPECT_GE(here->descriptor(), 0);
  } else {
    EXPECT_THROW((void)here->descriptor(), Unsupported);
  }
  if (!mechanism().pipe.transferable) {
    EXPECT_THROW((void)here->handle(), Unsupported);
    EXPECT_THROW((void)mechanism().adopt({}), Error);
  }
  if (mechanism().scheme.empty()) {
    EXPECT_THROW((void)mechanism().listen("", {}), Unsupported);
  }
  EXPECT_FALSE(there->poll()) << "a refused operation sent something";
}

TEST_P(PipeFaults, P44_MakingAPipeWithoutDescriptorsIsAnErrorOrAPipe) {
  Peer peer([] {
    constexpr std::size_t kEnough = 16;
    std::size_t failures = 0;
    const std::size_t before = open_descriptors();
    for (std::size_t left = 0; left < kEnough; ++left) {
      std::optional<ConnectionPair> made;
      {
        const Exhaustion exhausted(left);
        try {
          made = pipe();
        } catch (const std::system_error& error) {
          EXPECT_EQ(error.code(), std::errc::too_many_files_open);
          EXPECT_NE(std::string(error.what()), "");
          ++failures;
        } catch (const Eof&) {  // the other side of the door had none
          ++failures;
        } catch (const Auth&) {  // nor did the listener, which then let nobody in
          ++failures;
        }
      }
      if (made) {
        give(*made->first, text("works"));
        EXPECT_EQ(as_text(take(*made->second)), "works");
        made.reset();
      }
      EXPECT_EQ(open_descriptors(), before) << "with " << left << " left";
    }
    EXPECT_GT(failures, 0U) << "a pipe without a descriptor";
    EXPECT_LT(failures, kEnough);
  });
  peer.join();
}

// Large messages may need descriptors on either side.
TEST_P(PipeFaults, P44_SendingWithoutDescriptorsIsAnErrorOrAMessage) {
  auto [here, there] = pipe();
  Peer peer([end = std::move(here)] {
    for (std::size_t left = 0; left < 3; ++left) {
      bool sent = false;
      {
        const Exhaustion exhausted(left);
        try {
          give(*end, pattern(kLarge, left));
          sent = true;
        } catch (const std::system_error& error) {
          EXPECT_EQ(error.code(), std::errc::too_many_files_open);
        }
      }
      give(*end, text(sent ? "sent" : "failed"));
    }
    give(*end, pattern(kLarge, 9));
  });
  for (std::size_t left = 0; left < 3; ++left) {
    Bytes message = take(*there);
    const bool arrived = message.size() == kLarge;
    if (arrived) {
      EXPECT_TRUE(same(message, pattern(kLarge, left)));
      message = take(*there);
    }
    EXPECT_EQ(as_text(message), arrived ? "sent" : "failed");
  }
  EXPECT_TRUE(same(take(*there), pattern(kLarge, 9)));
  peer.join();
}

TEST_P(PipeFaults, P44_ReceivingWithoutDescriptorsIsAnErrorOrAMessage) {
  auto [here, there] = pipe();
  Peer peer([end = std::move(there), &here = here] {
    here.reset();
    for (std::size_t left = 0; left < 3; ++left) {
      Bytes message;
      {
        const Exhaustion exhausted(left);
        try {
          EXPECT_EQ(end->recv_bytes(message), Status::kOk);
        } catch (const std::system_error& error) {
          EXPECT_TRUE(error.code() == std::errc::too_many_files_open) << error.what();
          message.clear();
        }
      }
      // What an error kept from arriving either comes now or is gone as a whole.
      if (message.empty()) message = take(*end);
      if (message.size() == kLarge) {
        EXPECT_TRUE(same(message, pattern(kLarge, left)));
        message = take(*end);
      }
      EXPECT_EQ(as_text(message), "between");
    }
    EXPECT_EQ(next_status(*end), Status::kEof);
  });
  for (std::size_t left = 0; left < 3; ++left) {
    give(*here, pattern(kLarge, left));
    give(*here, text("between"));
  }
  here.reset();
  peer.join();
}

std::size_t peak_address_space_kib() {
  const std::string status = proc::read_file("/proc/self/status");
  return std::stoul(status.substr(status.find("VmPeak:") + 7));
}

// What stands in for a damaged or hostile peer: raw bytes where frames should be.
TEST_P(PipeFaults, H32_GarbageIsNeitherBelievedNorWaitedForForEver) {
  CRUCIBLE_REQUIRE(pollable);
  Peer peer([] {
    Random random;
    constexpr std::size_t kLimit = std::size_t{1} << 20U;
    const std::size_t before = peak_address_space_kib();
    for (int round = 0; round < 300; ++round) {
      auto [reader, writer] = pipe({.duplex = false});
      Bytes noise = random.bytes(random.between(1, 300));
      if (random.one_in(2)) std::fill(noise.begin(), noise.end(), std::byte{0xff});  // -1 in every field
      ASSERT_EQ(::write(writer->descriptor(), noise.data(), noise.size()), static_cast<ssize_t>(noise.size()));
      writer.reset();
      Status status = Status::kOk;
      while (status == Status::kOk) {
        Bytes message;
        try {
          status = reader->recv_bytes(message, kLimit);
        } catch (const std::system_error&) {  // a protocol error is as good a refusal
          status = Status::kBadLength;
        }
        EXPECT_LE(message.size(), kLimit);
      }
      EXPECT_NE(status, Status::kTimeout);
    }
    EXPECT_LT(peak_address_space_kib() - before, 16 * kLimit / 1'024);
  });
  peer.join();
}

// Of all kinds of sizes, with its number where there is room for one.
Bytes numbered(std::uint64_t number) {
  constexpr std::size_t kSizes[] = {0, 30, 900, 5'000, 100, 2};
  Bytes message(number % 1'000 == 999 ? 300'000 : kSizes[number % std::size(kSizes)]);
  if (message.size() >= sizeof number) std::memcpy(message.data(), &number, sizeof number);
  return message;
}

// What a process holds after few messages (a leak has not used everything up yet) and after each quarter of all. The
// first are sent before one is received, so that as much as the pipe ever holds has been held before the first count.
using Numbers = std::array<std::uint64_t, 5>;
constexpr Numbers kStages = {100, 25'000, 50'000, 75'000, 100'000};
using Stages = std::array<Resources, kStages.size()>;

// A leak grows all the time; what an allocator keeps it takes at some time, once, and so does a mechanism with a
// descriptor that its peer's other thread sends when it gets to it.
void expect_no_growth(const Stages& after) {
  long least_growth_kib = std::numeric_limits<long>::max();
  for (std::size_t stage = 1; stage < after.size(); ++stage) {
    EXPECT_LE(after[stage].descriptors, after[0].descriptors + 1);
    EXPECT_LE(after[stage].threads, after[0].threads);
    least_growth_kib = std::min(least_growth_kib, after[stage].resident_kib - after[stage - 1].resident_kib);
  }
  constexpr long kSlackKib = CRUCIBLE_SANITIZED ? 16'384 : 256;
  EXPECT_LT(least_growth_kib, kSlackKib) << "in every quarter";
}

TEST_P(PipeFaults, P45_AHundredThousandMessagesArriveInOrderAndLeaveNothingBehind) {
  auto [here, there] = pipe();
  const SharedBox<Numbers> until(kStages);
  Event full;
  Peer child([end = std::move(there), &here = here, &until, &full] {
    here.reset();
    full.wait();
    Stages after = {};
    std::uint64_t number = 0;
    for (std::size_t stage = 0; stage < after.size(); ++stage) {
      for (Bytes message; number < (*until)[stage]; ++number) {
        ASSERT_EQ(end->recv_bytes(message), Status::kOk) << number;
        ASSERT_TRUE(same(message, numbered(number))) << "instead of message " << number;
      }
      give(*end, text("all received"));
      EXPECT_EQ(as_text(take(*end)), "count now");  // both directions are in use, and nobody has closed
      after[stage] = Resources::now();
      give(*end, text("counted"));
    }
    expect_no_growth(after);
    EXPECT_EQ(next_status(*end), Status::kEof) << "what its end frees must not show in the other's count";
  });
  Stages after = {};
  std::uint64_t number = 0;
  while (number < kStages[1] && here->try_send_bytes(numbered(number)) == Status::kOk) ++number;
  (*until)[0] = std::max((*until)[0], number);
  full.set();
  for (std::size_t stage = 0; stage < after.size(); ++stage) {
    for (; number < (*until)[stage]; ++number) ASSERT_EQ(here->send_bytes(numbered(number)), Status::kOk) << number;
    ASSERT_EQ(as_text(take(*here)), "all received");
    give(*here, text("count now"));
    ASSERT_EQ(as_text(take(*here)), "counted");
    after[stage] = Resources::now();
  }
  expect_no_growth(after);
  here.reset();
  child.join();
}

TEST_P(PipeFaults, P45_AThousandPipesLeaveNothingBehind) {
  const auto half = [] {
    for (int i = 0; i < 500; ++i) {
      auto [here, there] = pipe({.duplex = i % 2 == 0});
      give(*there, pattern(100, 1));
      if (i % 3 == 0) {
        EXPECT_TRUE(same(take(*here), pattern(100, 1)));
      }
    }
    return Resources::now();
  };
  const Resources first = half();
  expect_no_growth(first, half());
}

TEST_P(PipeFaults, P46_AForkBesideBusyThreadsDisturbsNobody) {
  auto [inner, outer] = pipe();
  constexpr int kMessages = 2'000;
  std::thread sender([&end = *inner] {
    for (int i = 0; i < kMessages; ++i) give(end, pattern(static_cast<std::size_t>(i), 1));
  });
  std::thread receiver([&end = *outer] {
    for (int i = 0; i < kMessages; ++i) ASSERT_TRUE(same(take(end), pattern(static_cast<std::size_t>(i), 1)));
  });
  for (int child = 0; child < 20; ++child) {
    auto [here, there] = pipe();
    Peer user([&end = *there] {
      give(end, as_bytes(std::string(static_cast<std::size_t>(3'000), 'c')));
      EXPECT_EQ(as_text(take(end)), "seen");
      auto [own, other] = pipe();
      give(*own, text("own"));
      EXPECT_EQ(as_text(take(*other)), "own");
    });
    EXPECT_EQ(take(*here).size(), 3'000U);
    give(*here, text("seen"));
    user.join();
  }
  sender.join();
  receiver.join();
}

TEST_P(PipeFaults, P47_TwoThreadsUseOneEndInOppositeDirections) {
  auto [here, there] = pipe();
  constexpr std::size_t kMessages = 3'000;
  const auto stream = [](Connection& end) {
    std::thread sender([&end] {
      for (std::size_t i = 0; i < kMessages; ++i) give(end, pattern(i * 11 % 9'000, i));
    });
    for (std::size_t i = 0; i < kMessages; ++i) EXPECT_TRUE(same(take(end), pattern(i * 11 % 9'000, i)));
    sender.join();
  };
  Peer child([end = std::move(there), stream] { stream(*end); });
  stream(*here);
  child.join();
}

TEST_P(PipeFaults, H31_PeersThatBothSendFirstTimeOutInsteadOfHanging) {
  CRUCIBLE_REQUIRE_BOUND;
  auto [here, there] = pipe();
  SharedBox<std::atomic<int>> theirs{-1};
  Event done;
  Peer child([&end = *there, &theirs, &done] {
    *theirs = static_cast<int>(end.send_bytes_for(pattern(kLarge, 2), 100ms));
    done.set();
    give(end, text("child next"));
    if (as_text(take(end)) != "parent next") {
      EXPECT_EQ(as_text(take(end)), "parent next");
    }
  });
  const Status mine = here->send_bytes_for(pattern(kLarge, 1), 100ms);
  done.wait();
  const auto outcome = static_cast<Status>(theirs->load());
  for (const Status status : {mine, outcome}) EXPECT_TRUE(status == Status::kOk || status == Status::kTimeout);
  if (outcome == Status::kOk) {
    EXPECT_TRUE(same(take(*here), pattern(kLarge, 2)));
  }
  EXPECT_EQ(as_text(take(*here)), "child next");
  give(*here, text("parent next"));
  child.join();
}

}  // namespace

CRUCIBLE_INSTANTIATE(PipeFaults);

}  // namespace crucible::testing
