// Time-outs, sizes, deaths and stops with a peer that was started by exec: the clauses of Pipe from P28 on.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/flood.h"
#include "conformance/named_pipe_support.h"
#include "conformance/random.h"
#include "conformance/support/children.h"
#include "conformance/support/events.h"
#include "conformance/support/proc.h"

namespace crucible::testing {
namespace {

constexpr std::size_t kLarge = std::size_t{8} << 20U;
constexpr std::size_t kSmallest = 4096;

TEST_P(NamedPipe, P28_SendingToAProgramThatDoesNotReceiveTimesOut) {
  CRUCIBLE_REQUIRE_DOOR;
  CRUCIBLE_REQUIRE_BOUND;
  for (const std::size_t size : {1UL, 1'000UL, 5'000UL}) {
    auto [peer, end] = meet(kSmallest);
    const std::size_t held = fill(*end, size);
    const Stopwatch waited;
    EXPECT_EQ(end->send_bytes_for(pattern(size, 99), 100ms), Status::kTimeout);
    EXPECT_GE(waited.elapsed(), 100ms);
    EXPECT_EQ(peer->ask("receive " + std::to_string(size) + " 0 " + std::to_string(held)), "Ok");
    peer->tell("receive 7 7 1");
    give(*end, pattern(7, 7));
    EXPECT_EQ(peer->hear(), "Ok") << "what had timed out arrived";
  }
}

TEST_P(NamedPipe, P29_ASendThatTimesOutHalfWayLeavesNothing) {
  CRUCIBLE_REQUIRE_DOOR;
  CRUCIBLE_REQUIRE_BOUND;
  auto [peer, end] = meet();
  for (std::uint64_t round = 0; round < 5; ++round) {
    const Status large = end->send_bytes_for(pattern(kLarge, 1), round == 0 ? 0ms : 20ms);
    if (large == Status::kOk) {
      EXPECT_EQ(peer->ask("receive " + std::to_string(kLarge) + " 1 1"), "Ok");
    }
    peer->tell("receive " + std::to_string(round * 3'000) + " 0 5");
    for (std::uint64_t i = 0; i < 5; ++i) give(*end, pattern(round * 3'000, i));
    EXPECT_EQ(peer->hear(), "Ok");
  }
  (void)end->send_bytes_for(pattern(kLarge, 1), 10ms);
  end.reset();
  const std::string last = peer->ask("look");
  EXPECT_TRUE(last == "Eof" || last == "Ok " + std::to_string(kLarge)) << last;
}

TEST_P(NamedPipe, P30_SendManyKeepsOrderAndBoundaries) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  for (const std::size_t size : {0UL, 10UL, 700UL, 70'000UL}) {
    peer->tell("many " + std::to_string(size) + " 300");
    for (std::uint64_t i = 0; i < 300; ++i) ASSERT_TRUE(same(take(*end), pattern(size, i))) << i;
    EXPECT_EQ(peer->hear(), "Ok 300");
    std::vector<Bytes> messages;
    for (std::uint64_t i = 0; i < 300; ++i) messages.push_back(pattern(size, i));
    const std::vector<ByteView> views(messages.begin(), messages.end());
    peer->tell("receive " + std::to_string(size) + " 0 300");
    std::size_t sent = 0;
    EXPECT_EQ(end->send_many(views, sent), Status::kOk);
    EXPECT_EQ(sent, 300U);
    EXPECT_EQ(peer->hear(), "Ok");
  }
}

TEST_P(NamedPipe, P31_AHalfArrivedMessageIsCompletedLater) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  peer->tell("send " + std::to_string(kLarge) + " 1 1");
  await_blocked(peer->pid());
  peer->kill(SIGSTOP);
  Bytes message;
  const Status first = end->recv_bytes_for(message, 50ms);
  EXPECT_TRUE(first == Status::kOk || first == Status::kTimeout) << to_string(first);
  peer->kill(SIGCONT);
  if (first != Status::kOk) message = take(*end);
  EXPECT_TRUE(same(message, pattern(kLarge, 1)));
  EXPECT_EQ(peer->hear(), "Ok");
  EXPECT_EQ(peer->ask("send 10 2 1"), "Ok");
  EXPECT_TRUE(same(take(*end), pattern(10, 2)));
}

TEST_P(NamedPipe, P33_EveryLengthArrivesExactly) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  peer->tell("echo");
  for (const std::size_t edge : {64UL, 128UL, 4'096UL, 8'192UL, 65'536UL, 131'072UL}) {
    for (std::size_t size = edge - 18; size <= edge + 2; ++size) {
      give(*end, pattern(size, size));
      Bytes buffer(size + 3, std::byte{0x77});
      std::size_t received = 0;
      ASSERT_EQ(end->recv_bytes_into(buffer, received), Status::kOk) << size;
      ASSERT_EQ(received, size);
      EXPECT_TRUE(same(ByteView(buffer).first(size), pattern(size, size)));
      EXPECT_TRUE(same(ByteView(buffer).subspan(size), Bytes(3, std::byte{0x77}))) << "written past " << size;
    }
  }
  end.reset();
  EXPECT_EQ(peer->hear(), "Eof");
}

TEST_P(NamedPipe, P34_SixtyFourMebibytesAreCarriedAndMoreThanTheLimitIsRefused) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  const std::size_t size = std::size_t{64} << 20U;
  peer->tell("echo");
  const Bytes message = pattern(size, 1);
  give(*end, message);
  EXPECT_TRUE(same(take(*end), message));
  std::byte one{};
  EXPECT_EQ(end->send_bytes(ByteView(&one, capabilities().max_message_bytes + 1)), Status::kBadLength);
  give(*end, pattern(10, 2));
  EXPECT_TRUE(same(take(*end), pattern(10, 2)));
  end.reset();
  EXPECT_EQ(peer->hear(), "Eof");
}

TEST_P(NamedPipe, P37_ClosingLosesNothingThatWasSent) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  EXPECT_EQ(peer->ask("send 1000 0 10"), "Ok");  // never received here
  for (std::uint64_t i = 0; i < 10; ++i) give(*end, pattern(1'000, i));
  end.reset();
  EXPECT_EQ(peer->ask("receive 1000 0 10"), "Ok");
  EXPECT_EQ(peer->ask("look"), "Eof");
}

TEST_P(NamedPipe, P47_BothDirectionsAtTheSameTime) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  peer->tell("echo");
  std::thread sender([&end = *end] {
    for (std::uint64_t i = 0; i < 2'000; ++i) give(end, pattern(i * 11 % 9'000, i));
  });
  for (std::uint64_t i = 0; i < 2'000; ++i) ASSERT_TRUE(same(take(*end), pattern(i * 11 % 9'000, i))) << i;
  sender.join();
  end.reset();
  EXPECT_EQ(peer->hear(), "Eof");
}

// The moment of a kill, some time into the traffic.
std::string moment(Random& random) { return std::to_string(random.between(1, 4) * random.between(50, 1'500)); }

constexpr int kKills = 60;

void report(const char* who, std::string_view mechanism, int inside) {
  std::printf("[  kills   ] %s that were started by exec, %.*s: %d of %d survived, %d inside a call\n", who,
              static_cast<int>(mechanism.size()), mechanism.data(), kKills, kKills, inside);
  EXPECT_GE(2 * inside, kKills) << "too few kills struck inside a call";
}

TEST_P(NamedPipe, P42_SendersKilledAtAnyMomentTearNothing) {
  CRUCIBLE_REQUIRE_DOOR;
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  Flood flood;
  int inside = 0;
  for (int round = 0; round < kKills; ++round) {
    auto [peer, end] = meet();
    peer->tell("flood " + moment(random));
    std::uint64_t received = 0;
    Status status = Status::kOk;
    for (Bytes message; (status = end->recv_bytes(message)) == Status::kOk; ++received) {
      ASSERT_TRUE(flood.is(message, received)) << "message " << received;
    }
    EXPECT_TRUE(status == Status::kEof || status == Status::kTruncated) << to_string(status);
    ASSERT_EQ(peer->wait_status(), SIGKILL);
    EXPECT_LE(received, peer->progress().begun);
    if (capabilities().outlives_sender) {
      EXPECT_GE(received, peer->progress().returned);
    }
    EXPECT_EQ(end->send_bytes({}), Status::kBrokenPipe);
    inside += peer->progress().inside() ? 1 : 0;
  }
  report("senders", mechanism().name, inside);
}

TEST_P(NamedPipe, P42_ReceiversKilledAtAnyMomentHangNobody) {
  CRUCIBLE_REQUIRE_DOOR;
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  Flood flood;
  int inside = 0;
  for (int round = 0; round < kKills; ++round) {
    auto [peer, end] = meet();
    peer->tell("drain " + moment(random));
    Status status = Status::kOk;
    for (std::uint64_t i = 0; status == Status::kOk; ++i) status = end->send_bytes(flood.message(i));
    EXPECT_EQ(status, Status::kBrokenPipe);
    EXPECT_EQ(next_status(*end), Status::kEof);
    ASSERT_EQ(peer->wait_status(), SIGKILL);
    EXPECT_EQ(peer->hear(), "") << "it found something else than was sent";
    inside += peer->progress().inside() ? 1 : 0;
  }
  report("receivers", mechanism().name, inside);
}

TEST_P(NamedPipe, P42_ProgramsKilledWhileTheyConnectLeaveTheDoorOpen) {
  CRUCIBLE_REQUIRE_DOOR;
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  const auto listener = context().listen(std::string(mechanism().scheme) + ":");
  for (int round = 0; round < 30; ++round) {
    ExecPeer victim(mechanism().name, listener->address());
    victim.tell("connect 0 " + std::to_string(random.between(1, 600)));
    EXPECT_EQ(victim.wait_status(), SIGKILL);
  }
  ExecPeer good(mechanism().name, listener->address());
  good.tell("connect 0 0");
  EXPECT_EQ(good.hear(), "Ok");
  good.tell("echo");
  // Victims that had come through are there first, and at their end of file; those refused are no connection.
  for (bool served = false; !served;) {
    std::unique_ptr<Connection> end;
    if (listener->accept(end) != Status::kOk || end->send_bytes(text("who?")) != Status::kOk) continue;
    Bytes message;
    served = end->recv_bytes(message) == Status::kOk && as_text(message) == "who?";
  }
}

TEST_P(NamedPipe, P43_AStoppedProgramLosesAndDoublesNothing) {
  CRUCIBLE_REQUIRE_DOOR;
  auto [peer, end] = meet();
  peer->tell("send 5000 0 3000");
  for (std::uint64_t i = 0; i < 100; ++i) ASSERT_TRUE(same(take(*end), pattern(5'000, i)));
  peer->kill(SIGSTOP);
  std::uint64_t received = 100;
  for (Bytes message; end->recv_bytes_for(message, 1s) == Status::kOk; ++received) {
    ASSERT_TRUE(same(message, pattern(5'000, received)));
  }
  peer->kill(SIGCONT);
  for (; received < 3'000; ++received) ASSERT_TRUE(same(take(*end), pattern(5'000, received)));
  EXPECT_EQ(peer->hear(), "Ok");
  EXPECT_FALSE(end->poll());
}

TEST_P(NamedPipe, P45_AHundredProgramsOneAfterTheOtherLeaveNothingBehind) {
  CRUCIBLE_REQUIRE_DOOR;
  const auto listener = context().listen(std::string(mechanism().scheme) + ":");
  const std::size_t before = proc::list_directory("/proc/self/fd").size();
  for (int i = 0; i < 100; ++i) {
    ExecPeer peer(mechanism().name, listener->address());
    peer.tell("connect 0 0");
    std::unique_ptr<Connection> end;
    ASSERT_EQ(listener->accept(end), Status::kOk);
    EXPECT_EQ(peer.hear(), "Ok");
    EXPECT_EQ(peer.ask("send 100 1 1"), "Ok");
    EXPECT_TRUE(same(take(*end), pattern(100, 1)));
  }
  EXPECT_EQ(proc::list_directory("/proc/self/fd").size(), before);
}

}  // namespace
}  // namespace crucible::testing
