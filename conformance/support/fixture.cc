#include "conformance/support/fixture.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>

#include "conformance/support/watchdog.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

std::string running_test() {
  const ::testing::TestInfo* const info = ::testing::UnitTest::GetInstance()->current_test_info();
  return info == nullptr ? "a test" : std::string(info->test_suite_name()) + "." + info->name();
}

bool is_of_a_name(const std::string& difference) { return difference.starts_with("name "); }

}  // namespace

void CleanFixture::SetUp() {
  watchdog::arm(running_test());
  std::signal(SIGINT, SIG_DFL);  // a shell's background job was started with it ignored
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  warm_up();
  before_ = Inventory::take();
}

void CleanFixture::TearDown() {
  std::vector<std::string> differences = Inventory::take().differences_from(before_);
  // Tests run side by side: what a process killed by another one has left is gone with that test's next step.
  for (int looks = 0; looks < 200 && std::ranges::any_of(differences, is_of_a_name); ++looks) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    differences = Inventory::take().differences_from(before_);
  }
  for (const std::string& difference : differences) ADD_FAILURE() << difference;
  watchdog::disarm();
}

void CleanFixture::warm_up() {
  Process first;  // opens what the children of this process will know their parent by
  first.start();
  first.join();
  std::thread([] {}).join();  // with the first thread ThreadSanitizer starts one of its own
}

void CleanFixture::await_orphans() {
  for (;;) {
    if (::waitpid(-1, nullptr, 0) < 0 && errno != EINTR) return;
  }
}

void MechanismTest::warm_up() {
  CleanFixture::warm_up();
  (void)pipe();
}

std::string Variant::name() const {
  std::string name(mechanism->name);
  if (named) name += "_named";
  if (read_ahead) name += "_ahead";
  if (wait) name.append("_").append(to_string(*wait));
  return name;
}

Capabilities Variant::capabilities() const {
  Capabilities left = mechanism->pipe;
  if (read_ahead) left.pollable = left.hands_over = left.transferable = false;
  return left;
}

ConnectionPair Variant::pipe(PipeOptions options) const {
  options.read_ahead = options.read_ahead || read_ahead;
  if (wait && !options.wait) options.wait = wait;
  if (!named || !options.duplex) return mechanism->make_pipe(options);  // a door leads to duplex connections only
  const DoorOptions door = {.pipe = options};
  const std::unique_ptr<Listener> listener = mechanism->listen(std::string(mechanism->scheme) + ":", door);
  ConnectionPair ends;
  ends.second = mechanism->connect(listener->address(), door, Deadline::never());
  const Status status = listener->accept(ends.first);
  if (status != Status::kOk) throw_status(status, "accept");
  return ends;
}

std::vector<Variant> all_variants() {
  std::vector<Variant> all;
  for (const Mechanism& mechanism : mechanisms()) {
    all.push_back({.mechanism = &mechanism});
    if (!mechanism.scheme.empty()) all.push_back({.mechanism = &mechanism, .named = true});
    if (mechanism.reads_ahead) all.push_back({.mechanism = &mechanism, .read_ahead = true});
    for (std::size_t i = 1; i < mechanism.waits.size(); ++i) {
      all.push_back({.mechanism = &mechanism, .wait = mechanism.waits[i]});
    }
  }
  return all;
}

std::vector<Variant> all_mechanisms() {
  std::vector<Variant> all;
  for (const Mechanism& mechanism : mechanisms()) all.push_back({.mechanism = &mechanism});
  return all;
}

}  // namespace crucible::testing
