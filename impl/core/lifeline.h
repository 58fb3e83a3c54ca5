// Lifeline: a descriptor by which the kernel tells that the processes at its other end are gone.
#pragma once

#include <utility>

#include "api/deadline.h"
#include "api/waitable.h"
#include "core/fd.h"

namespace crucible {

/// One end of a pair. The kernel closes a dead process's copies, so an end is severed once every process that held the
/// other end has closed it or died in whatever way; pids, which are reused, play no part. Nothing is ever sent.
/// Any thread may ask; destruction ends this process's hold.
class Lifeline final : public Waitable {
 public:
  /// Throws std::system_error (descriptors exhausted).
  static std::pair<Lifeline, Lifeline> pair();
  Lifeline(Lifeline&& other) noexcept : end_(std::move(other.end_)) {}

  /// Whether the other end is gone. Does not block.
  [[nodiscard]] bool severed() const { return severed_by(Deadline::immediate()); }
  /// Waits for it until `deadline`.
  [[nodiscard]] bool severed_by(Deadline deadline) const;
  /// Polls readable once severed.
  int descriptor() const noexcept { return end_.get(); }

  bool begin_wait(pollfd& slot) override;
  bool end_wait(short revents) override;

 private:
  explicit Lifeline(int descriptor) noexcept : end_(descriptor) {}

  Fd end_;
};

}  // namespace crucible
