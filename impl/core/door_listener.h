// The listener of every named door.
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/listener.h"
#include "core/door.h"
#include "core/door_socket.h"
#include "core/event_fd.h"
#include "core/gate.h"
#include "core/handshake.h"

namespace crucible {

class DoorListener final : public Listener {
 public:
  /// A full house drops who has been silent longest, so that peers that say nothing cannot keep others out.
  static constexpr std::size_t kMostHandshakes = 256;
  /// While so many connections wait to be accepted no further peer is let in; the kernel holds it back.
  static constexpr std::size_t kMostReady = 128;

  /// With `serve` visitors are served on the thread, and neither they nor refusals wait for accept().
  DoorListener(const DoorKind& kind, OpenDoor door, const DoorOptions& options,
               std::function<void(const Fd& socket)> serve);
  ~DoorListener() override { close(); }

  Status accept(std::unique_ptr<Connection>& connection, Deadline deadline = Deadline::never()) override;
  const std::string& address() const noexcept override { return address_; }
  void close() noexcept override;
  bool begin_wait(pollfd& slot) override;
  bool end_wait(short revents) override;
  /// Before main, so that a fork takes its mutexes behind the family's (core/fork_order.h).
  static void register_with_forks();

 private:
  struct Visitor {
    Handshake handshake;
    PeerCredentials credentials;
    bool has_credentials;
    std::int64_t since_ns;
  };
  using Visitors = std::list<Visitor>;

  /// The live listeners of this process, so that a fork finds none of them in the middle of something.
  template <class, class>
  friend class ForkRegistry;
  class Registry;

  static void* run_thread(void* listener);
  void run();
  bool sleep();
  void shed() noexcept;
  void hear_visitors();
  void expire();
  void admit_newcomers();
  void turn_away() noexcept;
  void welcome(Visitor& visitor) noexcept;
  void refuse(Visitor& visitor) noexcept;
  void count_refused() noexcept;
  bool has_room() noexcept;
  Status take(std::unique_ptr<Connection>& connection);
  bool is_ready() noexcept;
  void abandon() noexcept;
  void before_fork();
  void after_fork_in_parent();
  bool after_fork_in_child();

  const DoorKind kind_;
  const DoorOptions options_;
  const Terms terms_;
  const std::function<void(const Fd& socket)> serve_;
  const std::int64_t patience_ns_;
  std::string address_;
  std::optional<SocketFile> file_;
  Fd socket_;
  EventFd bell_;   // wakes the handshake thread
  EventFd ready_;  // rung while there is something to accept
  Fd spare_;       // given up for a moment to turn a peer away when there is no other
  Gate gate_;
  pthread_t thread_;
  std::atomic<bool> leaving_ = false;
  bool is_copy_ = false;  // made by a fork: it has neither the thread nor the name

  std::mutex visitors_mutex_;  // held by the thread whenever it is awake; taken before the other one
  Visitors visitors_;          // in order of arrival
  std::vector<pollfd> slots_;
  std::int64_t resume_ns_ = 0;  // no accept4() before then

  std::mutex ready_mutex_;
  std::deque<std::unique_ptr<Connection>> waiting_;
  std::uint64_t refused_ = 0;  // and not yet reported
};

}  // namespace crucible
