// Listener: the named door, by which programs that are no forks of each other meet.
#pragma once

#include <memory>
#include <string>

#include "api/connection.h"
#include "api/deadline.h"
#include "api/waitable.h"

namespace crucible {

/// Accepts connections at an address written as text with its scheme in front (`unix:/run/x`, `tcp:127.0.0.1:0`).
/// One thread accepts at a time; close() may come from any. Ready in wait() when accept() would not wait.
class Listener : public Waitable {
 public:
  /// The next connection, in `connection` on kOk. kTimeout, kClosed (also when close() comes meanwhile).
  virtual Status accept(std::unique_ptr<Connection>& connection, Deadline deadline = Deadline::never()) = 0;
  /// The address that connect() takes, with what the system chose (a port) filled in.
  virtual const std::string& address() const noexcept = 0;
  /// Removes the name. Accepted connections live on. Idempotent.
  virtual void close() noexcept = 0;
};

}  // namespace crucible
