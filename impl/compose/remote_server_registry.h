// The servers of composed managers that this process knows.
#pragma once

#include <pthread.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "compose/remote_server.h"

namespace crucible {

// A forked child has a connection of its own. Lock order: this mutex, then each server's; no other is taken with them.
class RemoteServer::Registry {
 public:
  static Registry& get() {
    static Registry* const registry = [] {
      auto* created = new Registry;
      pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
      return created;
    }();
    return *registry;
  }
  void enter(RemoteServer* server) {
    const std::lock_guard lock(mutex_);
    servers_.push_back(server);
    doors_.insert_or_assign(server->id_, server->door_);
  }
  void leave(RemoteServer* server) noexcept {
    const std::lock_guard lock(mutex_);
    std::erase(servers_, server);
  }
  std::shared_ptr<RemoteServer> find(const ServerId& id) {
    const std::lock_guard lock(mutex_);
    for (RemoteServer* const server : servers_) {
      if (server->id_ != id) continue;
      if (auto living = std::static_pointer_cast<RemoteServer>(server->weak_from_this().lock())) return living;
    }
    return nullptr;
  }
  /// The key that this process has used for it.
  std::optional<Door> door(const ServerId& id) {
    const std::lock_guard lock(mutex_);
    const auto found = doors_.find(id);
    return found == doors_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  static void before_fork() {
    get().mutex_.lock();
    for (RemoteServer* server : get().servers_) {
      server->mutex_.lock();
      server->announce_heir();
    }
  }
  static void after_fork_in_parent() {
    for (RemoteServer* server : get().servers_) {
      server->forget_heir();
      server->mutex_.unlock();
    }
    get().mutex_.unlock();
  }
  static void after_fork_in_child() {
    for (RemoteServer* server : get().servers_) {
      server->become_copy();
      server->mutex_.unlock();
    }
    get().mutex_.unlock();
  }

  std::mutex mutex_;
  std::vector<RemoteServer*> servers_;
  std::map<ServerId, Door> doors_;
};

}  // namespace crucible
