// The servers of composed managers that this process knows.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "compose/remote_server.h"
#include "core/fork_registry.h"

namespace crucible {

class RemoteServer::Registry : public ForkRegistry<Registry, RemoteServer> {
 public:
  void enter(RemoteServer* server) {
    ForkRegistry::enter(server);
    const std::lock_guard lock(mutex);
    doors_.insert_or_assign(server->id_, server->door_);
  }
  std::shared_ptr<RemoteServer> find(const ServerId& id) {
    const std::lock_guard lock(mutex);
    for (RemoteServer* const server : objects) {
      if (server->id_ != id) continue;
      if (auto living = std::static_pointer_cast<RemoteServer>(server->weak_from_this().lock())) return living;
    }
    return nullptr;
  }
  /// The key that this process has used for it.
  std::optional<Door> door(const ServerId& id) {
    const std::lock_guard lock(mutex);
    const auto found = doors_.find(id);
    return found == doors_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  std::map<ServerId, Door> doors_;
};

}  // namespace crucible
