// What the tests with programs that come through a named door share.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "conformance/exec_peer.h"
#include "conformance/pipe_support.h"

namespace crucible::testing {

class NamedPipe : public MechanismTest {
 protected:
  /// A program and this side's end of the connection by which it came.
  struct Meeting {
    std::unique_ptr<ExecPeer> peer;
    std::unique_ptr<Connection> end;
  };
  static Meeting meet(std::size_t capacity_bytes = 0) {
    const std::unique_ptr<Listener> listener =
        context().listen(std::string(mechanism().scheme) + ":", {.pipe = {.capacity_bytes = capacity_bytes}});
    Meeting meeting;
    meeting.peer = std::make_unique<ExecPeer>(mechanism().name, listener->address());
    meeting.peer->tell("connect " + std::to_string(capacity_bytes) + " 0");
    EXPECT_EQ(listener->accept(meeting.end), Status::kOk);
    EXPECT_EQ(meeting.peer->hear(), "Ok");
    return meeting;
  }
};

}  // namespace crucible::testing

// First statement of a test that needs an address.
#define CRUCIBLE_REQUIRE_DOOR                        \
  if (!mechanism().scheme.empty()) {                 \
  } else /* NOLINT(readability-else-after-return) */ \
    GTEST_SKIP() << mechanism().name << " has no named door"
