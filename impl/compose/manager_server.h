// ManagerServer: in whose process a composed manager's objects lie. README.md in this folder explains what it promises.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "api/connection.h"
#include "api/listener.h"
#include "api/managed_types.h"
#include "compose/manager_wire.h"
#include "compose/served_object.h"
#include "compose/server_call.h"
#include "compose/server_looks.h"
#include "compose/undertaker.h"
#include "compose/workers.h"
#include "core/event_fd.h"
#include "core/event_loop.h"
#include "core/fd.h"

namespace crucible {

/// Serves the clients that come in by a listener. One thread, which never waits for a client, and others for methods of
/// registered types.
class ManagerServer {
 public:
  ManagerServer(std::string_view mechanism, EventLoop& loop, Listener& listener, const ServerId& id, ManagedTypes types,
                Glance glance);
  ~ManagerServer();

  void run_once();  ///< a round of the loop
  /// Whether a client that is not of the creator's family is connected.
  bool has_strangers() const noexcept { return strangers_ > 0; }

  ObjectTable& objects() noexcept { return objects_; }
  const ObjectTable& objects() const noexcept { return objects_; }
  std::string_view mechanism() const noexcept { return mechanism_; }
  const ManagedTypes& types() const noexcept { return types_; }
  Workers& workers() noexcept { return workers_; }
  /// Runs `job` on the server's thread. Any thread.
  void deliver(std::function<void()> job);
  /// An Announcement (compose/manager_wire.h) and its line.
  void inherit(ByteView announcement, Fd line);
  /// Called before holds of a client are let go: who has announced an heir by then must have been heard.
  void on_letting_go(std::function<void()> hear) { hear_family_ = std::move(hear); }

  /// A hold that belongs to no client until one redeems it.
  std::uint64_t make_ticket(std::shared_ptr<ServedObject> object);
  void redeem(std::uint64_t ticket, ServerSession& session);  ///< throws NotFound

 private:
  friend class ServerCall;
  using Timers = std::multimap<std::int64_t, CallPointer>;

  void look_around();
  bool look_once();
  void let_others_run();
  void notice_deaths(const ServerSession& asking);
  void welcome_newcomers();
  void hear(ServerSession& session);
  bool receive(ServerSession& session);
  bool greet(ServerSession& session, const manager_wire::Header& header, ByteView body);
  bool take_part(ServerSession& session, const manager_wire::Header& header, ByteView body);
  void serve(ServerSession& session, std::uint32_t id, std::uint64_t object, Bytes request);
  void fail(ServerSession& session, std::uint32_t id, const std::exception_ptr& error, const std::string& what);
  void cancel(ServerSession& session, std::uint32_t id);
  void forget_coming(ServerSession& session) noexcept;
  bool change_holds(ServerSession& session, ByteView numbers, bool adds);
  void forget_heir(std::uint64_t heir);

  void send(ServerSession& session, std::uint8_t kind, std::uint32_t id, std::uint8_t flags, ByteView body);
  void send_some(ServerSession& session, Deadline deadline = Deadline::immediate());
  void flush_stalled();
  void drop(ServerSession& session);
  void unpark(ServerSession& session, std::uint32_t id);
  void serve_timers();
  void serve_deliveries();
  void tidy();
  Deadline next_look() const;

  const std::string_view mechanism_;
  EventLoop& loop_;
  Listener& listener_;
  const ManagedTypes types_;
  EventFd bell_;  // something was delivered
  ReadableDescriptor delivered_;
  std::mutex deliveries_mutex_;
  std::vector<std::function<void()>> deliveries_;
  std::atomic<bool> has_dead_ = false;
  const std::thread::id thread_ = std::this_thread::get_id();
  ObjectTable objects_;
  std::shared_ptr<ServedObject> root_;
  std::unordered_map<ServerSession*, std::unique_ptr<ServerSession>> sessions_;
  std::vector<std::unique_ptr<ServerSession>> dropped_;  // in this round
  Undertaker undertaker_;
  std::uint64_t last_session_ = 0;
  std::size_t strangers_ = 0;
  Bytes in_;
  std::size_t coming_bytes_ = 0;  // of requests whose last part is still to come
  Timers timers_;
  struct Ticket {
    std::shared_ptr<ServedObject> object;
    std::int64_t ends_ns;
  };
  std::map<std::uint64_t, Ticket> tickets_;  // in the order of their ends
  struct Heir;
  std::unordered_map<std::uint64_t, std::unique_ptr<Heir>> heirs_;  // that have not come yet
  std::function<void()> hear_family_;
  std::uint64_t last_ticket_ = 0;
  std::unordered_set<ServerSession*> stalled_;  // whose transport did not take something
  int stalled_rounds_ = 0;                      // since any of them took something
  ServerLooks looks_;
  Workers workers_;  // ends first
};

}  // namespace crucible
