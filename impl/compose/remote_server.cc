#include "compose/remote_server.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "api/codec.h"
#include "api/proxy.h"
#include "core/fork_order.h"
#include "core/process.h"

namespace crucible {
namespace {

using namespace std::chrono_literals;

constexpr auto kTakingUp = 1s;  // of a hold that arrived in a message, before its first use

std::uint64_t random_number() {
  std::uint64_t number = 0;
  while (number == 0) (void)!::getrandom(&number, sizeof number, 0);
  return number;
}

}  // namespace

// --- The servers that this process knows -----------------------------------------------------------------------

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

void RemoteServer::register_with_forks() { Registry::get(); }

namespace {
[[gnu::constructor(fork_order::kOwner)]] void register_with_forks() { RemoteServer::register_with_forks(); }
}  // namespace

// The child holds what this process holds from the fork on, whenever it connects; unless it ends first, which the server
// sees by the line.
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

void RemoteServer::forget_heir() noexcept {
  announced_ = 0;
  announced_line_.reset();
}

void RemoteServer::become_copy() noexcept {
  if (process_ != nullptr) process_->become_copy();
  client_ = std::exchange(announced_, 0);
  is_heir_ = client_ != 0;
  line_ = std::move(announced_line_);
  new (&connecting_) std::timed_mutex;  // its holder does not exist here
  if (link_ == nullptr) return;
  link_->orphan();
  (void)new std::shared_ptr<ManagerLink>(std::move(link_));  // never destroyed, see orphan()
  link_ = nullptr;
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
  if (std::shared_ptr<RemoteServer> known = Registry::get().find(server->id_)) return known;
  server->link_ = std::move(link);
  Registry::get().enter(server.get());
  return server;
}

// --- The connection --------------------------------------------------------------------------------------------

Status RemoteServer::make_link(std::shared_ptr<ManagerLink>& link, ServerId& found, Deadline deadline) {
  DoorOptions options = door_.options;
  options.pipe = {.capacity_bytes = carrier_.pipe_bytes};
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

// --- References ------------------------------------------------------------------------------------------------

class RemoteServer::Hold final : public ClientReferent {
 public:
  Hold(std::shared_ptr<RemoteServer> server, std::uint64_t object, std::string type, std::uint64_t ticket)
      : ClientReferent({.server = server->id(), .number = object}, std::move(type)),
        server_(std::move(server)),
        ticket_(ticket) {}
  ~Hold() override {
    if (ticket_ == 0) server_->let_go(name().number);
  }
  ObjectServer& server() override {
    take_up(Deadline::never());
    return *server_;
  }
  Bytes travel() const override {
    const_cast<Hold*>(this)->take_up(Deadline::never());
    return server_->travel(name().number, type());
  }
  void take_up(Deadline deadline) {
    if (ticket_ == 0) return;
    const std::lock_guard lock(taking_up_);
    if (ticket_ == 0) return;
    server_->redeem(ticket_, name().number, deadline);
    ticket_ = 0;
  }

 private:
  const std::shared_ptr<RemoteServer> server_;
  std::mutex taking_up_;
  std::atomic<std::uint64_t> ticket_;  // 0: it holds
};

Reference RemoteServer::granted(std::uint64_t object, std::string type) {
  {
    const std::lock_guard lock(mutex_);
    ++holds_[object];
  }
  auto self = std::static_pointer_cast<RemoteServer>(shared_from_this());
  return Reference(std::make_shared<Hold>(std::move(self), object, std::move(type), 0));
}

void RemoteServer::let_go(std::uint64_t object) noexcept {
  std::shared_ptr<ManagerLink> link;
  {
    const std::lock_guard lock(mutex_);
    const auto held = holds_.find(object);
    if (--held->second == 0) holds_.erase(held);
    link = link_;
  }
  if (link != nullptr) link->drop(object);
}

namespace {

// A call of the server itself.
template <class... Args>
Bytes ask(ObjectServer& server, Deadline deadline, std::string_view method, const Args&... args) {
  const ClientScope scope(server);
  const Encoded request = encode(
      std::tuple<std::uint64_t, std::string_view, const Args&...>(ObjectServer::thread_number(), method, args...));
  std::unique_ptr<ObjectServer::Call> call;
  Bytes answer;
  Status status = server.begin(kServersOwn, request.view(), call, deadline);
  if (status == Status::kOk) status = call->await(answer, deadline);
  if (!managed::require_answer(status, answer, "a proxy")) throw Timeout("a proxy");
  return answer;
}

}  // namespace

Bytes RemoteServer::travel(std::uint64_t object, const std::string& type) {
  const auto ticket = decode<std::uint64_t>(ask(*this, Deadline::never(), "ticket", object));
  const Encoded bytes = encode(TravellingReference{.mechanism = std::string(carrier_.mechanism),
                                                   .address = door_.address,
                                                   .server = std::vector<std::byte>(id_.begin(), id_.end()),
                                                   .number = object,
                                                   .type = type,
                                                   .ticket = ticket,
                                                   .key = door_.key});
  return {bytes.view().begin(), bytes.view().end()};
}

void RemoteServer::redeem(std::uint64_t ticket, std::uint64_t object, Deadline deadline) {
  (void)ask(*this, deadline, "redeem", ticket);
  const std::lock_guard lock(mutex_);
  ++holds_[object];
}

Reference RemoteServer::arrived(const QueueCarrier& carrier, const TravellingReference& reference) {
  ServerId id;
  std::ranges::copy(reference.server, id.begin());
  std::shared_ptr<RemoteServer> server = Registry::get().find(id);
  if (server == nullptr) {
    Door door = {.address = reference.address,
                 .options = {},
                 .key = static_cast<TravellingReference::Key>(reference.key)};
    if (std::optional<Door> known = Registry::get().door(id)) {
      door = std::move(*known);
    } else if (door.key != TravellingReference::kNone) {
      door.options.authkey = current_process().authkey;
    }
    server = std::make_shared<RemoteServer>(carrier, id, std::move(door), nullptr);
    Registry::get().enter(server.get());
  }
  auto hold = std::make_shared<Hold>(server, reference.number, reference.type, reference.ticket);
  try {
    hold->take_up(Deadline::after(kTakingUp));
  } catch (const std::exception&) {  // its first use says it
  }
  return Reference(std::move(hold));
}

}  // namespace crucible
