// The program of the spawn tests, which is also what it spawns. On demand a spawned one misbehaves before init().
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "conformance/spawn_support.h"

namespace {

void begin(int argc) {
  const char* const wanted = std::getenv(crucible::testing::kBeginning);
  if (wanted == nullptr || argc < 2) return;
  if (wanted == std::string_view("die")) ::_exit(9);
  if (wanted == std::string_view("hang")) {
    for (;;) ::pause();
  }
  try {
    crucible::Process child([] {});
    child.start();
    child.join();
  } catch (const crucible::StateError&) {
    ::_exit(77);
  }
  ::_exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  begin(argc);
  crucible::init(argc, argv);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
