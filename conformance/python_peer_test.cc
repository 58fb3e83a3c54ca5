// Clause A20: a program in another language takes part, by what the README pages say of handshake and frames.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/object.h"
#include "conformance/pipe_support.h"
#include "core/fd.h"

namespace crucible::testing {
namespace {

// A program with its standard output in a pipe; killed when the object goes.
class Command {
 public:
  explicit Command(std::vector<std::string> words) {
    std::array<int, 2> ends = {};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
    output_ = Fd(ends[0]);
    const Fd theirs(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, theirs.get(), STDOUT_FILENO);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const int error = ::posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) pid_ = -1;
  }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  ~Command() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    (void)exit_code();
  }
  /// -1 if it cannot be run or was killed.
  int exit_code() {
    int status = -1;
    if (pid_ > 0 && ::waitpid(std::exchange(pid_, -1), &status, 0) > 0 && WIFEXITED(status)) return WEXITSTATUS(status);
    return -1;
  }
  std::string line() {
    std::string text;
    for (char next = 0; ::read(output_.get(), &next, 1) == 1 && next != '\n';) text += next;
    return text;
  }

 private:
  pid_t pid_ = -1;
  Fd output_;
};

// The first Python that has MessagePack; the one on PATH need not be the distribution's.
std::string find_python() {
  for (const std::string candidate : {"/usr/bin/python3", "python3"}) {
    if (Command({candidate, "-c", "import msgpack"}).exit_code() == 0) return candidate;
  }
  return "";
}

class PythonPeer : public MechanismTest {
 protected:
  static const std::string& python() {
    static const std::string found = find_python();
    return found;
  }
  static bool is_spoken() {
    return Command({python(), CRUCIBLE_PYTHON_PEER, "speaks", std::string(mechanism().scheme)}).exit_code() == 0;
  }
  static std::unique_ptr<Command> start(const std::string& role, const std::string& address, const std::string& key) {
    std::vector<std::string> words = {python(), CRUCIBLE_PYTHON_PEER, role, address, std::string(mechanism().name)};
    if (!key.empty()) words.insert(words.end(), {"--key", key});
    return std::make_unique<Command>(std::move(words));
  }
  static std::string door() { return std::string(mechanism().scheme) + ":"; }
};

#define CRUCIBLE_REQUIRE_PYTHON                                                          \
  if (python().empty()) GTEST_SKIP() << "needs python3-msgpack: no python3 here has it"; \
  ASSERT_TRUE(is_spoken())

// The key of these tests, in hexadecimal.
const std::string kKey = "6b6579";
DoorOptions keyed() { return {.authkey = text("key")}; }

void exchange(Connection& end) {
  const Object greeting = end.recv<Object>();
  EXPECT_EQ(greeting.at("language"), Object("Python"));
  EXPECT_EQ(greeting.at("values"), Object::list(nullptr, true, -1, std::uint64_t{1} << 63U, 2.5,
                                                Bytes{std::byte{0}, std::byte{0xff}}, "\u00fc"));
  EXPECT_EQ(greeting.at("long").as_string(), std::string(300'000, 'x'));
  for (const Object& value :
       {Object(), Object(""), Object::list(42, nullptr, "hello"), Object(1.0), Object(Bytes(200'000, std::byte{7})),
        Object::dict({{"user_0", Object::dict({{1, Object::list(false, -129)}})}}), Object(std::string(70'000, 'y'))}) {
    end.send(value);
    EXPECT_EQ(end.recv<Object>(), value);
    EXPECT_TRUE(end.send_for(value, 1h));  // framed another way, where a frame can be given up
    EXPECT_EQ(end.recv<Object>(), value);
  }
  end.send(Object::dict({{"sum", Object::list(1, 2, 3'000'000'000)}}));
  EXPECT_EQ(end.recv<std::int64_t>(), 3'000'000'003);
}

TEST_P(PythonPeer, A20_PythonComesThroughTheDoor) {
  CRUCIBLE_REQUIRE_PYTHON;
  const auto listener = context().listen(door());
  const auto peer = start("connect", listener->address(), "");
  std::unique_ptr<Connection> end;
  ASSERT_EQ(listener->accept(end), Status::kOk);
  exchange(*end);
  end.reset();
  EXPECT_EQ(peer->exit_code(), 0);
}

TEST_P(PythonPeer, A20_PythonProvesThatItKnowsTheKey) {
  CRUCIBLE_REQUIRE_PYTHON;
  const auto listener = context().listen(door(), keyed());
  std::unique_ptr<Connection> end;
  for (const char* wrong : {"", "6b6578"}) {
    const auto stranger = start("connect", listener->address(), wrong);
    EXPECT_EQ(listener->accept(end), Status::kAuth);
    EXPECT_EQ(stranger->exit_code(), 4);
  }
  const auto peer = start("connect", listener->address(), kKey);
  ASSERT_EQ(listener->accept(end), Status::kOk);
  exchange(*end);
  end.reset();
  EXPECT_EQ(peer->exit_code(), 0);
}

TEST_P(PythonPeer, A20_PythonOpensADoor) {
  CRUCIBLE_REQUIRE_PYTHON;
  for (const bool with_key : {false, true}) {
    const auto peer = start("listen", door(), with_key ? kKey : "");
    const std::string address = peer->line();
    const auto end = context().connect(address, with_key ? keyed() : DoorOptions());
    exchange(*end);
    end->close();
    EXPECT_EQ(peer->exit_code(), 0);
  }
}

TEST_P(PythonPeer, A20_ListeningPythonIsRefusedWithoutTheKey) {
  CRUCIBLE_REQUIRE_PYTHON;
  const auto peer = start("listen", door(), "6b6578");
  const std::string address = peer->line();
  EXPECT_ANY_THROW((void)context().connect(address, keyed()));  // Auth, or Eof if the peer has hung up first
  EXPECT_EQ(peer->exit_code(), 4);
}

// The mechanisms whose frames the program speaks. The others' are a library's own, or no frames.
std::vector<Variant> spoken_mechanisms() {
  std::vector<Variant> spoken = all_mechanisms();
  std::erase_if(spoken,
                [](const Variant& one) { return one.mechanism->scheme != "unix" && one.mechanism->scheme != "tcp"; });
  return spoken;
}

CRUCIBLE_INSTANTIATE_OVER(PythonPeer, spoken_mechanisms());

}  // namespace
}  // namespace crucible::testing
