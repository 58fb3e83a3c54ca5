// Clauses P17 to P20: ends and descriptors that are handed on.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "api/connection.h"
#include "conformance/pipe_support.h"
#include "conformance/support/peer.h"
#include "conformance/support/resources.h"
#include "core/fd.h"

namespace crucible::testing {
namespace {

TEST_P(Pipe, P17_TheChildsCopySurvivesTheParentsClose) {
  auto [here, there] = pipe();
  Peer child([&end = *there, &here = here] {
    here.reset();
    echo(end);
  });
  there->close();
  give(*here, text("still there"));
  EXPECT_EQ(as_text(take(*here)), "still there");
  here.reset();
  child.join();
}

TEST_P(Pipe, P18_EndOfFileNeedsEveryCopyGone) {
  auto [here, there] = pipe();
  Peer child([&end = *there] {
    give(end, text("last words"));
    end.close();
  });
  child.join();
  EXPECT_EQ(as_text(take(*here)), "last words");
  EXPECT_FALSE(here->poll_for(300ms));
  give(*here, text("somebody could still read this"));
  there.reset();
  EXPECT_EQ(next_status(*here), Status::kEof);
}

TEST_P(Pipe, P19_EndsHandedOnWorkWhereTheyArrive) {
  auto [reader, to_reader] = simplex();
  auto [from_writer, writer] = simplex();
  Peer child(
      [in = std::move(reader), out = std::move(writer), &to_reader = to_reader, &from_writer = from_writer]() mutable {
        to_reader.reset();
        from_writer.reset();
        Peer grandchild([in = std::move(in), out = std::move(out)] {
          EXPECT_TRUE(in->readable() && !in->writable() && out->writable() && !out->readable());
          for (Bytes message; in->recv_bytes(message) == Status::kOk;) give(*out, message);
        });
        grandchild.join();
      });
  give(*to_reader, pattern(50'000, 1));
  EXPECT_TRUE(same(take(*from_writer), pattern(50'000, 1)));
  to_reader.reset();
  EXPECT_EQ(next_status(*from_writer), Status::kEof);
  child.join();
}

TEST_P(Pipe, P20_DescriptorsArePassed) {
  CRUCIBLE_REQUIRE(passes_descriptors);
  auto [here, there] = pipe();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  constexpr int kHigh = 300;
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  Fd high(::fcntl(writer.get(), F_DUPFD_CLOEXEC, kHigh));
  ASSERT_GE(high.get(), kHigh);
  Peer child([end = std::move(there)] {
    for (int i = 0; i < 2; ++i) {
      int descriptor = -1;
      ASSERT_EQ(end->recv_descriptor(descriptor), Status::kOk);
      const Fd got(descriptor);
      EXPECT_NE(::fcntl(got.get(), F_GETFD) & FD_CLOEXEC, 0);
      EXPECT_EQ(::write(got.get(), "x", 1), 1);
    }
    int none = -1;
    EXPECT_EQ(end->recv_descriptor(none), Status::kBadArgument);
    EXPECT_EQ(as_text(take(*end)), "plain");
  });
  EXPECT_EQ(here->send_descriptor(-1), Status::kBadArgument);
  EXPECT_EQ(here->send_descriptor(writer.get()), Status::kOk);
  EXPECT_EQ(here->send_descriptor(high.get()), Status::kOk);
  give(*here, text("plain"));
  writer.reset();
  high.reset();
  child.join();
  char bytes[3];
  EXPECT_EQ(::read(reader.get(), bytes, 3), 2);
}

TEST_P(Pipe, P20_PlainReceivesCloseTheDescriptorsOfAMessage) {
  CRUCIBLE_REQUIRE(passes_descriptors);
  auto [here, there] = pipe();
  const std::size_t before = open_descriptors();
  const int several[] = {STDERR_FILENO, STDERR_FILENO, STDERR_FILENO};
  EXPECT_EQ(here->send_descriptors(several, text("three")), Status::kOk);
  EXPECT_EQ(here->send_descriptors(several, text("and three")), Status::kOk);
  EXPECT_EQ(as_text(take(*there)), "three");
  std::vector<int> received;
  Bytes message;
  EXPECT_EQ(there->recv_descriptors(received, message), Status::kOk);
  EXPECT_EQ(as_text(message), "and three");
  EXPECT_EQ(received.size(), 3U);
  for (const int descriptor : received) ::close(descriptor);
  EXPECT_EQ(there->recv_descriptors(received, message, Deadline::immediate()), Status::kTimeout);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_P(Pipe, P20_WhatCannotBePassedIsRefused) {
  CRUCIBLE_REQUIRE(passes_descriptors);
  auto [here, there] = pipe();
  const std::vector<int> too_many(Connection::kMostDescriptors + 1, STDERR_FILENO);
  EXPECT_EQ(here->send_descriptors(too_many, {}), Status::kBadArgument);
  EXPECT_EQ(here->send_descriptors({}, text("none")), Status::kBadArgument);
  const int one[] = {STDERR_FILENO};
  EXPECT_EQ(here->send_descriptors(one, Bytes(Connection::kDescriptorMessage + 1)), Status::kBadArgument);
  int not_open = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
  ::close(not_open);
  EXPECT_EQ(here->send_descriptor(not_open), Status::kBadArgument);
  EXPECT_FALSE(there->poll());
  here->close();
  EXPECT_EQ(there->recv_descriptor(not_open), Status::kEof);
  EXPECT_EQ(there->send_descriptor(STDERR_FILENO), Status::kBrokenPipe);
}

}  // namespace
}  // namespace crucible::testing
