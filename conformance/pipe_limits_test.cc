// Clauses P33 to P39 and H33: sizes and storage, closing while in use, objects.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/connection.h"
#include "api/object.h"
#include "conformance/pipe_support.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "core/wait.h"

namespace crucible::testing {
namespace {

constexpr std::size_t kLarge = std::size_t{8} << 20U;
constexpr PipeOptions kSmallest = {.duplex = true, .capacity_bytes = 4096};

TEST_P(Pipe, P33_EveryLengthArrivesExactly) {
  auto [here, there] = pipe();
  std::vector<std::size_t> sizes = {0, 1, 16U << 20U, (16U << 20U) + 1};
  for (const std::size_t edge : {64UL, 128UL, 256UL, 1'024UL, 4'096UL, 8'192UL, 65'536UL, 131'072UL, 262'144UL}) {
    for (std::size_t size = edge - 18; size <= edge + 2; ++size) sizes.push_back(size);
  }
  Peer child([end = std::move(there), &sizes] {
    for (const std::size_t size : sizes) {
      const Bytes message = take(*end);
      EXPECT_TRUE(same(message, pattern(size, size)));
      give(*end, message);
    }
  });
  for (const std::size_t size : sizes) {
    give(*here, pattern(size, size));
    Bytes buffer(size + 3, std::byte{0x77});
    std::size_t received = 0;
    ASSERT_EQ(here->recv_bytes_into(buffer, received), Status::kOk) << size;
    ASSERT_EQ(received, size);
    EXPECT_TRUE(same(ByteView(buffer).first(size), pattern(size, size)));
    EXPECT_TRUE(same(ByteView(buffer).subspan(size), Bytes(3, std::byte{0x77}))) << "written past " << size;
  }
  child.join();
}

// What one message leaves behind in the sender's and receiver's books must fit any next one.
TEST_P(Pipe, P33_SizesMayFollowEachOtherInAnyOrder) {
  constexpr std::size_t kSizes[] = {0, 1, 50, 4'070, 4'090, 8'000, 70'000};
  std::vector<Bytes> messages;
  for (const std::size_t first : kSizes) {
    for (const std::size_t second : kSizes) {
      for (const std::size_t third : kSizes) {
        for (const std::size_t size : {first, second, third}) messages.push_back(pattern(size, messages.size()));
      }
    }
  }
  for (int form = 0; form < 3; ++form) {
    auto [here, there] = pipe();
    Peer child([end = std::move(there), &here = here, &messages] {
      here.reset();
      for (const Bytes& message : messages) ASSERT_TRUE(same(take(*end), message));
    });
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const ByteView view = messages[i];
      std::size_t sent = 0;
      Status status = Status::kOk;
      if (form == 0) status = here->send_bytes(view);
      if (form == 1) status = here->send_bytes_for(view, 1h);
      if (form == 2) status = here->send_many({&view, 1}, sent, i % 2 == 0 ? Deadline::never() : Deadline::after(1h));
      ASSERT_EQ(status, Status::kOk);
    }
    child.join();
  }
}

// The memory of the message does not exist: it must be refused before it is touched.
TEST_P(Pipe, P34_LongerThanTheDeclaredLimitIsRefusedAtOnce) {
  const std::uint64_t limit = capabilities().max_message_bytes;
  EXPECT_GE(limit, std::uint64_t{1} << 30U) << "at least 1 GiB is promised";
  auto [here, there] = pipe();
  std::byte one{};
  for (const std::uint64_t length : {limit + 1, std::uint64_t{1} << 62U}) {
    const ByteView fabricated(&one, length);
    std::size_t sent = 99;
    EXPECT_EQ(here->send_bytes(fabricated), Status::kBadLength);
    EXPECT_EQ(here->try_send_bytes(fabricated), Status::kBadLength);
    const std::array<ByteView, 3> mixed = {ByteView(&one, 1), fabricated, ByteView(&one, 1)};
    EXPECT_EQ(here->send_many(mixed, sent), Status::kBadLength);
    EXPECT_EQ(sent, 1U);
    EXPECT_EQ(take(*there).size(), 1U);
  }
  give(*here, text("next"));
  EXPECT_EQ(as_text(take(*there)), "next");
}

TEST_P(Pipe, H33_MessagesOfMoreThanTwoGibibytesArrive) {
  const char* huge = std::getenv("CRUCIBLE_HUGE");
  if (huge == nullptr) GTEST_SKIP() << "needs 5 GiB of memory: set CRUCIBLE_HUGE=1";
  for (const std::uint64_t size : {(std::uint64_t{1} << 31U) - 1, (std::uint64_t{1} << 31U) + 1}) {
    if (size > capabilities().max_message_bytes) continue;
    auto [here, there] = pipe();
    Peer child([end = std::move(there), size] {
      Bytes message(size);
      message[size / 2] = message[size - 1] = std::byte{0x42};
      give(*end, message);
    });
    const Bytes message = take(*here);
    ASSERT_EQ(message.size(), size);
    EXPECT_EQ(message[size / 2], std::byte{0x42});
    EXPECT_EQ(message[size - 1], std::byte{0x42});
    child.join();
  }
}

TEST_P(Pipe, P35_TheDeclaredStorageIsHeldWhileNobodyReceives) {
  const std::size_t storage = capabilities().storage_bytes;
  ASSERT_GT(storage, 0U) << "every mechanism so far declares some";
  for (const std::size_t size : {1'024UL, 4'096UL, storage}) {
    if (size > storage) continue;
    auto [here, there] = pipe();
    const std::size_t count = storage / size;
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(here->try_send_bytes(pattern(size, i)), Status::kOk) << "at " << i * size << " of " << storage;
      ASSERT_EQ(there->try_send_bytes(pattern(size, i)), Status::kOk) << "at " << i * size << " of " << storage;
    }
    expect_filled(*there, size, count);
    expect_filled(*here, size, count);
  }
}

TEST_P(Pipe, P35_ACapacityAskedForIsHonouredOrRefused) {
  for (const std::size_t capacity : {std::size_t{1}, std::size_t{4'096}, std::size_t{100'000}, std::size_t{1} << 20U}) {
    auto [here, there] = pipe({.duplex = true, .capacity_bytes = capacity});
    const std::size_t size = std::min<std::size_t>(capacity, 1'024);
    // Frames and the kernel's book-keeping take their share; half is ours.
    const std::size_t count = std::max<std::size_t>(1, capacity / size / 2);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(here->try_send_bytes(pattern(size, i)), Status::kOk) << "at " << i * size << " of " << capacity;
    }
    expect_filled(*there, size, count);
  }
  EXPECT_THROW((void)pipe({.duplex = true, .capacity_bytes = std::numeric_limits<std::size_t>::max()}), BadArgument);
}

// Runs `call` in a thread, and close() in this one once the thread is blocked.
template <class Call>
Status close_while_blocked(Connection& end, Call call) {
  Event begun;
  std::atomic<pid_t> tid = 0;
  Status status = Status::kOk;
  std::thread user([&] {
    tid = thread_id();
    begun.set();
    status = call();
  });
  begun.wait();
  await_blocked(::getpid(), tid);
  end.close();
  user.join();
  return status;
}

TEST_P(Pipe, P36_CloseWakesABlockedReceiver) {
  for (int round = 0; round < 20; ++round) {
    auto [here, there] = pipe();
    Connection& end = *here;
    EXPECT_EQ(close_while_blocked(end, [&end] { return next_status(end); }), Status::kClosed);
    EXPECT_EQ(there->send_bytes(text("x")), Status::kBrokenPipe);
  }
}

TEST_P(Pipe, P36_CloseWakesEveryFormOfWaiting) {
  std::vector<std::unique_ptr<Connection>> others;
  const auto fresh = [&others]() -> std::unique_ptr<Connection> {
    auto [mine, other] = pipe();
    others.push_back(std::move(other));
    return std::move(mine);
  };
  const auto receive_for = fresh();
  EXPECT_EQ(close_while_blocked(*receive_for,
                                [&] {
                                  Bytes m;
                                  return receive_for->recv_bytes_for(m, 1h);
                                }),
            Status::kClosed);
  const auto into = fresh();
  EXPECT_EQ(close_while_blocked(*into,
                                [&] {
                                  std::size_t n = 0;
                                  return into->recv_bytes_into({}, n);
                                }),
            Status::kClosed);
  const auto readable = fresh();
  EXPECT_EQ(close_while_blocked(*readable, [&] { return readable->wait_readable(); }), Status::kClosed);
  const auto readable_until = fresh();
  EXPECT_EQ(close_while_blocked(*readable_until, [&] { return readable_until->wait_readable(Deadline::after(1h)); }),
            Status::kClosed);
}

TEST_P(Pipe, P36_CloseWakesWait) {
  auto [here, there] = pipe();
  auto [idle, other] = pipe();
  Connection& end = *here;
  const Status status = close_while_blocked(end, [&end, &idle = *idle] {
    try {
      (void)wait({idle, end});
      return Status::kOk;
    } catch (const Closed&) {
      return Status::kClosed;
    }
  });
  EXPECT_EQ(status, Status::kClosed);
  give(*other, text("unharmed"));
  EXPECT_EQ(as_text(take(*idle)), "unharmed");
}

TEST_P(Pipe, P36_CloseWakesABlockedSender) {
  CRUCIBLE_REQUIRE_BOUND;
  for (const std::size_t size : {10UL, 5'000UL, kLarge}) {
    for (const Deadline deadline : {Deadline::never(), Deadline::after(1h)}) {
      auto [here, there] = pipe(kSmallest);
      Connection& end = *here;
      const Status status = close_while_blocked(end, [&end, size, deadline] {
        Status sent = Status::kOk;
        while (sent == Status::kOk) sent = end.send_bytes(pattern(size, 1), deadline);
        return sent;
      });
      EXPECT_EQ(status, Status::kClosed) << size;
    }
  }
}

TEST_P(Pipe, P36_CloseWakesBothDirectionsAtOnce) {
  CRUCIBLE_REQUIRE_BOUND;
  auto [here, there] = pipe(kSmallest);
  Connection& end = *here;
  Status received = Status::kOk;
  std::atomic<pid_t> tid = 0;
  Event begun;
  std::thread receiver([&] {
    tid = thread_id();
    begun.set();
    received = next_status(end);
  });
  begun.wait();
  await_blocked(::getpid(), tid);
  const Status sent = close_while_blocked(end, [&end] {
    Status status = Status::kOk;
    while (status == Status::kOk) status = end.send_bytes(Bytes(100'000));
    return status;
  });
  EXPECT_EQ(sent, Status::kClosed);
  receiver.join();
  EXPECT_EQ(received, Status::kClosed);
}

// The forked process's only thread has another id than the one that it was copied from.
TEST_P(Pipe, P36_CloseWakesTheFirstThreadOfAForkedChild) {
  CRUCIBLE_REQUIRE(hands_over);
  auto [here, there] = pipe();
  give(*here, text("used before the fork"));
  give(*there, text("used before the fork"));
  EXPECT_EQ(as_text(take(*here)), "used before the fork");
  Peer child([&end = *here] {
    std::thread closer([&end, user = thread_id()] {
      await_blocked(::getpid(), user);
      end.close();
    });
    EXPECT_EQ(next_status(end), Status::kClosed);
    closer.join();
  });
  child.join();
  give(*here, text("the parent's copy is open"));
}

TEST_P(Pipe, P37_CloseLosesNothingThatWasSent) {
  auto [here, there] = pipe();
  for (std::size_t i = 0; i < 20; ++i) give(*here, pattern(i * 50, i));
  give(*there, text("never read by the one who closes"));
  here->close();
  for (std::size_t i = 0; i < 20; ++i) EXPECT_TRUE(same(take(*there), pattern(i * 50, i)));
  EXPECT_EQ(next_status(*there), Status::kEof);
  EXPECT_EQ(there->send_bytes(text("x")), Status::kBrokenPipe);
  EXPECT_EQ(next_status(*there), Status::kEof) << "also after a broken pipe";
}

// As much as fits, or more than the queues of libraries hold by default, so that some of it is still on its way.
TEST_P(Pipe, P37_CloseLosesNothingThoughTheReceiverIsFarBehind) {
  auto [here, there] = pipe();
  give(*here, {});
  EXPECT_EQ(take(*there).size(), 0U);
  constexpr std::size_t kMost = 1'020;
  constexpr std::size_t kSize = 1'000;
  std::size_t sent = 0;
  while (sent < kMost && here->send_bytes_for(pattern(kSize, sent), 300ms) == Status::kOk) ++sent;
  here->close();
  expect_filled(*there, kSize, sent);
  EXPECT_EQ(next_status(*there), Status::kEof);
}

TEST_P(Pipe, P37_WhatWasSentIsReceivedAfterABrokenPipe) {
  auto [here, there] = pipe();
  give(*here, text("sent before"));
  here.reset();
  EXPECT_EQ(there->send_bytes(text("x")), Status::kBrokenPipe);
  EXPECT_EQ(as_text(take(*there)), "sent before");
  EXPECT_EQ(next_status(*there), Status::kEof);
}

TEST_P(Pipe, P38_AForkedCopyIsUsableThoughAThreadWasBlockedInTheEnd) {
  CRUCIBLE_REQUIRE(hands_over);
  auto [here, there] = pipe();
  Connection& end = *here;
  std::atomic<pid_t> tid = 0;
  Event begun;
  Event parents_turn_over;
  std::thread receiver([&] {
    tid = thread_id();
    begun.set();
    EXPECT_EQ(as_text(take(end)), "for the parent");
  });
  begun.wait();
  await_blocked(::getpid(), tid);
  Peer user([&end, &parents_turn_over] {
    parents_turn_over.wait();
    EXPECT_EQ(as_text(take(end)), "for the child");
    give(end, text("from the child"));
    end.close();
    EXPECT_EQ(next_status(end), Status::kClosed);
  });
  Peer closer([&end] { end.close(); });
  closer.join();
  give(*there, text("for the parent"));
  receiver.join();
  parents_turn_over.set();
  give(*there, text("for the child"));
  EXPECT_EQ(as_text(take(*there)), "from the child");
  user.join();
}

TEST_P(Pipe, P39_ObjectsTravelInEveryForm) {
  auto [here, there] = pipe();
  using Table = std::map<std::string, std::vector<std::optional<double>>>;
  const Table table = {{"a", {1.5, std::nullopt}}, {"b", {}}};
  here->send(table);
  EXPECT_EQ(there->recv<Table>(), table);
  EXPECT_EQ(there->try_recv<int>(), std::nullopt);
  const Stopwatch waited;
  EXPECT_EQ(there->recv_for<int>(100ms), std::nullopt);
  EXPECT_GE(waited.elapsed(), 100ms);
  EXPECT_TRUE(here->try_send(1));
  EXPECT_TRUE(here->send_for(std::string("two"), 1h));
  EXPECT_TRUE(there->poll_for(1h));
  EXPECT_EQ(there->try_recv<int>(), 1);
  EXPECT_EQ(there->recv_for<std::string>(1h), "two");
  here->send(Object::list(42, nullptr, "hello"));
  EXPECT_EQ(there->recv<Object>(), Object::list(42, nullptr, "hello"));
}

TEST_P(Pipe, P39_AMessageOfAnotherTypeIsConsumed) {
  auto [here, there] = pipe();
  here->send("text");
  give(*here, Bytes{std::byte{0xc1}});
  give(*here, {});
  here->send(7);
  for (int i = 0; i < 3; ++i) EXPECT_THROW((void)there->recv<int>(), EncodingError);
  EXPECT_EQ(there->recv<int>(), 7);
}

TEST_P(Pipe, P39_AFullPipeRefusesObjectsWithoutThrowing) {
  CRUCIBLE_REQUIRE_BOUND;
  auto [here, there] = pipe(kSmallest);
  const std::string message(1'000, 'x');
  std::size_t held = 0;
  while (here->try_send(message)) ++held;
  const Stopwatch waited;
  EXPECT_FALSE(here->send_for(message, 50ms));
  EXPECT_GE(waited.elapsed(), 50ms);
  for (std::size_t i = 0; i < held; ++i) EXPECT_EQ(there->recv<std::string>(), message);
  EXPECT_EQ(there->try_recv<std::string>(), std::nullopt);
}

}  // namespace
}  // namespace crucible::testing
