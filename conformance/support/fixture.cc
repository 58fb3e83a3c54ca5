#include "conformance/support/fixture.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <thread>

#include "conformance/support/watchdog.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

std::string running_test() {
  const ::testing::TestInfo* const info = ::testing::UnitTest::GetInstance()->current_test_info();
  return info == nullptr ? "a test" : std::string(info->test_suite_name()) + "." + info->name();
}

}  // namespace

void CleanFixture::SetUp() {
  watchdog::arm(running_test());
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  warm_up();
  before_ = Inventory::take();
}

void CleanFixture::TearDown() {
  for (const std::string& difference : Inventory::take().differences_from(before_)) ADD_FAILURE() << difference;
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

std::vector<const Mechanism*> all_mechanisms() {
  std::vector<const Mechanism*> all;
  for (const Mechanism& mechanism : mechanisms()) all.push_back(&mechanism);
  return all;
}

}  // namespace crucible::testing
