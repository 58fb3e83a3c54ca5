#include "api/mechanism.h"

#include <unistd.h>

#include <string>
#include <tuple>

#include "api/status.h"

namespace crucible {

Context context(std::string_view name) {
  std::string known;
  for (const Mechanism& mechanism : mechanisms()) {
    if (mechanism.name == name) return Context(mechanism);
    known += known.empty() ? "" : ", ";
    known += mechanism.name;
  }
  throw BadArgument("no mechanism named '" + std::string(name) + "'; there are: " + known);
}

const QueueForm& Context::default_queue() const {
  if (mechanism_->queues.empty()) throw Unsupported(std::string(name()) + " has no queue");
  return mechanism_->queues.front();
}

std::unique_ptr<Queue> Context::joinable_queue(QueueOptions options) const {
  options.joinable = true;
  return queue(options);
}

SimpleQueue Context::simple_queue() const { return SimpleQueue(queue()); }

std::unique_ptr<Pool> Context::pool(const PoolOptions& options) const {
  if (mechanism_->pools.empty()) throw Unsupported(std::string(name()) + " has no pool");
  return mechanism_->pools.front().create(options);
}

std::unique_ptr<Pool> Context::pool(int processes, PoolOptions options) const {
  options.processes = processes;
  return pool(options);
}

std::unique_ptr<Manager> Context::unstarted_manager(const std::string& address, const ManagerOptions& options) const {
  if (mechanism_->managers.empty()) throw Unsupported(std::string(name()) + " has no manager");
  return mechanism_->managers.front().make(address, options);
}

std::unique_ptr<Manager> Context::manager(const std::string& address, const ManagerOptions& options) const {
  std::unique_ptr<Manager> manager = unstarted_manager(address, options);
  manager->start();
  return manager;
}

std::unique_ptr<Manager> Context::open_manager(const std::string& address, const ManagerOptions& options) const {
  std::unique_ptr<Manager> manager = unstarted_manager(address, options);
  (void)manager->connect();
  return manager;
}

const ManagerForm& Context::default_store() const {
  if (mechanism_->stores.empty()) throw Unsupported(std::string(name()) + " has no store");
  return mechanism_->stores.front();
}

std::unique_ptr<Manager> Context::store(const std::string& address, const ManagerOptions& options) const {
  std::unique_ptr<Manager> store = default_store().make(address, options);
  store->start();
  return store;
}

std::unique_ptr<Manager> Context::open_store(const std::string& address) const {
  std::unique_ptr<Manager> store = default_store().make(address, {});
  (void)store->connect();
  return store;
}

Status send_connection(Connection& through, const Connection& end, Deadline deadline) {
  const Handle handle = end.handle();
  const Encoded message = encode(std::tuple(std::string(end.mechanism()), handle.state));
  return through.send_descriptors(handle.descriptors, message.view(), deadline);
}

Status recv_connection(Connection& through, std::unique_ptr<Connection>& end, Deadline deadline) {
  Handle handle;
  Bytes message;
  const Status status = through.recv_descriptors(handle.descriptors, message, deadline);
  if (status != Status::kOk) return status;
  try {
    auto [name, state] = decode<std::tuple<std::string, Bytes>>(message);
    handle.state = std::move(state);
    end = context(name).mechanism().adopt(handle);
    return Status::kOk;
  } catch (const Error&) {  // not sent by send_connection, or from a program with other mechanisms
    for (const int descriptor : handle.descriptors) ::close(descriptor);
    return Status::kBadArgument;
  }
}

}  // namespace crucible
