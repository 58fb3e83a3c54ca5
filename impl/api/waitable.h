// What wait() and event loops can sleep on, whether or not the kernel knows its state.
#pragma once

#include <poll.h>

namespace crucible {

/// The protocol: begin_wait() either says that the object is ready now or fills in a descriptor, at all times of the
/// same open file, that poll(2) reports no later than when the object becomes ready; after the sleep end_wait() says
/// whether it is. Every begin_wait() that returned false is followed by one end_wait(), so an object in memory can
/// announce a sleeper to its peer and withdraw it. Same thread rules as for the object's receiving direction.
class Waitable {
 public:
  Waitable() = default;
  Waitable(const Waitable&) = delete;
  Waitable& operator=(const Waitable&) = delete;
  virtual ~Waitable() = default;

  /// True: ready, nothing armed. False: `slot.fd` and `slot.events` are filled in.
  /// Throws Closed on a closed object.
  virtual bool begin_wait(pollfd& slot) = 0;
  /// `revents` as poll(2) left them. True: ready. False: woken for nothing, wait again.
  virtual bool end_wait(short revents) = 0;
  /// How long a sleep may last before end_wait() must have a look, whatever poll(2) says: for an object whose peer can
  /// die after it has changed the object's state and before it has woken the sleeper. Negative: no limit.
  virtual int longest_sleep_ms() const noexcept { return -1; }
};

}  // namespace crucible
