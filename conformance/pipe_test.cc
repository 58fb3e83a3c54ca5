// Clauses P1 to P16, in the order of SPEC.md; P17 and on are in the files beside this one.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "api/connection.h"
#include "api/object.h"
#include "conformance/pipe_support.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

TEST_P(Pipe, P1_EchoingChildReturnsEqualValues) {
  auto [here, there] = pipe();
  EXPECT_TRUE(here->readable() && here->writable() && there->readable() && there->writable());
  Peer child([end = std::move(there), &here = here] {
    here.reset();
    echo(*end);
  });
  for (const Object& value : {Object::list(1, 2.25, nullptr), Object(), Object(Bytes(100, std::byte{'x'})),
                              Object("text"), Object::dict({{"k", Object::list(-0.5)}})}) {
    here->send(value);
    EXPECT_EQ(here->recv<Object>(), value);
  }
  here.reset();
  child.join();
}

TEST_P(Pipe, P2_EmptyMessagesAreMessages) {
  auto [here, there] = pipe();
  const std::vector<std::string> sent = {"", "a", "", "", "bc", ""};
  for (const std::string& message : sent) give(*here, as_bytes(message));
  for (const std::string& message : sent) {
    for (int look = 0; look < 3; ++look) EXPECT_EQ(there->wait_readable(), Status::kOk);
    EXPECT_EQ(as_text(take(*there)), message);
  }
  EXPECT_FALSE(there->poll());
}

TEST_P(Pipe, P3_LargeMessagesAreEchoedUnchanged) {
  auto [here, there] = pipe();
  Peer child([end = std::move(there), &here = here] {
    here.reset();
    const SignalStorm storm;
    echo(*end);
    EXPECT_GT(SignalStorm::hits(), 0);
  });
  for (const std::size_t size : {std::size_t{16} << 20U, (std::size_t{16} << 20U) + 1}) {
    const Bytes message = pattern(size, size);
    give(*here, message);
    EXPECT_TRUE(same(take(*here), message));
  }
  here.reset();
  child.join();
}

TEST_P(Pipe, P4_MessagesAreNeverMerged) {
  auto [here, there] = pipe();
  Peer child([end = std::move(there)] {
    for (const char* message : {"a", "b", "cd"}) give(*end, as_bytes(message));
  });
  for (const char* message : {"a", "b", "cd"}) {
    EXPECT_EQ(here->wait_readable(), Status::kOk);
    EXPECT_TRUE(here->poll());
    EXPECT_EQ(as_text(take(*here)), message);
  }
  child.join();
}

TEST_P(Pipe, P5_PollTellsWhetherAMessageIsThere) {
  auto [here, there] = pipe();
  EXPECT_FALSE(here->poll());
  EXPECT_FALSE(here->poll_for(0ms));
  EXPECT_FALSE(here->poll_for(-1s));
  const Stopwatch waited;
  EXPECT_FALSE(here->poll_for(200ms));
  EXPECT_GE(waited.elapsed(), 200ms);
  give(*there, text("x"));
  EXPECT_TRUE(here->poll_for(1h));
  EXPECT_TRUE(here->poll());
}

TEST_P(Pipe, P6_BufferedMessagesThenEndOfFile) {
  auto [here, there] = pipe();
  Peer child([end = std::move(there), &here = here] {
    here.reset();
    give(*end, text("one"));
    give(*end, text(""));
    end->close();
  });
  child.join();
  EXPECT_EQ(as_text(take(*here)), "one");
  EXPECT_EQ(as_text(take(*here)), "");
  for (int again = 0; again < 3; ++again) EXPECT_EQ(next_status(*here), Status::kEof);
}

TEST_P(Pipe, P7_EndOfFileIsReadable) {
  auto [here, there] = pipe();
  there->close();
  EXPECT_TRUE(here->poll());
  EXPECT_EQ(here->wait_readable(), Status::kOk);
  std::size_t received = 0;
  EXPECT_EQ(here->recv_bytes_into({}, received), Status::kEof);
  EXPECT_THROW((void)here->recv<int>(), Eof);
}

TEST_P(Pipe, P8_SendingToAClosedPeerIsABrokenPipe) {
  auto [here, there] = pipe();
  there.reset();
  for (const std::size_t size : {0UL, 10UL, 100'000UL}) {
    EXPECT_EQ(here->send_bytes(Bytes(size)), Status::kBrokenPipe) << size;
    EXPECT_EQ(here->try_send_bytes(Bytes(size)), Status::kBrokenPipe) << size;
  }
  const std::vector<ByteView> two(2);
  std::size_t sent = 99;
  EXPECT_EQ(here->send_many(two, sent), Status::kBrokenPipe);
  EXPECT_EQ(sent, 0U);
  EXPECT_THROW(here->send(1), BrokenPipe);
}

TEST_P(Pipe, P8_APeerThatWasThereAMomentAgoIsGone) {
  auto [here, there] = pipe();
  give(*here, text("received by nobody"));
  there.reset();
  EXPECT_EQ(here->send_bytes(text("x")), Status::kBrokenPipe);
}

TEST_P(Pipe, P9_ClosedEndSaysSoEverywhere) {
  auto [here, there] = pipe();
  here->close();
  here->close();
  EXPECT_TRUE(here->closed());
  EXPECT_FALSE(there->closed());
  EXPECT_EQ(here->send_bytes(text("x")), Status::kClosed);
  std::size_t count = 0;
  const std::vector<ByteView> one(1);
  EXPECT_EQ(here->send_many(one, count), Status::kClosed);
  EXPECT_EQ(next_status(*here), Status::kClosed);
  EXPECT_EQ(here->recv_bytes_into({}, count), Status::kClosed);
  EXPECT_EQ(here->wait_readable(), Status::kClosed);
  EXPECT_EQ(here->wait_readable(Deadline::immediate()), Status::kClosed);
  EXPECT_THROW(here->send(1), Closed);
  EXPECT_THROW((void)here->recv<int>(), Closed);
  EXPECT_THROW((void)here->poll(), Closed);
  pollfd slot = {};
  EXPECT_THROW((void)here->begin_wait(slot), Closed);
  EXPECT_TRUE(here->readable() && here->writable());
}

TEST_P(Pipe, P9_ScopeEndClosesBothEnds) {
  auto [first, second] = pipe();
  {
    const ConnectionPair scoped(std::move(first), pipe().second);
  }
  EXPECT_EQ(next_status(*second), Status::kEof);
}

TEST_P(Pipe, P10_SimplexEndsHaveOneDirection) {
  auto [reader, writer] = simplex();
  EXPECT_TRUE(reader->readable() && !reader->writable() && !writer->readable() && writer->writable());
  EXPECT_EQ(reader->send_bytes(text("x")), Status::kWrongDirection);
  std::size_t count = 0;
  const std::vector<ByteView> one(1);
  EXPECT_EQ(reader->send_many(one, count), Status::kWrongDirection);
  EXPECT_EQ(next_status(*writer), Status::kWrongDirection);
  EXPECT_EQ(writer->recv_bytes_into({}, count), Status::kWrongDirection);
  EXPECT_EQ(writer->wait_readable(), Status::kWrongDirection);
  EXPECT_THROW((void)writer->poll(), WrongDirection);
  give(*writer, text("through"));
  EXPECT_EQ(as_text(take(*reader)), "through");
  writer.reset();
  EXPECT_EQ(next_status(*reader), Status::kEof);
}

TEST_P(Pipe, P10_SimplexWriterSeesItsReaderGo) {
  auto [reader, writer] = simplex();
  reader->close();
  EXPECT_EQ(writer->send_bytes(text("x")), Status::kBrokenPipe);
  EXPECT_TRUE(reader->readable());
}

TEST_P(Pipe, P11_SlicesAreSentExactly) {
  auto [here, there] = pipe();
  const Bytes message = text("abcdefghijklmnopqrstuvwxyz");
  EXPECT_EQ(here->send_slice(message, 5), Status::kOk);
  EXPECT_EQ(here->send_slice(message, 7, 8), Status::kOk);
  EXPECT_EQ(here->send_slice(message, 26), Status::kOk);
  EXPECT_EQ(here->send_slice(message, 26, 0), Status::kOk);
  EXPECT_EQ(here->send_slice(message, 3, 0), Status::kOk);
  for (const char* slice : {"fghijklmnopqrstuvwxyz", "hijklmno", "", "", ""}) EXPECT_EQ(as_text(take(*there)), slice);
}

TEST_P(Pipe, P12_BadSlicesAndValuesSendNothing) {
  auto [here, there] = pipe();
  const Bytes message(26);
  constexpr std::ptrdiff_t kHuge = std::numeric_limits<std::ptrdiff_t>::max();
  EXPECT_EQ(here->send_slice(message, 27), Status::kBadArgument);
  EXPECT_EQ(here->send_slice(message, 22, 5), Status::kBadArgument);
  EXPECT_EQ(here->send_slice(message, -1), Status::kBadArgument);
  EXPECT_EQ(here->send_slice(message, 4, -1), Status::kBadArgument);
  EXPECT_EQ(here->send_slice(message, 4, kHuge), Status::kBadArgument);
  EXPECT_EQ(here->send_slice(message, kHuge, kHuge), Status::kBadArgument);
  Object deep = 1;
  for (std::size_t i = 0; i < 2 * kMaxDepth; ++i) deep = Object::list(std::move(deep));
  EXPECT_THROW(here->send(deep), EncodingError);
  EXPECT_THROW((void)here->try_send(deep), EncodingError);
  EXPECT_THROW((void)here->send_for(deep, 1s), EncodingError);
  give(*here, text("next"));
  EXPECT_EQ(as_text(take(*there)), "next");
}

TEST_P(Pipe, P13_ReceivesIntoALargerBuffer) {
  auto [here, there] = pipe();
  const Bytes message = text("hello");
  for (const std::ptrdiff_t offset : {0, 3, 11}) {
    give(*here, message);
    Bytes buffer(16, std::byte{0x5a});
    std::size_t received = 0;
    EXPECT_EQ(there->recv_bytes_at(buffer, offset, received), Status::kOk);
    EXPECT_EQ(received, message.size());
    Bytes expected(16, std::byte{0x5a});
    std::copy(message.begin(), message.end(), expected.begin() + offset);
    EXPECT_EQ(buffer, expected);
  }
}

TEST_P(Pipe, P14_TooShortABufferGivesTheWholeMessageElsewhere) {
  for (const std::size_t size : {10UL, 5'000UL, 300'000UL}) {
    auto [here, there] = pipe();
    Peer child([end = std::move(here), size] {
      give(*end, pattern(size, 1));
      give(*end, pattern(size, 2));
      give(*end, text("next"));
    });
    Bytes buffer(size - 1);
    Bytes whole;
    std::size_t received = 0;
    EXPECT_EQ(there->recv_bytes_into(buffer, received, Deadline::never(), &whole), Status::kTooShort);
    EXPECT_EQ(received, size);
    EXPECT_TRUE(same(whole, pattern(size, 1)));
    EXPECT_EQ(there->recv_bytes_into({}, received), Status::kTooShort);
    EXPECT_EQ(received, size);
    EXPECT_EQ(as_text(take(*there)), "next");
    child.join();
  }
}

TEST_P(Pipe, P15_BadOffsetLeavesTheMessage) {
  auto [here, there] = pipe();
  give(*here, text("stays"));
  Bytes buffer(16);
  std::size_t received = 0;
  EXPECT_EQ(there->recv_bytes_at(buffer, -1, received), Status::kBadArgument);
  EXPECT_EQ(there->recv_bytes_at(buffer, 17, received), Status::kBadArgument);
  EXPECT_EQ(there->recv_bytes_at(buffer, std::numeric_limits<std::ptrdiff_t>::min(), received), Status::kBadArgument);
  EXPECT_EQ(as_text(take(*there)), "stays");
}

TEST_P(Pipe, P16_LimitIsInclusive) {
  auto [here, there] = pipe();
  Bytes message;
  for (const std::size_t size : {0UL, 1UL, 4'096UL, 30'000UL}) {
    give(*here, pattern(size, 3));
    EXPECT_EQ(there->recv_bytes(message, size), Status::kOk) << size;
    EXPECT_TRUE(same(message, pattern(size, 3)));
  }
}

TEST_P(Pipe, P16_OverTheLimitADuplexEndCanOnlySend) {
  for (const std::size_t size : {1UL, 100UL, 30'000UL}) {
    auto [here, there] = pipe();
    give(*here, Bytes(size));
    give(*here, text("lost"));
    Bytes message;
    EXPECT_EQ(there->recv_bytes(message, size - 1), Status::kBadLength);
    EXPECT_EQ(there->recv_bytes(message), Status::kWrongDirection);
    EXPECT_FALSE(there->closed());
    EXPECT_FALSE(there->readable());
    give(*there, text("still sends"));
    EXPECT_EQ(as_text(take(*here)), "still sends");
  }
}

TEST_P(Pipe, P16_TheLimitHoldsForEachOfABatch) {
  auto [reader, writer] = simplex();
  const std::vector<Bytes> messages = {Bytes(10), Bytes(9), Bytes(11), Bytes(1)};
  const std::vector<ByteView> views(messages.begin(), messages.end());
  std::size_t sent = 0;
  ASSERT_EQ(writer->send_many(views, sent), Status::kOk);
  Bytes message;
  for (int i = 0; i < 2; ++i) EXPECT_EQ(reader->recv_bytes(message, 10), Status::kOk);
  EXPECT_EQ(message.size(), 9U);
  EXPECT_EQ(reader->recv_bytes(message, 10), Status::kBadLength);
  EXPECT_TRUE(reader->closed());
}

TEST_P(Pipe, P16_OverTheLimitASimplexEndIsClosed) {
  auto [reader, writer] = simplex();
  give(*writer, Bytes(10));
  Bytes message;
  EXPECT_EQ(reader->recv_bytes(message, 9), Status::kBadLength);
  EXPECT_TRUE(reader->closed());
  EXPECT_EQ(next_status(*reader), Status::kClosed);
  EXPECT_EQ(writer->send_bytes(text("x")), Status::kBrokenPipe);
}

}  // namespace

CRUCIBLE_INSTANTIATE(Pipe);

}  // namespace crucible::testing
