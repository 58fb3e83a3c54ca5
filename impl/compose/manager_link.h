// ManagerLink: one process's connection to the server of a composed manager, shared by its threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "api/bytes.h"
#include "api/connection.h"
#include "api/deadline.h"
#include "api/reference.h"
#include "api/status.h"
#include "compose/manager_wire.h"

namespace crucible {

/// Any number of requests may be under way. Of the threads that wait for answers one receives, for all of them. After
/// kBroken it is of no further use.
class ManagerLink {
 public:
  explicit ManagerLink(std::unique_ptr<Connection> connection) noexcept : connection_(std::move(connection)) {}

  /// First of all. kStale: it is another server than `id`, unless that is zeros; `found` is its id. kAuth: no server.
  Status greet(const manager_wire::Hello& hello, bool of_the_family, ServerId& found, Deadline deadline);
  /// One more reference to each; before anybody else uses the link.
  Status hold(const std::vector<std::uint64_t>& objects, Deadline deadline);

  /// kOk: `id` is under way. kTimeout: nothing arrives.
  Status begin(std::uint64_t object, ByteView request, std::uint32_t& id, Deadline deadline);
  /// kOk, kRemote: `answer` is that to `id`, once. kTimeout, kBroken.
  Status await(std::uint32_t id, Bytes& answer, Deadline deadline);
  bool is_ready(std::uint32_t id);
  /// Nobody will await it.
  void cancel(std::uint32_t id) noexcept;
  /// One reference less.
  void drop(std::uint64_t object) noexcept;

  bool is_broken() const noexcept { return is_broken_; }
  /// In a forked child: it is the parent's. Nothing else of it may be used, nor may it be destroyed, since its mutexes
  /// may be held by threads that are not here.
  void orphan() noexcept;
  bool is_orphan() const noexcept { return is_orphan_; }

 private:
  struct Pending {
    Bytes answer = {};
    bool has_failed = false;
    bool is_done = false;
  };
  using Guard = std::unique_lock<std::mutex>;

  Status send_parts(std::uint64_t object, ByteView request, std::uint32_t id, std::uint32_t seen, Deadline deadline);
  std::uint32_t answers_seen() const noexcept;
  Status send_patiently(ByteView message, Deadline deadline);
  Status send_owed(Deadline deadline);
  void send_owed_soon() noexcept;
  bool owes_anything() const noexcept { return !is_broken_ && (!cancels_.empty() || !drops_.empty()); }
  Status receive_one(Guard& guard, Deadline deadline, bool is_sending = false);
  void take(ByteView message, bool is_sending);
  void ask_for_more(std::uint32_t id) noexcept;
  void break_off() noexcept;

  const std::unique_ptr<Connection> connection_;
  std::atomic<bool> is_broken_ = false;
  std::atomic<bool> is_orphan_ = false;

  std::timed_mutex sending_;    // taken before mutex_
  bool owes_give_up_ = false;   // of a request whose parts could not all be sent; guarded by sending_
  std::uint32_t given_up_ = 0;  // its id
  Bytes out_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool is_receiving_ = false;  // a thread does
  std::uint32_t last_id_ = 0;
  std::map<std::uint32_t, Pending> pending_;
  std::vector<std::uint32_t> cancels_;  // to be sent
  std::vector<std::uint64_t> drops_;
  Bytes in_;  // the receiving thread's
};

}  // namespace crucible
