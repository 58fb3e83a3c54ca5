// SharedMemoryManager: segments that last as long as it does, whoever creates and uses them.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "core/fd.h"
#include "core/process.h"
#include "core/shareable_list.h"
#include "core/shared_memory.h"

namespace crucible {

/// Starts a process that is a user of every segment that is created through the manager, and at shutdown() removes
/// their names, in use or not. Forked children create through their copies of the handle; what they create outlives
/// them. Any thread.
///
/// The server ignores SIGINT. It ends, and removes what it keeps, when it is told to, asked to by SIGTERM, or when the
/// process that started it has ended, in whatever way. Killed itself, it leaves segments that last as long as their
/// users, as without a manager.
class SharedMemoryManager {
 public:
  /// Starts nothing.
  SharedMemoryManager() = default;
  SharedMemoryManager(const SharedMemoryManager&) = delete;
  SharedMemoryManager& operator=(const SharedMemoryManager&) = delete;
  /// In the process that started it, shutdown().
  ~SharedMemoryManager();

  /// Throws StateError: it was started before; std::system_error.
  void start();
  /// Segments with names of their own. Throw StateError: not started; Closed: after shutdown(); Broken: the server has
  /// ended; and as SharedMemory::create(), also for the server's descriptors, of which each segment needs one.
  std::unique_ptr<SharedMemory> shared_memory(std::size_t bytes);
  std::unique_ptr<ShareableList> shareable_list(std::span<const Object> items);
  std::unique_ptr<ShareableList> shareable_list(std::initializer_list<Object> items) {
    return shareable_list(std::span(items));
  }

  /// Returns when no segment can be attached any more; whoever is attached goes on. A server that does not do it in
  /// kPatience is killed, and leaves what others use. Idempotent. StateError: not started, or not by this process.
  void shutdown();
  static constexpr std::chrono::seconds kPatience{1};
  /// Of the server; nothing before start() and after shutdown().
  std::optional<pid_t> pid() const;

 private:
  void require_running() const;
  void keep(const SharedMemory::Handle& handle);

  mutable std::mutex mutex_;  // guards the start and the end
  std::atomic<pid_t> starter_ = 0;
  std::atomic<bool> ended_ = false;
  std::unique_ptr<Process> server_;
  Fd channel_;   // SOCK_SEQPACKET, shared by all who ask; each answer comes by a socket of its own
  Fd lifetime_;  // a pidfd of the server
};

}  // namespace crucible
