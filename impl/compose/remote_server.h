// RemoteServer: the server of a composed manager, as this process reaches it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "api/object_server.h"
#include "compose/broker_process.h"
#include "compose/manager_link.h"
#include "compose/queue.h"
#include "core/fd.h"

namespace crucible {

/// Connects when it is first used, in each process of its own.
class RemoteServer final : public ObjectServer {
 public:
  struct Door {
    std::string address;
    DoorOptions options;
    TravellingReference::Key key;
  };

  /// One that this process, or one that it was forked from, has started.
  static std::shared_ptr<RemoteServer> of_the_family(const QueueCarrier& carrier, const ServerId& id, Door door,
                                                     std::shared_ptr<BrokerProcess> process);
  /// Whichever listens there. Null: the deadline passed first. Throws as Mechanism::connect.
  static std::shared_ptr<RemoteServer> at(const QueueCarrier& carrier, Door door, Deadline deadline);
  /// As ManagerForm::arrived.
  static Reference arrived(const QueueCarrier& carrier, const TravellingReference& reference);

  RemoteServer(const QueueCarrier& carrier, const ServerId& id, Door door, std::shared_ptr<BrokerProcess> process);
  ~RemoteServer() override;

  Status begin(std::uint64_t object, ByteView request, std::unique_ptr<Call>& call, Deadline deadline) override;
  Status call(std::uint64_t object, ByteView request, Bytes& answer, Deadline deadline) override;
  Reference granted(std::uint64_t object, std::string type) override;
  const ServerId& id() const noexcept override { return id_; }
  std::string_view mechanism() const noexcept override { return carrier_.mechanism; }
  const std::string& address() const noexcept override { return door_.address; }

  /// Before main, so that a fork takes its mutexes behind the family's (core/fork_order.h).
  static void register_with_forks();

 private:
  template <class, class>
  friend class ForkRegistry;
  class Registry;
  class UnderWay;
  class Hold;

  Status find_link(std::shared_ptr<ManagerLink>& link, Deadline deadline);
  Status connect(std::shared_ptr<ManagerLink>& link, Deadline deadline);
  Status make_link(std::shared_ptr<ManagerLink>& link, ServerId& found, Deadline deadline);
  void use_key_of(const RemoteServer& other);
  Bytes travel(std::uint64_t object, const std::string& type);
  void redeem(std::uint64_t ticket, std::uint64_t object, Deadline deadline);
  void let_go(std::uint64_t object) noexcept;
  void announce_heir() noexcept;
  void before_fork();
  void after_fork_in_parent();
  bool after_fork_in_child();

  const QueueCarrier& carrier_;
  ServerId id_;
  Door door_;                                     // its key is guarded by mutex_
  const std::shared_ptr<BrokerProcess> process_;  // of the family

  std::timed_mutex connecting_;
  std::mutex mutex_;  // guards what follows; held across fork
  std::shared_ptr<ManagerLink> link_;
  std::map<std::uint64_t, std::uint64_t> holds_;  // how many of which object
  std::uint64_t client_ = 0;                      // what the server knows this process by, or its parent called it
  bool is_heir_ = false;                          // the latter: it has not connected since the fork
  Fd line_;                                       // in an heir: goes with it
  std::uint64_t announced_ = 0;                   // during a fork: the child
  Fd announced_line_;
};

}  // namespace crucible
