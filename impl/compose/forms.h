// The forms in which a mechanism has each primitive: its own, and what is composed of its connections.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "api/mechanism.h"
#include "api/pool.h"
#include "api/queue.h"
#include "compose/manager.h"
#include "compose/pool.h"
#include "compose/queue.h"
#include "core/door.h"

namespace crucible {

/// M::Queue with `static create` and `static open` as QueueForm has them, and M::kQueue.
template <class M>
constexpr QueueForm native_queue() {
  QueueForm form = {};
  form.name = "native";
  form.capabilities = M::kQueue;
  if constexpr (requires { M::kWaits; }) form.waits = M::kWaits;
  form.create = [](const std::string& address, const QueueOptions& options) -> std::unique_ptr<Queue> {
    require_offered<M>(options.wait);
    return M::Queue::create(address, options);
  };
  form.open = [](const std::string& address, const QueueOptions& options, Deadline deadline) -> std::unique_ptr<Queue> {
    require_offered<M>(options.wait);
    return M::Queue::open(address, options, deadline);
  };
  return form;
}

/// The name by which a composed queue's door tells its clients from those of M's pipes.
template <class M>
inline constexpr auto kBrokersName = [] {
  constexpr std::string_view kSuffix = " composed";
  std::array<char, M::kName.size() + kSuffix.size()> name = {};
  std::copy(kSuffix.begin(), kSuffix.end(), std::copy(M::kName.begin(), M::kName.end(), name.begin()));
  return name;
}();
template <class M>
constexpr DoorKind brokers_door() {
  DoorKind door = M::kDoor;
  door.mechanism = {kBrokersName<M>.data(), kBrokersName<M>.size()};
  return door;
}
template <class M>
inline constexpr DoorKind kBrokersDoor = brokers_door<M>();

template <class M>
constexpr QueueCarrier queue_carrier() {
  QueueCarrier carrier = {};
  carrier.mechanism = M::kName;
  carrier.scheme = M::kScheme;
  carrier.pipe = M::kPipe;
  if constexpr (requires { M::kModestPipe; }) carrier.pipe_bytes = M::kModestPipe;
  carrier.tells_news = requires { M::kWaits; };
  carrier.listen = [](const std::string& address, const DoorOptions& options) {
    return open_door(kBrokersDoor<M>, address, options);
  };
  carrier.connect = [](const std::string& address, const DoorOptions& options, Deadline deadline) {
    return enter_door(kBrokersDoor<M>, address, options, deadline);
  };
  return carrier;
}
template <class M>
inline constexpr QueueCarrier kQueueCarrier = queue_carrier<M>();

/// Over the connections behind M::kDoor.
template <class M>
constexpr QueueForm composed_queue() {
  QueueForm form = {};
  form.name = "composed";
  form.capabilities = ComposedQueue::capabilities(M::kPipe);
  form.create = [](const std::string& address, const QueueOptions& options) -> std::unique_ptr<Queue> {
    return ComposedQueue::create(kQueueCarrier<M>, address, options);
  };
  form.open = [](const std::string& address, const QueueOptions& options, Deadline deadline) -> std::unique_ptr<Queue> {
    return ComposedQueue::open(kQueueCarrier<M>, address, options, deadline);
  };
  return form;
}

/// The native form, where there is one, before the composed one.
template <class M>
constexpr auto queue_forms() {
  if constexpr (requires { typename M::Queue; }) {
    return std::array{native_queue<M>(), composed_queue<M>()};
  } else {
    return std::array{composed_queue<M>()};
  }
}
template <class M>
inline constexpr auto kQueueForms = queue_forms<M>();

/// Over the connections behind M::kDoor.
template <class M>
constexpr PoolForm composed_pool() {
  PoolForm form = {};
  form.name = "composed";
  form.capabilities = ComposedPool::capabilities(M::kPipe);
  if constexpr (requires { M::kWaits; }) form.waits = M::kWaits;
  form.create = [](const PoolOptions& options) -> std::unique_ptr<Pool> {
    require_offered<M>(options.wait);
    constexpr bool kLooks = requires { M::kWaits; };
    return ComposedPool::create(kQueueCarrier<M>, kLooks, options);
  };
  return form;
}
template <class M>
inline constexpr auto kPoolForms = std::array{composed_pool<M>()};

/// What carries a composed manager: the same door under another name.
template <class M>
inline constexpr auto kManagersName = [] {
  constexpr std::string_view kSuffix = " manager";
  std::array<char, M::kName.size() + kSuffix.size()> name = {};
  std::copy(kSuffix.begin(), kSuffix.end(), std::copy(M::kName.begin(), M::kName.end(), name.begin()));
  return name;
}();
template <class M>
inline constexpr DoorKind kManagersDoor = [] {
  DoorKind door = M::kDoor;
  door.mechanism = {kManagersName<M>.data(), kManagersName<M>.size()};
  return door;
}();
template <class M>
inline constexpr QueueCarrier kManagerCarrier = [] {
  QueueCarrier carrier = queue_carrier<M>();
  carrier.listen = [](const std::string& address, const DoorOptions& options) {
    return open_door(kManagersDoor<M>, address, options);
  };
  carrier.connect = [](const std::string& address, const DoorOptions& options, Deadline deadline) {
    return enter_door(kManagersDoor<M>, address, options, deadline);
  };
  return carrier;
}();

template <class M>
inline constexpr auto kManagerForms = [] {
  ManagerForm form = {};
  form.name = "composed";
  form.capabilities = ComposedManager::capabilities(M::kPipe);
  if constexpr (requires { M::kWaits; }) form.waits = M::kWaits;
  form.make = [](const std::string& address, const ManagerOptions& options) -> std::unique_ptr<Manager> {
    require_offered<M>(options.wait);
    return std::make_unique<ComposedManager>(kManagerCarrier<M>, address, options);
  };
  form.arrived = [](const TravellingReference& reference) {
    return RemoteServer::arrived(kManagerCarrier<M>, reference);
  };
  form.reach = kManagerCarrier<M>.connect;
  return std::array{form};
}();

/// M::Store with `static make` and `static arrived` as ManagerForm has them, and kCapabilities.
template <class M>
constexpr auto store_forms() {
  if constexpr (requires { typename M::Store; }) {
    ManagerForm form = {};
    form.name = "native";
    form.capabilities = M::Store::kCapabilities;
    form.make = [](const std::string& address, const ManagerOptions& options) -> std::unique_ptr<Manager> {
      require_offered<M>(options.wait);
      return M::Store::make(address, options);
    };
    form.arrived = &M::Store::arrived;
    form.reach = [](const std::string&, const DoorOptions&, Deadline) -> std::unique_ptr<Connection> {
      throw Unsupported("a store has no server to connect to");
    };
    return std::array{form};
  } else {
    return std::array<ManagerForm, 0>{};
  }
}
template <class M>
inline constexpr auto kStoreForms = store_forms<M>();

}  // namespace crucible
