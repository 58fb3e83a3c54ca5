// Clauses M27 to M30: clients that break the rules, ask for too much, say nothing or do not listen.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "conformance/manager_support.h"
#include "conformance/random.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"
#include "conformance/support/resources.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

// The messages of impl/compose/README.md, made from that page and not from the library.
struct Raw {
  std::uint8_t kind;
  std::uint8_t flags = 0;
  std::uint32_t id = 0;
  std::uint64_t number = 0;
  std::uint32_t seen = 0;
  Bytes body = {};

  Bytes bytes() const {
    Bytes message(24 + body.size());
    message[0] = std::byte{kind};
    message[1] = std::byte{flags};
    std::memcpy(&message[4], &id, sizeof id);
    std::memcpy(&message[8], &number, sizeof number);
    std::memcpy(&message[16], &seen, sizeof seen);
    std::ranges::copy(body, message.begin() + 24);
    return message;
  }
};
constexpr std::uint8_t kHello = 1;
constexpr std::uint8_t kCall = 2;
constexpr std::uint8_t kDrop = 6;
constexpr std::uint8_t kLastKind = 7;
constexpr std::uint8_t kWelcome = 65;
constexpr std::uint8_t kAnswer = 66;
constexpr std::uint8_t kContinued = 1;
constexpr std::uint8_t kFailed = 2;

class ManagerHostile : public ManagerTest {
 protected:
  static std::unique_ptr<Connection> reach(const Manager& manager) {
    DoorOptions options;
    options.authkey = current_process().authkey;
    return form().reach(manager.address(), options, Deadline::never());
  }
  static std::unique_ptr<Connection> greeted(const Manager& manager) {
    std::unique_ptr<Connection> end = reach(manager);
    EXPECT_EQ(end->send_bytes(Raw{.kind = kHello, .number = 1, .body = Bytes(32)}.bytes()), Status::kOk);
    Bytes welcome;
    EXPECT_EQ(end->recv_bytes(welcome), Status::kOk);
    EXPECT_EQ(welcome.at(0), std::byte{kWelcome});
    return end;
  }
  static Bytes request(const std::string& method, const Object& argument) {
    const Encoded encoded = encode(std::tuple(1, method, argument));
    return {encoded.view().begin(), encoded.view().end()};
  }
  static void expect_dropped(Connection& end) {
    Bytes message;
    Status status = Status::kOk;
    while (status == Status::kOk) status = end.recv_bytes(message);
    EXPECT_TRUE(status == Status::kEof || status == Status::kTruncated) << to_string(status);
  }
  static std::size_t resident_kib(pid_t pid) {
    const std::string status = proc::read_file(std::string("/proc/").append(std::to_string(pid)).append("/status"));
    return std::stoul(status.substr(status.find("VmRSS:") + 6));
  }
};

TEST_P(ManagerHostile, M27_ADescribedClientIsServed) {
  const auto manager = start();
  const auto end = greeted(*manager);
  const Raw create = {.kind = kCall, .id = 1, .number = 0, .body = Bytes()};
  Raw message = create;
  const Encoded encoded = encode(std::tuple(1, "create", "list", Object::list(1, 2)));
  message.body = Bytes(encoded.view().begin(), encoded.view().end());
  ASSERT_EQ(end->send_bytes(message.bytes()), Status::kOk);
  Bytes answer;
  ASSERT_EQ(end->recv_bytes(answer), Status::kOk);
  EXPECT_EQ(answer.at(0), std::byte{kAnswer});
  EXPECT_EQ(answer.at(1), std::byte{0});
  message.id = 2;
  message.body = request("count", nullptr);
  ASSERT_EQ(end->send_bytes(message.bytes()), Status::kOk);
  ASSERT_EQ(end->recv_bytes(answer), Status::kOk);
  EXPECT_EQ(answer.at(24), std::byte{1}) << "one object";
  message.body = request("no such method", nullptr);
  ASSERT_EQ(end->send_bytes(message.bytes()), Status::kOk);
  ASSERT_EQ(end->recv_bytes(answer), Status::kOk);
  EXPECT_EQ(answer.at(1), std::byte{kFailed});
}

TEST_P(ManagerHostile, M27_WhoBreaksTheRulesIsDropped) {
  const auto manager = start();
  const std::vector<Bytes> breaches = {
      Bytes(),
      Bytes(23),
      Raw{.kind = 0}.bytes(),
      Raw{.kind = 99}.bytes(),
      Raw{.kind = kHello, .number = 1, .body = Bytes(32)}.bytes(),
      Raw{.kind = kCall, .id = 1, .body = text("no MessagePack")}.bytes(),
      Raw{.kind = kCall, .id = 1, .body = Bytes(10, std::byte{0xdd})}.bytes(),
      Raw{.kind = kDrop, .number = 1, .body = Bytes(7)}.bytes(),
      Raw{.kind = kCall, .id = 1, .body = Bytes(40'000)}.bytes(),
  };
  for (const Bytes& breach : breaches) {
    const auto end = greeted(*manager);
    (void)end->send_bytes(breach);
    expect_dropped(*end);
  }
  for (const Raw& first : {Raw{.kind = kHello, .number = 2, .body = Bytes(32)}, Raw{.kind = kCall},
                           Raw{.kind = kHello, .number = 1, .body = Bytes(31)}}) {
    const auto end = reach(*manager);
    (void)end->send_bytes(first.bytes());
    expect_dropped(*end);
  }
  {
    const auto end = greeted(*manager);
    (void)end->send_bytes(Raw{.kind = kCall, .flags = kContinued, .id = 1, .body = Bytes(10)}.bytes());
    (void)end->send_bytes(Raw{.kind = kCall, .id = 2, .body = Bytes(10)}.bytes());
    expect_dropped(*end);
  }
  expect_serves(*manager);
}

TEST_P(ManagerHostile, M27_TenThousandMalformedFramesHarmNobody) {
  Random random;
  const auto manager = start();
  const auto list = manager->list<int>({1, 2, 3});
  const Raw valid = {.kind = kCall, .id = 7, .number = 1, .body = request("append", Object::list(1, "two"))};
  std::unique_ptr<Connection> end;
  unsigned sent = 0;
  unsigned connections = 0;
  while (sent < 10'000) {
    if (end == nullptr) {
      end = random.one_in(8) ? reach(*manager) : greeted(*manager);
      ++connections;
    }
    Bytes frame = valid.bytes();
    // Most of them do not end the connection: wrong numbers, unknown requests, parts that do not fit one another.
    frame[0] = static_cast<std::byte>(random.between(kCall, kLastKind));
    for (std::uint64_t flips = random.between(0, 5); flips > 0; --flips) {
      frame[random.between(1, 23)] ^= static_cast<std::byte>(1U << random.between(0, 7));
    }
    if (random.one_in(20)) frame[0] = static_cast<std::byte>(random.between(0, 255));
    if (random.one_in(20)) frame[random.between(24, frame.size() - 1)] ^= std::byte{0x5a};
    if (random.one_in(40)) frame.resize(random.between(0, frame.size()));
    Bytes answer;
    Status status = end->send_bytes_for(frame, 1h);
    ++sent;
    if (sent % 8 == 0) {
      EXPECT_GE(list.size(), 3U) << "in step: a server that is behind has not seen most of them";
    }
    while (status == Status::kOk) status = end->try_recv_bytes(answer);
    if (status != Status::kTimeout) end = nullptr;
  }
  EXPECT_GT(connections, 1U);
  EXPECT_GE(list.size(), 3U);
  expect_serves(*manager);
}

TEST_P(ManagerHostile, M28_ClaimsOfLengthsAllocateNothing) {
  const auto manager = start();
  const std::size_t before = resident_kib(*manager->pid());
  // An array of 2^32 - 1 items, a string and a blob of as many bytes: none of them there.
  for (const unsigned type : {0xddU, 0xdbU, 0xc6U}) {
    Bytes body(5, std::byte{0xff});
    body[0] = static_cast<std::byte>(type);
    const auto client = greeted(*manager);
    (void)client->send_bytes(Raw{.kind = kCall, .id = 1, .body = body}.bytes());
    expect_dropped(*client);
  }
  EXPECT_LT(resident_kib(*manager->pid()), before + 16'384);
  expect_serves(*manager);
}

TEST_P(ManagerHostile, M28_ARequestBeyondTheLimitIsCutOff) {
  const auto manager = start();
  const auto end = greeted(*manager);
  const Bytes part = Raw{.kind = kCall, .flags = kContinued, .id = 1, .body = Bytes(32'000)}.bytes();
  Status status = Status::kOk;
  std::size_t bytes = 0;
  for (; status == Status::kOk && bytes < 2 * capabilities().max_message_bytes; bytes += 32'000) {
    status = end->send_bytes(part);
  }
  EXPECT_EQ(status, Status::kBrokenPipe);
  EXPECT_LT(bytes, 2 * capabilities().max_message_bytes);
  expect_serves(*manager);
}

TEST_P(ManagerHostile, M28_MemoryThatRunsOutIsTheCallersError) {
  if (CRUCIBLE_SANITIZED) GTEST_SKIP() << "sanitizers reserve address space of their own";
  ManagerOptions options;
  options.memory_bytes = std::size_t{64} << 20U;
  const auto manager = start(options);
  const auto list = manager->list<Bytes>();
  const Bytes item(1U << 20U);
  std::size_t count = 0;
  try {
    for (; count < 1'000; ++count) list.append(item);
    ADD_FAILURE() << "there is no limit";
  } catch (const std::bad_alloc&) {
  } catch (const Broken&) {  // already while the request came
  }
  EXPECT_GT(count, 4U);
  EXPECT_EQ(list.size(), count) << "applied wholly or not at all";
  list.clear();
  list.append(item);
}

TEST_P(ManagerHostile, M29_AHundredSilentClientsKeepNobodyOut) {
  const auto manager = start();
  std::vector<std::unique_ptr<Connection>> silent;
  for (int i = 0; i < 50; ++i) {
    silent.push_back(reach(*manager));
    silent.push_back(greeted(*manager));
    (void)silent.back()->send_bytes(Raw{.kind = kCall, .flags = kContinued, .id = 1, .body = Bytes(100)}.bytes());
  }
  expect_serves(*manager);
  Peer other([&] { expect_serves(*manager); });
  other.join();
}

TEST_P(ManagerHostile, M29_WhoDoesNotTakeItsAnswersIsNotHeardAndHoldsUpNobody) {
  const auto manager = start();
  const auto value = manager->value<Bytes>(pattern(200'000, 3));
  const auto other = manager->list<int>();
  const auto end = greeted(*manager);
  const std::uint64_t number = value.reference().name().number;
  const std::size_t before = resident_kib(*manager->pid());
  unsigned asked = 0;
  while (asked < 2'000) {
    const Encoded get = encode(std::tuple(1, "get"));
    const Raw call = {
        .kind = kCall, .id = asked + 1, .number = number, .body = Bytes(get.view().begin(), get.view().end())};
    if (end->send_bytes_for(call.bytes(), 50ms) != Status::kOk) break;
    ++asked;
  }
  for (int i = 0; i < 400; ++i) EXPECT_EQ(other.size(), 0U);  // it has heard everybody often meanwhile
  EXPECT_LT(resident_kib(*manager->pid()), before + 65'536) << "its answers are kept for it without limit";
  expect_serves(*manager);
  // It is not lost either: it gets everything once it listens.
  Bytes message;
  for (unsigned answers = 0; answers < asked;) {
    ASSERT_EQ(end->recv_bytes(message), Status::kOk);
    if (message[1] == std::byte{0}) ++answers;
  }
}

TEST_P(ManagerHostile, M29_ASlowHandIsNoHindrance) {
  const auto manager = start();
  const auto list = manager->list<int>();
  const auto end = greeted(*manager);
  const Bytes whole = request("append", 1);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const std::uint8_t flags = i + 1 < whole.size() ? kContinued : std::uint8_t{0};
    ASSERT_EQ(end->send_bytes(Raw{.kind = kCall,
                                  .flags = flags,
                                  .id = 1,
                                  .number = list.reference().name().number,
                                  .body = Bytes(1, whole[i])}
                                  .bytes()),
              Status::kOk);
    if (flags == kContinued) {
      EXPECT_EQ(list.size(), 0U) << "half a request is none";
    }
  }
  Bytes answer;
  ASSERT_EQ(end->recv_bytes(answer), Status::kOk);
  EXPECT_EQ(list.size(), 1U);
}

TEST_P(ManagerHostile, M30_DescriptorsThatRunOutInAClientAreAnError) {
  const auto manager = start();
  const auto list = manager->list<int>({1});
  Peer client([&] {
    unsigned refused = 0;
    for (std::size_t count = 0; count < 12; ++count) {
      const Exhaustion exhaustion(count);
      try {
        const auto other = unstarted(anywhere());
        other->start();
        (void)other->list();
      } catch (const std::exception&) {
        ++refused;
      }
    }
    EXPECT_GT(refused, 0U);
    EXPECT_EQ(list.size(), 1U) << "works again afterwards";
  });
  client.join();
}

}  // namespace

CRUCIBLE_INSTANTIATE_MANAGERS(ManagerHostile);

}  // namespace crucible::testing
