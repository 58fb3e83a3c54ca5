#include "compose/remote_server.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "compose/remote_server_registry.h"
#include "core/fork_order.h"

namespace crucible {
namespace {

using namespace std::chrono_literals;

std::uint64_t random_number() {
  std::uint64_t number = 0;
  while (number == 0) (void)!::getrandom(&number, sizeof number, 0);
  return number;
}

}  // namespace

void RemoteServer::register_with_forks() { Registry::get(); }

namespace {
[[gnu::constructor(fork_order::kOwner)]] void register_with_forks() { RemoteServer::register_with_forks(); }
}  // namespace

// The child holds what this process holds from the fork on, whenever it connects; unless it ends first, which the
// server sees by the line.
void RemoteServer::announce_heir() noexcept {
  if (process_ == nullptr || client_ == 0 || holds_.empty()) return;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return;
  const Fd servers(ends[0]);
  announced_line_ = Fd(ends[1]);
  const manager_wire::Announcement announcement = {.parent = client_, .heir = random_number()};
  const auto* const bytes = reinterpret_cast<const std::byte*>(&announcement);
  if (process_->tell({bytes, sizeof announcement}, servers.get())) announced_ = announcement.heir;
}

void RemoteServer::before_fork() {
  mutex_.lock();
  announce_heir();
}

void RemoteServer::after_fork_in_parent() {
  announced_ = 0;
  announced_line_.reset();
  mutex_.unlock();
}

// The child has a connection of its own.
bool RemoteServer::after_fork_in_child() {
  mutex_.unlock();
  if (process_ != nullptr) process_->become_copy();
  client_ = std::exchange(announced_, 0);
  is_heir_ = client_ != 0;
  line_ = std::move(announced_line_);
  new (&connecting_) std::timed_mutex;  // its holder does not exist here
  if (link_ == nullptr) return true;
  link_->orphan();
  // Never destroyed, see orphan(); nor is the one that may have stood here before.
  using Pointer = std::shared_ptr<ManagerLink>;
  alignas(Pointer) static std::array<std::byte, sizeof(Pointer)> forgotten;
  new (forgotten.data()) Pointer(std::move(link_));
  return true;
}

RemoteServer::RemoteServer(const QueueCarrier& carrier, const ServerId& id, Door door,
                           std::shared_ptr<BrokerProcess> process)
    : carrier_(carrier), id_(id), door_(std::move(door)), process_(std::move(process)) {}

RemoteServer::~RemoteServer() { Registry::get().leave(this); }

std::shared_ptr<RemoteServer> RemoteServer::of_the_family(const QueueCarrier& carrier, const ServerId& id, Door door,
                                                          std::shared_ptr<BrokerProcess> process) {
  auto server = std::make_shared<RemoteServer>(carrier, id, std::move(door), std::move(process));
  Registry::get().enter(server.get());
  return server;
}

std::shared_ptr<RemoteServer> RemoteServer::at(const QueueCarrier& carrier, Door door, Deadline deadline) {
  auto server = std::make_shared<RemoteServer>(carrier, ServerId{}, std::move(door), nullptr);
  std::shared_ptr<ManagerLink> link;
  const Status status = server->make_link(link, server->id_, deadline);
  if (status == Status::kTimeout) return nullptr;
  if (status != Status::kOk) throw_status(status == Status::kBroken ? Status::kEof : status, "connect");
  if (std::shared_ptr<RemoteServer> known = Registry::get().find(server->id_)) {
    known->use_key_of(*server);
    return known;
  }
  server->link_ = std::move(link);
  Registry::get().enter(server.get());
  return server;
}

// A proxy may have come before its key.
void RemoteServer::use_key_of(const RemoteServer& other) {
  const std::lock_guard lock(mutex_);
  door_.options.authkey = other.door_.options.authkey;
  door_.key = other.door_.key;
}

// --- The connection --------------------------------------------------------------------------------------------

Status RemoteServer::make_link(std::shared_ptr<ManagerLink>& link, ServerId& found, Deadline deadline) {
  DoorOptions options;
  {
    const std::lock_guard lock(mutex_);
    options = door_.options;
  }
  options.pipe.capacity_bytes = carrier_.pipe_bytes;
  std::unique_ptr<Connection> connection = carrier_.connect(door_.address, options, deadline);
  if (connection == nullptr) return Status::kTimeout;
  link = std::make_shared<ManagerLink>(std::move(connection));
  manager_wire::Hello hello = {.server = id_, .client = random_number(), .heir = 0};
  {
    const std::lock_guard lock(mutex_);
    if (is_heir_) hello.heir = client_;
  }
  const Status status = link->greet(hello, process_ != nullptr, found, deadline);
  if (status != Status::kOk) return status;
  const std::lock_guard lock(mutex_);
  client_ = hello.client;
  is_heir_ = false;
  line_.reset();
  return status;
}

Status RemoteServer::find_link(std::shared_ptr<ManagerLink>& link, Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    link = link_;
  }
  if (link != nullptr && !link->is_broken()) return Status::kOk;
  std::unique_lock connecting(connecting_, std::defer_lock);
  if (deadline.is_never()) {
    connecting.lock();
  } else if (!connecting.try_lock_for(std::max<std::chrono::nanoseconds>(deadline.left(), 1ms))) {
    return Status::kTimeout;
  }
  {
    const std::lock_guard lock(mutex_);
    link = link_;
  }
  if (link != nullptr && !link->is_broken()) return Status::kOk;
  return connect(link, deadline);
}

Status RemoteServer::connect(std::shared_ptr<ManagerLink>& link, Deadline deadline) {
  ServerId found = {};
  Status status = Status::kBroken;
  try {
    status = make_link(link, found, deadline);
  } catch (const Auth&) {
    return Status::kAuth;
  } catch (const Error&) {  // nobody is there
    return Status::kBroken;
  }
  if (status != Status::kOk) return status;
  // Others wait meanwhile: what they let go of must come behind.
  const std::lock_guard lock(mutex_);
  std::vector<std::uint64_t> held;
  for (const auto& [object, count] : holds_) held.insert(held.end(), static_cast<std::size_t>(count), object);
  status = link->hold(held, deadline);
  if (status == Status::kOk) link_ = link;
  return status;
}

// --- Requests --------------------------------------------------------------------------------------------------

class RemoteServer::UnderWay final : public ObjectServer::Call {
 public:
  UnderWay(std::shared_ptr<ManagerLink> link, std::uint32_t id) noexcept : link_(std::move(link)), id_(id) {}
  ~UnderWay() override {
    if (!is_over_ && !link_->is_orphan()) link_->cancel(id_);
  }
  Status await(Bytes& answer, Deadline deadline) override {
    if (is_over_ || link_->is_orphan()) return Status::kState;
    const Status status = link_->await(id_, answer, deadline);
    is_over_ = status != Status::kTimeout;
    return status;
  }
  bool is_ready() override { return is_over_ || link_->is_orphan() || link_->is_ready(id_); }

 private:
  const std::shared_ptr<ManagerLink> link_;
  const std::uint32_t id_;
  bool is_over_ = false;
};

Status RemoteServer::begin(std::uint64_t object, ByteView request, std::unique_ptr<Call>& call, Deadline deadline) {
  std::shared_ptr<ManagerLink> link;
  Status status = find_link(link, deadline);
  std::uint32_t id = 0;
  if (status == Status::kOk) status = link->begin(object, request, id, deadline);
  if (status == Status::kOk) call = std::make_unique<UnderWay>(std::move(link), id);
  return status;
}

Status RemoteServer::call(std::uint64_t object, ByteView request, Bytes& answer, Deadline deadline) {
  std::shared_ptr<ManagerLink> link;
  Status status = find_link(link, deadline);
  std::uint32_t id = 0;
  if (status == Status::kOk) status = link->begin(object, request, id, deadline);
  if (status != Status::kOk) return status;
  UnderWay call(std::move(link), id);
  return call.await(answer, deadline);
}

}  // namespace crucible
