// wait(): sleep until one of many things is ready.
#pragma once

#include <poll.h>

#include <cstddef>
#include <span>
#include <vector>

#include "api/deadline.h"
#include "api/waitable.h"

namespace crucible {

/// What wait() takes: a Connection, Process, Listener or Lifeline, or a plain descriptor (a sentinel, a socket) that is
/// ready when it polls readable, hung up or failed. Refers to the object, which must outlive the call.
class WaitItem {
 public:
  WaitItem(Waitable& object) noexcept : object_(&object) {}       // NOLINT(google-explicit-constructor)
  WaitItem(int descriptor) noexcept : descriptor_(descriptor) {}  // NOLINT(google-explicit-constructor)

  Waitable* object() const noexcept { return object_; }
  int descriptor() const noexcept { return descriptor_; }
  bool operator==(const WaitItem&) const noexcept = default;

 private:
  Waitable* object_ = nullptr;
  int descriptor_ = -1;
};

/// The positions, ascending, of all items that are ready; empty when the deadline passed first. End of file is ready,
/// and so is an ended process; a send-only end never is until its peer is gone. Throws BadArgument for an item that
/// stands twice or a negative descriptor, Closed for a closed object, also when it is closed meanwhile. No items: waits
/// out the deadline; with Deadline::never() returns at once. Counts as the receiving user of each connection.
std::vector<std::size_t> wait(std::span<const WaitItem> items, Deadline deadline = Deadline::never());
inline std::vector<std::size_t> wait(std::initializer_list<WaitItem> items, Deadline deadline = Deadline::never()) {
  return wait(std::span(items.begin(), items.size()), deadline);
}

/// What sleep_on() saw.
enum class Wake { kReady, kTimeout, kInterrupted };

/// poll(2) with a deadline. kReady: some revents are set. kInterrupted: a signal was handled.
/// Throws std::system_error.
Wake sleep_on(std::span<pollfd> slots, Deadline deadline);

}  // namespace crucible
