// Clauses P42, P43 and H30: peers that are killed or stopped at any instruction.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "api/connection.h"
#include "conformance/pipe_support.h"
#include "conformance/random.h"
#include "conformance/stamp.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class PipeKill : public MechanismTest {};

void send_until_dead(Connection& end, Victim& victim, std::uint32_t writer, std::chrono::nanoseconds when) {
  std::vector<Bytes> messages;
  for (std::uint64_t i = 0; i < 24; ++i) messages.push_back(stamped(writer, i, traffic_size(i)));
  const SignalTimer death(SIGKILL, when);
  for (std::uint64_t sequence = 0;; ++sequence) {
    Bytes& message = messages[sequence % messages.size()];
    restamp(message, sequence);
    ++victim.begun;
    const Status status = sequence % 5 == 4 ? end.send_bytes_for(message, 1h) : end.send_bytes(message);
    ++victim.returned;
    ASSERT_EQ(status, Status::kOk);
  }
}

TEST_P(PipeKill, P42_ReceiversSurviveTheDeathOfTheirSender) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  Score score;
  for (std::uint32_t round = 0; round < 120; ++round) {
    auto [here, there] = pipe();
    const SharedBox<Victim> victim;
    const auto when = moment(random);
    Peer child([end = std::move(there), &here = here, &victim, when, round] {
      here.reset();
      send_until_dead(*end, *victim, round, when);
    });
    std::uint64_t received = 0;
    Bytes message;
    Status status = Status::kOk;
    while ((status = here->recv_bytes(message)) == Status::kOk) {
      const std::optional<Stamp> stamp = read_whole(message);
      ASSERT_TRUE(stamp) << "torn after " << received;
      ASSERT_EQ(stamp->writer, round);
      ASSERT_EQ(stamp->sequence, received) << "lost or doubled";
      ++received;
    }
    EXPECT_TRUE(status == Status::kEof || status == Status::kTruncated) << to_string(status);
    EXPECT_EQ(next_status(*here), Status::kEof);
    EXPECT_EQ(here->send_bytes(message), Status::kBrokenPipe);
    ASSERT_EQ(child.wait_status(), SIGKILL);
    EXPECT_LE(received, victim->begun);
    if (capabilities().outlives_sender) {
      EXPECT_GE(received, victim->returned) << "a send that returned";
    }
    score.count(victim->inside());
  }
  score.report("senders", mechanism().name);
}

TEST_P(PipeKill, P42_SendersSurviveTheDeathOfTheirReceiver) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  Score score;
  std::vector<Bytes> messages;
  for (std::uint64_t i = 0; i < 24; ++i) messages.push_back(stamped(0, i, traffic_size(i)));
  for (std::uint32_t round = 0; round < 120; ++round) {
    auto [here, there] = pipe();
    const SharedBox<Victim> victim;
    const auto when = moment(random);
    Peer child([end = std::move(there), &here = here, &victim, when] {
      here.reset();
      Bytes message;
      Bytes buffer(5'000);
      const SignalTimer death(SIGKILL, when);
      for (std::uint64_t sequence = 0;; ++sequence) {
        std::size_t length = 0;
        ++victim->begun;
        const Status status = sequence % 3 == 0 ? end->recv_bytes(message)
                                                : end->recv_bytes_into(buffer, length, Deadline::never(), &message);
        ++victim->returned;
        ASSERT_TRUE(status == Status::kOk || status == Status::kTooShort) << to_string(status);
        const bool is_in_buffer = sequence % 3 != 0 && status == Status::kOk;
        const ByteView got = is_in_buffer ? ByteView(buffer).first(length) : ByteView(message);
        ASSERT_EQ(got.size(), sizeof(Stamp) + traffic_size(sequence % 24));
        if (sequence % 7 == 0) {
          ASSERT_TRUE(read_whole(got)) << "torn at " << sequence;
        }
      }
    });
    Status status = Status::kOk;
    for (std::uint64_t sequence = 0; status == Status::kOk; ++sequence) {
      const Bytes& message = messages[sequence % messages.size()];
      status = sequence % 5 == 4 ? here->send_bytes_for(message, 1h) : here->send_bytes(message);
    }
    EXPECT_EQ(status, Status::kBrokenPipe);
    EXPECT_EQ(here->send_bytes(messages[1]), Status::kBrokenPipe);
    EXPECT_EQ(next_status(*here), Status::kEof);
    ASSERT_EQ(child.wait_status(), SIGKILL);
    score.count(victim->inside());
  }
  score.report("receivers", mechanism().name);
}

// The one who lives on holds the other end from before; nothing of the pair may be left when it lets go.
TEST_P(PipeKill, P42_DeathsInSetupAndTeardownLeaveNothing) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  Score score;
  for (int round = 0; round < 60; ++round) {
    auto [here, there] = pipe();
    const SharedBox<Victim> victim;
    const auto when = moment(random);
    Peer child([end = std::move(there), &here = here, &victim, when]() mutable {
      here.reset();
      const SignalTimer death(SIGKILL, when);
      for (;;) {
        ++victim->begun;
        {
          auto [mine, yours] = pipe();
          give(*mine, as_bytes("x"));
          EXPECT_EQ(take(*yours).size(), 1U);
        }
        ++victim->returned;
      }
    });
    EXPECT_EQ(next_status(*here), Status::kEof);
    ASSERT_EQ(child.wait_status(), SIGKILL);
    score.count(victim->inside());
  }
  score.report("in setup and teardown", mechanism().name);
}

TEST_P(PipeKill, P42_ADeathWhileTheOtherSideClosesHarmsNobody) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  for (int round = 0; round < 40; ++round) {
    auto [here, there] = pipe();
    const auto when = moment(random);
    Peer child([end = std::move(there), &here = here, when] {
      here.reset();
      const SignalTimer death(SIGKILL, when);
      for (Bytes message = stamped(0, 0, 3'000); end->send_bytes(message) == Status::kOk;) {
      }
      for (;;) ::pause();
    });
    for (std::size_t i = random.between(0, 50); i > 0; --i) {
      Bytes message;
      if (here->recv_bytes(message) != Status::kOk) break;
      ASSERT_TRUE(read_whole(message));
    }
    here->close();
    ASSERT_EQ(child.wait_status(), SIGKILL);
  }
}

// By somebody else, so that a receive or send that the stop holds up is over then too.
Peer continue_after_a_second(pid_t stopped) {
  return Peer([stopped] {
    Event never;
    EXPECT_FALSE(never.wait_for(1s));
    EXPECT_EQ(::kill(stopped, SIGCONT), 0);
  });
}

TEST_P(PipeKill, P43_AStoppedSenderLosesAndDoublesNothing) {
  auto [here, there] = pipe();
  constexpr std::uint64_t kMessages = 3'000;
  Peer child([end = std::move(there), &here = here] {
    here.reset();
    for (std::uint64_t i = 0; i < kMessages; ++i) give(*end, stamped(1, i, traffic_size(i)));
  });
  std::uint64_t received = 0;
  Bytes message;
  const auto check = [&] {
    const std::optional<Stamp> stamp = read_whole(message);
    ASSERT_TRUE(stamp);
    ASSERT_EQ(stamp->sequence, received);
    ++received;
  };
  while (received < kMessages / 3 && here->recv_bytes(message) == Status::kOk) check();
  ASSERT_EQ(::kill(child.pid(), SIGSTOP), 0);
  EXPECT_LT(received, kMessages) << "it was not stopped in the middle";
  Peer nurse = continue_after_a_second(child.pid());
  for (Status status = Status::kTimeout; status == Status::kTimeout;) {
    while ((status = here->recv_bytes_for(message, 300ms)) == Status::kOk) check();
  }
  EXPECT_EQ(received, kMessages);
  nurse.join();
  child.join();
}

TEST_P(PipeKill, P43_AStoppedReceiverLosesAndDoublesNothing) {
  CRUCIBLE_REQUIRE_BOUND;
  auto [here, there] = pipe();
  const SharedBox<std::atomic<std::uint64_t>> sent{0U};
  Peer child([end = std::move(there), &here = here, &sent] {
    here.reset();
    Bytes message;
    std::uint64_t received = 0;
    while (end->recv_bytes(message) == Status::kOk) {
      const std::optional<Stamp> stamp = read_whole(message);
      ASSERT_TRUE(stamp);
      ASSERT_EQ(stamp->sequence, received++);
    }
    EXPECT_EQ(received, *sent);
  });
  std::uint64_t sequence = 0;
  for (; sequence < 500; ++sequence) give(*here, stamped(1, sequence, traffic_size(sequence)));
  ASSERT_EQ(::kill(child.pid(), SIGSTOP), 0);
  Peer nurse = continue_after_a_second(child.pid());
  while (sequence < 1'000 && here->send_bytes_for(stamped(1, sequence, traffic_size(sequence)), 300ms) == Status::kOk) {
    ++sequence;
  }
  nurse.join();
  for (const std::uint64_t end = sequence + 500; sequence < end; ++sequence) {
    give(*here, stamped(1, sequence, traffic_size(sequence)));
  }
  *sent = sequence;
  here.reset();
  child.join();
}

TEST_P(PipeKill, H30_SeveralWritersMayShareAnEnd) {
  CRUCIBLE_REQUIRE(multi_writer);
  auto [here, there] = pipe();
  constexpr std::uint32_t kWriters = 4;
  constexpr std::uint64_t kMessages = 300;
  std::vector<std::unique_ptr<Peer>> writers;
  for (std::uint32_t writer = 0; writer < kWriters; ++writer) {
    writers.push_back(std::make_unique<Peer>([&end = *there, &here = here, writer] {
      here.reset();
      for (std::uint64_t i = 0; i < kMessages; ++i) {
        give(end, stamped(writer, i, i % 60 == 59 ? 1'000'000 : traffic_size(i + writer)));
      }
    }));
  }
  there.reset();
  std::vector<std::uint64_t> next(kWriters, 0);
  for (Bytes message; here->recv_bytes(message) == Status::kOk;) {
    const std::optional<Stamp> stamp = read_whole(message);
    ASSERT_TRUE(stamp) << "messages of two writers were mixed";
    ASSERT_EQ(stamp->sequence, next.at(stamp->writer)++);
  }
  EXPECT_EQ(next, std::vector<std::uint64_t>(kWriters, kMessages));
  for (const auto& writer : writers) writer->join();
}

}  // namespace

CRUCIBLE_INSTANTIATE(PipeKill);

}  // namespace crucible::testing
