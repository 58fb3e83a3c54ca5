// Clauses P50 and P51: ends that come to processes which have not inherited them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/mechanism.h"
#include "conformance/pipe_support.h"
#include "conformance/support/peer.h"
#include "conformance/support/resources.h"
#include "core/fd.h"

namespace crucible::testing {
namespace {

class PipeTransfer : public Pipe {
 protected:
  /// A connection that carries ends.
  static ConnectionPair carrier() { return crucible::context("unix_socket").pipe(); }
};

// What it can do as its direction says, with a peer that does the same.
void exercise(Connection& end, std::uint64_t seed_to_send, std::uint64_t seed_to_receive) {
  if (end.writable()) {
    for (const std::size_t size : {0UL, 10UL, 3'000UL, 100'000UL}) give(end, pattern(size, seed_to_send));
  } else {
    EXPECT_EQ(end.send_bytes({}), Status::kWrongDirection);
  }
  if (end.readable()) {
    for (const std::size_t size : {0UL, 10UL, 3'000UL, 100'000UL}) {
      EXPECT_TRUE(same(take(end), pattern(size, seed_to_receive))) << size;
    }
  } else {
    EXPECT_EQ(next_status(end), Status::kWrongDirection);
  }
}

// Takes ends from `from` until there are no more, and uses each.
void use_all(Connection& from) {
  std::unique_ptr<Connection> end;
  while (recv_connection(from, end) == Status::kOk) {
    exercise(*end, 1, 2);
    end.reset();
    give(from, text("next"));
  }
}

void pass_and_use(Connection& through, std::unique_ptr<Connection> given, Connection& kept) {
  ASSERT_EQ(send_connection(through, *given), Status::kOk);
  given.reset();
  exercise(kept, 2, 1);
  if (kept.readable()) {
    EXPECT_EQ(next_status(kept), Status::kEof);
  }
  EXPECT_EQ(as_text(take(through)), "next");
}

TEST_P(PipeTransfer, P50_EndsOfEveryKindAreSentThroughAConnection) {
  CRUCIBLE_REQUIRE(passes_descriptors);
  auto [here, there] = pipe();
  Peer receiver([&here = here, end = std::move(there)] {
    here.reset();
    use_all(*end);
  });
  for (const Mechanism& other : mechanisms()) {
    if (!other.pipe.transferable) continue;
    for (const bool duplex : {true, false}) {
      SCOPED_TRACE(std::string(other.name) + (duplex ? ", duplex" : ", simplex"));
      auto [first, second] = other.make_pipe({.duplex = duplex});
      pass_and_use(*here, std::move(first), *second);
      auto [third, fourth] = other.make_pipe({.duplex = duplex});
      pass_and_use(*here, std::move(fourth), *third);
    }
  }
  here->close();
  receiver.join();
}

TEST_P(PipeTransfer, P50_WhatIsNoEndIsRefused) {
  CRUCIBLE_REQUIRE(passes_descriptors);
  auto [here, there] = pipe();
  const std::size_t before = open_descriptors();
  std::unique_ptr<Connection> none;
  EXPECT_EQ(here->send_descriptors({{STDERR_FILENO}}, text("no end")), Status::kOk);
  EXPECT_EQ(recv_connection(*there, none), Status::kBadArgument);
  const Encoded stranger = encode(std::tuple(std::string("carrier_pigeon"), Bytes()));
  EXPECT_EQ(here->send_descriptors({{STDERR_FILENO}}, stranger.view()), Status::kOk);
  EXPECT_EQ(recv_connection(*there, none), Status::kBadArgument);
  give(*here, text("plain"));
  EXPECT_EQ(recv_connection(*there, none), Status::kBadArgument);
  EXPECT_EQ(as_text(take(*there)), "plain");
  EXPECT_EQ(none, nullptr);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_P(PipeTransfer, P51_AHandleMakesAnEndInAnotherProcess) {
  CRUCIBLE_REQUIRE(transferable);
  auto [here, there] = carrier();
  Peer receiver([&here = here, end = std::move(there)] {  // before there is anything to inherit
    here.reset();
    use_all(*end);
  });
  for (const bool duplex : {true, false}) {
    for (const bool gives_first : {true, false}) {
      auto [first, second] = pipe({.duplex = duplex});
      Connection& kept = gives_first ? *second : *first;
      pass_and_use(*here, std::move(gives_first ? first : second), kept);
    }
  }
  here->close();
  receiver.join();
}

// With descriptors of its own, as they come out of a socket.
Handle duplicate(const Connection& end) {
  Handle handle = end.handle();
  for (int& descriptor : handle.descriptors) descriptor = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  return handle;
}

void close_all(const Handle& handle) {
  for (const int descriptor : handle.descriptors) EXPECT_EQ(::close(descriptor), 0) << "was taken over";
}

TEST_P(PipeTransfer, P51_TheNewEndTakesTheOldOnesPlace) {
  CRUCIBLE_REQUIRE(transferable);
  auto [here, there] = pipe();
  for (std::uint64_t i = 0; i < 10; ++i) give(*there, pattern(i * 50, i));
  for (std::uint64_t i = 0; i < 10; ++i) {
    EXPECT_TRUE(same(take(*here), pattern(i * 50, i)));
    here = mechanism().adopt(duplicate(*here));
    give(*here, pattern(500 - i * 50, i));
  }
  for (std::uint64_t i = 0; i < 10; ++i) {
    there = mechanism().adopt(duplicate(*there));
    EXPECT_TRUE(same(take(*there), pattern(500 - i * 50, i)));
  }
  here.reset();
  EXPECT_EQ(next_status(*there), Status::kEof);
  EXPECT_EQ(there->send_bytes(text("nobody")), Status::kBrokenPipe);
}

// Of a process that ends the kernel closes one descriptor after another.
TEST_P(PipeTransfer, P8_WhoSawTheEndOfFileCannotSendEither) {
  CRUCIBLE_REQUIRE(transferable);
  const std::size_t descriptors = pipe().first->handle().descriptors.size();
  for (std::size_t i = 0; i < descriptors; ++i) {
    auto [here, there] = pipe();
    Fd still_open(::fcntl(there->handle().descriptors[i], F_DUPFD_CLOEXEC, 0));
    there.reset();
    Bytes message;
    if (here->try_recv_bytes(message) != Status::kEof) {
      still_open.reset();
      EXPECT_EQ(next_status(*here), Status::kEof) << i;
    }
    EXPECT_EQ(here->send_bytes(text("nobody")), Status::kBrokenPipe) << i;
    const std::vector<ByteView> two(2);
    std::size_t sent = 99;
    EXPECT_EQ(here->send_many(two, sent), Status::kBrokenPipe) << i;
    EXPECT_EQ(sent, 0U);
  }
}

TEST_P(PipeTransfer, P51_StatesAndNumbersThatNoEndHasAreRefused) {
  CRUCIBLE_REQUIRE(transferable);
  auto [here, there] = pipe();
  const auto expect_refused = [](const Handle& handle) {
    EXPECT_THROW((void)mechanism().adopt(handle), BadArgument);
    close_all(handle);
  };
  Handle longer = duplicate(*here);
  longer.state.push_back(std::byte{0});
  expect_refused(longer);
  Handle shorter = duplicate(*here);
  shorter.state.pop_back();
  expect_refused(shorter);
  Handle nonsense = duplicate(*here);
  std::ranges::fill(nonsense.state, std::byte{0xff});
  expect_refused(nonsense);
  Handle more = duplicate(*here);
  more.descriptors.push_back(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0));
  expect_refused(more);
  Handle fewer = duplicate(*here);
  ::close(fewer.descriptors.back());
  fewer.descriptors.pop_back();
  expect_refused(fewer);
  give(*here, text("unharmed"));
  EXPECT_EQ(as_text(take(*there)), "unharmed");
}

// A peer that could still truncate it would raise SIGBUS here.
TEST_P(PipeTransfer, P51_SharedMemoryThatCouldShrinkIsRefused) {
  CRUCIBLE_REQUIRE(transferable);
  auto [here, there] = pipe();
  const Handle handle = here->handle();
  for (std::size_t i = 0; i < handle.descriptors.size(); ++i) {
    if (::fcntl(handle.descriptors[i], F_GET_SEALS) < 0) continue;  // no memory
    struct stat facts = {};
    ASSERT_EQ(::fstat(handle.descriptors[i], &facts), 0);
    for (const off_t size : {facts.st_size, off_t{0}}) {
      Handle forged = duplicate(*here);
      Fd memory(::memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING));
      ASSERT_EQ(::ftruncate(memory.get(), size), 0);
      if (size == 0) {  // sealed, and too small
        ASSERT_EQ(::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
      }
      ::close(forged.descriptors[i]);
      forged.descriptors[i] = memory.release();
      EXPECT_THROW((void)mechanism().adopt(forged), BadArgument);
      close_all(forged);
    }
  }
}

TEST_P(PipeTransfer, P51_AClosedEndHasNoHandle) {
  CRUCIBLE_REQUIRE(transferable);
  auto [here, there] = pipe();
  here->close();
  EXPECT_THROW((void)here->handle(), Closed);
}

}  // namespace

CRUCIBLE_INSTANTIATE(PipeTransfer);

}  // namespace crucible::testing
