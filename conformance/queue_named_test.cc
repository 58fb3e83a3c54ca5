// Clauses Q49 to Q52: queues that programs which are no forks of each other open by an address.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "conformance/door_support.h"
#include "conformance/exec_peer.h"
#include "conformance/queue_support.h"
#include "conformance/random.h"
#include "conformance/stamp.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"

namespace crucible::testing {
namespace {

class NamedQueue : public QueueTest {
 protected:
  static std::string at(const std::string& where) { return std::string(mechanism().scheme) + ":" + where; }
  static std::unique_ptr<Queue> create(const QueueOptions& options = {}, const std::string& address = at("")) {
    return form().create(address, options);
  }
  static std::unique_ptr<Queue> open(const std::string& address, const QueueOptions& options = {},
                                     Deadline deadline = Deadline::never()) {
    return form().open(address, options, deadline);
  }
  /// A program that has opened it.
  static std::unique_ptr<ExecPeer> program(const Queue& queue) {
    auto peer = std::make_unique<ExecPeer>(mechanism().name, queue.address());
    EXPECT_EQ(peer->ask("open " + std::string(form().name)), "Ok");
    return peer;
  }
  static void expect_serves(Queue& queue, const QueueOptions& options = {}) {
    const std::unique_ptr<Queue> client = open(queue.address(), options);
    put(*client, "there");
    EXPECT_EQ(get_text(queue), "there");
  }
  void SetUp() override {
    if (mechanism().scheme.empty()) GTEST_SKIP() << mechanism().name << " has no named door";
    QueueTest::SetUp();
  }
  void TearDown() override {
    if (!mechanism().scheme.empty()) QueueTest::TearDown();
  }
};

TEST_P(NamedQueue, Q49_AProgramThatKnowsTheAddressPutsAndTakes) {
  const std::unique_ptr<Queue> queue = create();
  const auto peer = program(*queue);
  EXPECT_EQ(peer->ask("put 1000 0 50"), "Ok");
  EXPECT_EQ(queue->size(), 50U);
  expect_filled(*queue, 1'000, 50);
  EXPECT_EQ(fill(*queue, 300, 20), 20U);
  EXPECT_EQ(peer->ask("size"), "20");
  EXPECT_EQ(peer->ask("get 300 0 20"), "Ok");
  EXPECT_TRUE(queue->empty());
  EXPECT_EQ(peer->ask("close"), "Closed");
  put(*queue, "still here");
  EXPECT_EQ(get_text(*queue), "still here");
}

TEST_P(NamedQueue, Q49_LargeMessagesGoBetweenPrograms) {
  const std::unique_ptr<Queue> queue = create();
  const auto one = program(*queue);
  const auto other = program(*queue);
  one->tell("put 16777216 7 2");
  EXPECT_EQ(other->ask("get 16777216 7 2"), "Ok");
  EXPECT_EQ(one->hear(), "Ok");
}

TEST_P(NamedQueue, Q49_TheBoundIsTheCreators) {
  const std::unique_ptr<Queue> queue = create({.maxsize = 2});
  const std::unique_ptr<Queue> opened = open(queue->address(), {.maxsize = 77});
  EXPECT_EQ(opened->maxsize(), 2U);
  EXPECT_EQ(opened->address(), queue->address());
  const auto peer = program(*queue);
  peer->tell("put 10 0 3");
  await_blocked(peer->pid());
  EXPECT_EQ(queue->size(), 2U);
  EXPECT_TRUE(opened->full());
  expect_filled(*queue, 10, 3);
  EXPECT_EQ(peer->hear(), "Ok");
}

TEST_P(NamedQueue, Q49_AProgramsGetWaitsAndIsWoken) {
  const std::unique_ptr<Queue> queue = create();
  const auto peer = program(*queue);
  for (std::uint64_t i = 0; i < 5; ++i) {
    peer->tell("get 100 " + std::to_string(i) + " 1");
    await_blocked(peer->pid());
    put(*queue, pattern(100, i));
    EXPECT_EQ(peer->hear(), "Ok");
  }
}

TEST_P(NamedQueue, Q49_WorkIsDoneByOtherPrograms) {
  const std::unique_ptr<Queue> queue = create({.joinable = true});
  const auto peer = program(*queue);
  put(*queue, pattern(10, 0));
  EXPECT_EQ(peer->ask("get 10 0 1"), "Ok");
  EXPECT_FALSE(queue->join_for(0s));
  EXPECT_EQ(peer->ask("done"), "Ok");
  EXPECT_TRUE(queue->join_for(1h));
  EXPECT_EQ(peer->ask("done"), "BadArgument");
  put(*queue, pattern(10, 0));
  peer->tell("join");
  await_blocked(peer->pid());
  (void)get(*queue);
  EXPECT_EQ(queue->task_done(), Status::kOk);
  EXPECT_EQ(peer->hear(), "Ok");
}

TEST_P(NamedQueue, Q49_ProgramsThatAreKilledAmidTrafficHarmNobody) {
  CRUCIBLE_REQUIRE(survives_kill);
  Random random;
  Score score;
  const std::unique_ptr<Queue> queue = create({.maxsize = 10});
  for (int round = 0; round < 40; ++round) {
    const auto peer = program(*queue);
    const bool puts = round % 2 == 0;
    peer->tell((puts ? "flood " : "drain ") + std::to_string(random.between(200, 6'000)));
    std::uint64_t sequence = 0;
    for (Bytes message; !proc::thread(peer->pid(), peer->pid()).gone();) {
      const Status status = puts ? queue->get_bytes_for(message, 2ms)
                                 : queue->put_bytes_for(stamped(2, sequence, traffic_size(sequence)), 2ms);
      ASSERT_TRUE(status == Status::kOk || status == Status::kTimeout) << to_string(status);
      if (status != Status::kOk) continue;
      ASSERT_TRUE(!puts || (read_whole(message) && read_whole(message)->sequence == sequence));
      ++sequence;
    }
    EXPECT_EQ(peer->wait_status(), SIGKILL) << peer->hear();
    score.count(peer->progress().inside());
    while (next_status(*queue) == Status::kOk) {
    }
  }
  EXPECT_EQ(fill(*queue, 10, 11), 10U);
  score.report("other programs", GetParam().name());
}

TEST_P(NamedQueue, Q50_WhereNobodyIsNothingIsOpened) {
  EXPECT_THROW((void)open("no address"), BadArgument);
  EXPECT_THROW((void)open("nosuchscheme:x"), BadArgument);
  EXPECT_THROW((void)create({}, "no address"), BadArgument);
  std::string address;
  {
    const std::unique_ptr<Queue> queue = create();
    address = queue->address();
    EXPECT_TRUE(address.starts_with(at("")));
    EXPECT_GT(address.size(), at("").size());
  }
  try {
    (void)open(address);
    ADD_FAILURE() << "opened what is not there any more";
  } catch (const NotFound&) {
  } catch (const Refused&) {
  }
}

TEST_P(NamedQueue, Q50_ANameIsTakenWhileItsQueueLives) {
  const std::unique_ptr<Queue> queue = create({.maxsize = 3});
  const std::string address = queue->address();
  EXPECT_THROW((void)create({}, address), Exists);
  expect_serves(*queue);
  queue->close();
  const std::unique_ptr<Queue> next = create({}, address);
  EXPECT_EQ(next->address(), address);
  expect_serves(*next);
}

TEST_P(NamedQueue, Q50_AKilledCreatorsNameIsFreeForTheNext) {
  CRUCIBLE_REQUIRE(survives_kill);
  std::string address;
  {
    address = create()->address();
  }
  for (int round = 0; round < 3; ++round) {
    Event made;
    Peer owner([&] {
      const std::unique_ptr<Queue> queue = create({}, address);
      made.set();
      for (;;) ::pause();
    });
    made.wait();
    owner.kill();
    owner.join();
    await_orphans();
  }
  const std::unique_ptr<Queue> next = create({}, address);
  expect_serves(*next);
}

TEST_P(NamedQueue, Q50_ManyHandlesInOneProcessAreOneQueue) {
  const std::unique_ptr<Queue> queue = create({.maxsize = 40});
  std::vector<std::unique_ptr<Queue>> handles;
  for (int i = 0; i < 10; ++i) handles.push_back(open(queue->address()));
  for (std::size_t i = 0; i < handles.size(); ++i) put(*handles[i], pattern(50, i));
  for (const auto& handle : handles) EXPECT_EQ(handle->size(), 10U);
  std::vector<bool> seen(10);
  for (const auto& handle : handles) {
    const Bytes message = get(*handle);
    for (std::size_t i = 0; i < seen.size(); ++i) {
      if (same(message, pattern(50, i))) seen[i] = true;
    }
  }
  EXPECT_EQ(std::ranges::count(seen, true), 10);
  handles.clear();
  put(*queue, "on");
  EXPECT_EQ(get_text(*queue), "on");
}

// What the deadline of an open covers.
TEST_P(NamedQueue, Q50_AnOpenThatFindsNobodyAwakeGivesUpInItsTime) {
  SharedBox<std::array<char, 256>> address;
  Event made;
  Peer owner([&] {
    const std::unique_ptr<Queue> queue = create();
    queue->address().copy(address->data(), address->size() - 1);
    made.set();
    for (;;) ::pause();
  });
  made.wait();
  const std::vector<pid_t> all = proc::descendants_of(::getpid());
  for (const pid_t pid : all) ::kill(pid, SIGSTOP);
  const Stopwatch waited;
  const std::unique_ptr<Queue> queue = open(address->data(), {}, Deadline::after(100ms));
  if (!queue) {
    EXPECT_GE(waited.elapsed(), 100ms);
  }
  for (const pid_t pid : all) ::kill(pid, SIGCONT);
  if (queue) put(*queue, "it needed nobody awake");
  owner.kill();
  owner.join();
  dead_leave_names();
}

// A pipe's door is no queue's and the reverse; neither side takes the other for its own.
TEST_P(NamedQueue, Q51_APipesDoorIsNoQueues) {
  const std::unique_ptr<Listener> pipes = mechanism().listen(at(""), {});
  const std::unique_ptr<Queue> queue = create();
  Peer accepting([&] {
    std::unique_ptr<Connection> end;
    for (Status status = Status::kAuth; status == Status::kAuth;) status = pipes->accept(end, Deadline::after(1s));
  });
  EXPECT_THROW((void)open(pipes->address(), {}, Deadline::after(1h)), Error);
  accepting.kill();
  accepting.join();
  EXPECT_THROW((void)mechanism().connect(queue->address(), {}, Deadline::after(1h)), Error);
  expect_serves(*queue);
}

TEST_P(NamedQueue, Q51_GarbageAndSilenceAtTheDoorHarmNobody) {
  Random random;
  const std::unique_ptr<Queue> queue = create();
  std::vector<Fd> silent;
  for (int round = 0; round < 20; ++round) {
    const Fd socket = raw_connect(queue->address());
    Bytes noise = random.bytes(random.between(0, 3'000));
    if (random.one_in(3)) std::ranges::fill(noise, std::byte{0xff});
    (void)raw_send(socket, noise);
    silent.push_back(raw_connect(queue->address()));
    expect_serves(*queue);
  }
  EXPECT_TRUE(queue->empty());
}

// As with any door.
TEST_P(NamedQueue, Q51_TheKeyDecidesWhoComesIn) {
  QueueOptions options;
  options.door = keyed("the key");
  const std::unique_ptr<Queue> queue = create(options);
  QueueOptions wrong;
  wrong.door = keyed("another key");
  EXPECT_THROW((void)open(queue->address(), wrong), Auth);
  EXPECT_THROW((void)open(queue->address()), Auth);
  expect_serves(*queue, options);
}

TEST_P(NamedQueue, Q52_ANameIsItsOwnersAloneWhateverTheUmask) {
  CRUCIBLE_REQUIRE(local_names);
  const Directory directory;
  const std::string path = directory.file("queue");
  for (const mode_t mask : {0000U, 0022U, 0077U, 0777U}) {
    const mode_t before = ::umask(mask);
    const std::unique_ptr<Queue> queue = create({}, at(path));
    ::umask(before);
    struct stat facts = {};
    ASSERT_EQ(::lstat(path.c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 07777U, 0600U) << "umask " << mask;
    expect_serves(*queue);
  }
  EXPECT_NE(::access(path.c_str(), F_OK), 0) << "the name outlived its queue";
}

TEST_P(NamedQueue, Q52_AnotherUserDoesNotComeIn) {
  CRUCIBLE_REQUIRE(local_names);
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become another user";
  const std::unique_ptr<Queue> queue = create();
  Peer stranger([&] {
    constexpr uid_t kNobody = 65534;
    ASSERT_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
    EXPECT_THROW((void)open(queue->address()), Auth);
  });
  stranger.join();
  expect_serves(*queue);
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUE_FORMS(NamedQueue);

}  // namespace crucible::testing
