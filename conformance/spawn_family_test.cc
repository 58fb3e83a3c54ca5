// Spawned processes among parents, children and siblings, what they inherit, and how to choose the start method.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "conformance/pipe_support.h"
#include "conformance/spawn_support.h"
#include "conformance/support/capture.h"
#include "conformance/support/children.h"
#include "conformance/support/events.h"
#include "conformance/support/peer.h"
#include "conformance/support/proc.h"
#include "core/wait.h"

namespace crucible::testing {
namespace {

const Function idle{"idle", +[] {}};
const Function hearing{"hearing", +[](const Fd& wire) { (void)hear(wire); }};
const Function asleep{"asleep", +[] { sleep_forever(); }};
const Function asleep_unwatched{"asleep_unwatched", +[] { sleep_without_parent_watch(); }};

// Reports itself, then runs two children one after the other until `depth` levels are below the first.
void recurse(const Fd& wire, const std::string& path, int depth);
const Function recursing{"recurse", &recurse};
void recurse(const Fd& wire, const std::string& path, int depth) {
  say(wire, path + " is " + current_process().name.substr(current_process().name.find(':') + 1));
  for (int i = 1; depth > 0 && i <= 2; ++i) {
    Child child(recursing, copy_of(wire), path + std::to_string(i), depth - 1);
    start_spawned(child);
    child.join();
  }
}

TEST_F(Spawn, X17_ChildrenStartChildrenTwoLevelsDeep) {
  auto [here, there] = make_wire();
  Child child(recursing, std::move(there), std::string(), 2);
  child.set_name("Process-0:");
  start_spawned(child);
  std::vector<std::string> reports;
  for (std::string text = hear(here); !text.empty(); text = hear(here))
    reports.push_back(text.substr(0, text.find(' ')));
  EXPECT_EQ(reports, (std::vector<std::string>{"", "1", "11", "12", "2", "21", "22"}));
  child.join();
}

const Function making_daemons{"making_daemons", +[] {
                                const Child grandchild(idle);
                                Child refused(idle);
                                refused.set_daemon(false);
                                try {
                                  start_spawned(refused);
                                } catch (const StateError&) {
                                  return grandchild.daemon() && current_process().daemon ? 0 : 1;
                                }
                                return 2;
                              }};

TEST_F(Spawn, X18_DaemonFlagIsThatOfTheCreator) {
  Child child(making_daemons);
  child.set_daemon(true);
  start_spawned(child);
  EXPECT_THROW(child.set_daemon(false), StateError);
  EXPECT_THROW(child.set_start_method("fork"), StateError);
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_F(Spawn, X19_DaemonsStartNothing) {
  Child child(making_daemons);
  child.set_daemon(true);
  start_spawned(child);
  child.join();
  EXPECT_NE(child.exit_code(), 2);
}

const Function working{"working", +[](const Fd& begun, const Fd& wire) {
                         say(begun, "working");
                         await_blocked(::getppid());  // the parent, in its end, waits for this child
                         say(wire, "done");
                       }};
// Never deleted: what ends the children must not be a destructor.
const Function founding{"founding", +[](const Fd& wire) {
                          auto* const daemon = new Child(asleep);
                          daemon->set_daemon(true);
                          start_spawned(*daemon);
                          auto [here, there] = make_wire();
                          auto* const worker = new Child(working, std::move(there), copy_of(wire));
                          start_spawned(*worker);
                          (void)hear(here);
                          say(wire, std::to_string(*daemon->pid()));
                          static const Fd kept = copy_of(wire);
                          std::atexit([] { say(kept, "exits"); });
                        }};

TEST_F(Spawn, X20_ReturningParentEndsItsDaemonsAndAwaitsTheOthers) {
  auto [here, there] = make_wire();
  Child parent(founding, std::move(there));
  start_spawned(parent);
  const pid_t daemon = std::stoi(hear(here));
  EXPECT_EQ(hear(here), "exits");
  EXPECT_EQ(hear(here), "done");
  EXPECT_EQ(hear(here), "");
  parent.join();
  EXPECT_EQ(parent.exit_code(), 0);
  EXPECT_TRUE(is_forgotten(daemon));
}

const Function knowing_parent{"knowing_parent", +[](pid_t pid, const std::string& name) {
                                const ParentProcess* const parent = parent_process();
                                return parent != nullptr && parent->pid() == pid && parent->name() == name &&
                                               parent->is_alive() && ::getppid() == pid
                                           ? 0
                                           : 1;
                              }};
const Function orphaned{"orphaned", +[](const Fd& wire) {
                          say(wire, parent_process()->is_alive() ? "alive" : "dead");
                          const bool joined = parent_process()->join_for(std::chrono::hours(1));
                          say(wire, joined && !parent_process()->is_alive() ? "dead" : "alive");
                        }};
const Function orphaning{"orphaning", +[](const Fd& wire) {
                           Child grandchild(orphaned, copy_of(wire));
                           start_spawned(grandchild);
                           sleep_forever();
                         }};

TEST_F(Spawn, X22_ChildKnowsItsParent) {
  EXPECT_EQ(code_of_spawned(knowing_parent, ::getpid(), std::string("MainProcess")), 0);
}

TEST_F(Spawn, X22_GrandchildSeesItsParentsDeath) {
  auto [here, there] = make_wire();
  Child middle(orphaning, std::move(there));
  start_spawned(middle);
  EXPECT_EQ(hear(here), "alive");
  middle.terminate();
  middle.join();
  EXPECT_EQ(hear(here), "dead");
  EXPECT_EQ(hear(here), "");
  await_orphans();
}

std::string own_descriptors() {
  std::vector<std::string> all;
  for (const std::string& name : proc::list_directory("/proc/self/fd")) {
    std::string target(256, '\0');
    const ssize_t length = ::readlink(("/proc/self/fd/" + name).c_str(), target.data(), target.size());
    if (length > 0 && !target.starts_with("/proc/")) all.push_back(name + " " + target.substr(0, 8));
  }
  std::ranges::sort(all);
  std::string text;
  for (const std::string& one : all) text += one + '\n';
  return text;
}
const Function listing{"listing", +[](const Fd& wire) {
                         say(wire, own_descriptors());
                         (void)hear(wire);
                       }};

TEST_F(Spawn, X23_SiblingsHoldNothingButWhatTheyWereGiven) {
  const Fd high(::fcntl(STDIN_FILENO, F_DUPFD, 200));  // not CLOEXEC: a program that is run would inherit it
  std::vector<std::unique_ptr<Child>> siblings;
  std::vector<Fd> wires;
  std::vector<std::string> lists;
  for (int i = 0; i < 5; ++i) {
    auto [here, there] = make_wire();
    siblings.push_back(std::make_unique<Child>(listing, std::move(there)));
    start_spawned(*siblings.back());
    lists.push_back(hear(here));
    wires.push_back(std::move(here));
  }
  for (const std::string& list : lists) {
    EXPECT_EQ(list, lists.front());
    EXPECT_EQ(std::ranges::count(list, '\n'), 5) << list;  // three streams, the parent, the wire
    EXPECT_EQ(list.find("200"), std::string::npos);
  }
  for (std::size_t i = 0; i < 5; ++i) {
    wires[i].reset();  // no sibling holds it: this one alone ends
    siblings[i]->join();
  }
}

const Function registering_exit{"registering_exit", +[](const Fd& wire) {
                                  static const Fd out = copy_of(wire);
                                  std::atexit([] { say(out, "handler"); });
                                  say(wire, "registered");
                                  (void)hear(wire);
                                }};

TEST_F(Spawn, X24_ExitHandlersOfTheChildRunAtItsNormalEndOnly) {
  for (const bool normal : {true, false}) {
    auto [here, there] = make_wire();
    Child child(registering_exit, std::move(there));
    start_spawned(child);
    EXPECT_EQ(hear(here), "registered");
    normal ? say(here, "end") : child.terminate();
    EXPECT_EQ(hear(here), normal ? "handler" : "");
    child.join();
    EXPECT_EQ(child.exit_code(), normal ? 0 : -SIGTERM);
  }
}

TEST_F(Spawn, X24_ClosedStandardStreamsDoNoHarm) {
  Peer parent([] {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(stream);
    EXPECT_EQ(code_of_spawned(idle), 0);
  });
  parent.join();
}

TEST_F(Spawn, X27_MethodsAreKnownByName) {
  ASSERT_EQ(start_methods().size(), 2U);
  EXPECT_EQ(start_methods()[0], "fork");
  EXPECT_EQ(start_methods()[1], "spawn");
  EXPECT_EQ(start_method(), "fork");
  EXPECT_EQ(current_process().start_method, "");
  Child child(idle);
  EXPECT_EQ(child.start_method(), "fork");
  EXPECT_THROW(child.set_start_method("forkserver"), BadArgument);
  EXPECT_THROW(set_start_method(""), BadArgument);
  EXPECT_EQ(start_method(), "fork");
  make_spawned(child);
  EXPECT_EQ(child.start_method(), "spawn");
}

const Function methods_of_child{"methods_of_child", +[](const std::string& started, const std::string& general) {
                                  return current_process().start_method == started && start_method() == general ? 0 : 1;
                                }};

TEST_F(Spawn, X27_ChildrenKnowHowTheyWereStarted) {
  for (const char* method : {"fork", "spawn"}) {
    Child child(methods_of_child, std::string(method), std::string("fork"));
    child.set_start_method(method);
    child.start();
    child.join();
    EXPECT_EQ(child.exit_code(), 0) << method;
  }
}

TEST_F(Spawn, X27_TheGeneralMethodIsChosenOnce) {
  Peer program([] {
    set_start_method("spawn");
    EXPECT_EQ(start_method(), "spawn");
    EXPECT_THROW(set_start_method("fork"), StateError);
    EXPECT_THROW(set_start_method("spawn"), StateError);
    Child child(methods_of_child, std::string("spawn"), std::string("spawn"));
    EXPECT_EQ(child.start_method(), "spawn");
    child.start();
    child.join();
    EXPECT_EQ(child.exit_code(), 0);
    set_start_method("fork", true);
    EXPECT_EQ(Child(idle).start_method(), "fork");
  });
  program.join();
}

TEST_F(Spawn, X27_NamesOfFunctionsAreTakenOnce) {
  EXPECT_THROW((Function{"idle", +[](int) {}}), BadArgument);
  EXPECT_EQ(code_of_spawned(idle), 0);
}

const Function naming{"naming", +[](const std::string& name) {
                        const Child first(idle);
                        return current_process().name == name && first.name() == name + ":1" ? 0 : 1;
                      }};

TEST_F(Spawn, X33_NamesFollowTheCreationPath) {
  Child child(naming, "Process-" + std::to_string(std::stoi(Child(idle).name().substr(8)) + 1));
  start_spawned(child);
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_F(Spawn, X34_KeyIsInheritedAndShownToNobody) {
  auto [here, there] = make_wire();
  const std::string key = "a secret of forty bytes that none may see";
  Child child(hearing, std::move(there));
  child.set_authkey(text(key));
  start_spawned(child);
  const std::string process = "/proc/" + std::to_string(*child.pid());
  EXPECT_EQ(proc::read_file(process + "/cmdline").find(key), std::string::npos);
  EXPECT_EQ(proc::read_file(process + "/environ").find(key), std::string::npos);
  EXPECT_FALSE(proc::read_file(process + "/cmdline").empty());
  here.reset();
  child.join();
}

const Function printing{"printing", +[](const std::string& text) { std::printf("%s", text.c_str()); }};

TEST_F(Spawn, X35_BufferedOutputIsWrittenOnceAndInOrder) {
  Capture capture;
  Peer parent([&] {
    capture.replace(STDOUT_FILENO);
    std::setvbuf(stdout, nullptr, _IOFBF, 4096);
    std::printf("before;");
    EXPECT_EQ(code_of_spawned(printing, std::string("child;")), 0);
    std::printf("after;");
  });
  EXPECT_EQ(capture.text(), "before;child;after;");
  parent.join();
}

class SpawnPipe : public MechanismTest {};

const Function echoing{"echoing", +[](Connection& end) {
                         for (Bytes message; end.recv_bytes(message) == Status::kOk;) (void)end.send_bytes(message);
                       }};
const Function passing_on{"passing_on", +[](std::unique_ptr<Connection> in, Connection& out) {
                            if (in->writable() || out.readable()) return 1;
                            for (Bytes message; in->recv_bytes(message) == Status::kOk;) (void)out.send_bytes(message);
                            return 0;
                          }};

TEST_P(SpawnPipe, X44_EndsAreGivenToSpawnedProcesses) {
  CRUCIBLE_REQUIRE(transferable);
  auto [here, there] = pipe();
  Child child(echoing, std::move(there));
  start_spawned(child);
  for (const std::size_t size : {0UL, 1UL, 5'000UL, 300'000UL}) {
    give(*here, pattern(size, size));
    EXPECT_TRUE(same(take(*here), pattern(size, size)));
  }
  child.kill();
  child.join();
  EXPECT_EQ(next_status(*here), Status::kEof);
  EXPECT_EQ(here->send_bytes({}), Status::kBrokenPipe);
}

TEST_P(SpawnPipe, X44_EndsKeepTheirDirection) {
  CRUCIBLE_REQUIRE(transferable);
  auto [reader, to_reader] = pipe({.duplex = false});
  auto [from_writer, writer] = pipe({.duplex = false});
  give(*to_reader, pattern(100, 1));  // before anybody is there
  Child child(passing_on, std::move(reader), std::move(writer));
  start_spawned(child);
  give(*to_reader, pattern(70'000, 2));
  EXPECT_TRUE(same(take(*from_writer), pattern(100, 1)));
  EXPECT_TRUE(same(take(*from_writer), pattern(70'000, 2)));
  to_reader.reset();
  EXPECT_EQ(next_status(*from_writer), Status::kEof);
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

TEST_P(SpawnPipe, X28_EndsThatCannotBeGivenAreRefused) {
  auto [here, there] = pipe();
  if (capabilities().transferable) there->close();
  Child child(echoing, std::move(there));
  make_spawned(child);
  if (capabilities().transferable) {
    EXPECT_THROW(child.start(), Closed);
  } else {
    EXPECT_THROW(child.start(), Unsupported);
  }
  EXPECT_EQ(child.pid(), std::nullopt);
  child.set_start_method("fork");
  child.start();
  child.kill();
  child.join();
  EXPECT_EQ(child.exit_code(), -SIGKILL);
}

CRUCIBLE_INSTANTIATE(SpawnPipe);

}  // namespace
}  // namespace crucible::testing
