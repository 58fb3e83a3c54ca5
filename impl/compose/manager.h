// ComposedManager: a Manager over any mechanism's connections. README.md in this folder explains how.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "api/manager.h"
#include "compose/broker_process.h"
#include "compose/manager_wire.h"
#include "compose/queue.h"
#include "compose/remote_server.h"
#include "core/event_fd.h"

namespace crucible {

class ComposedManager final : public Manager {
 public:
  /// What follows from a mechanism's pipe.
  static constexpr Capabilities capabilities(const Capabilities& pipe) noexcept {
    return {.cross_host = pipe.cross_host,
            .local_names = pipe.local_names,
            .survives_kill = pipe.survives_kill,
            .max_message_bytes = manager_wire::kLongestRequest};
  }

  ComposedManager(const QueueCarrier& carrier, std::string address, ManagerOptions options);
  ~ComposedManager() override;

  void start(const std::function<void()>& initializer = {}) override;
  bool connect(Deadline deadline = Deadline::never()) override;
  void serve_forever(const std::function<void(const std::string&)>& ready = {}) override;
  void shutdown() override;
  std::optional<pid_t> pid() const override;
  const std::string& address() const noexcept override { return address_; }
  const std::shared_ptr<ObjectServer>& server() const override;
  std::string_view mechanism() const noexcept override { return carrier_.mechanism; }
  std::string_view form() const noexcept override { return "composed"; }

 private:
  enum class Life : std::uint8_t { kNew, kStarting, kStarted, kConnected, kServing, kOver };

  void leave_new(Life next);
  RemoteServer::Door door() const;

  const QueueCarrier& carrier_;
  const ManagerOptions options_;
  const bool has_address_;
  std::string address_;
  std::atomic<Life> life_ = Life::kNew;
  std::shared_ptr<BrokerProcess> process_;
  std::shared_ptr<ObjectServer> server_;
  std::optional<EventFd> stop_;  // while it serves in this process
  std::mutex stopping_;          // guards that
  pid_t starter_ = 0;
};

}  // namespace crucible
