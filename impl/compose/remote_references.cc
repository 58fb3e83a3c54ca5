// What a process holds of a server's objects, and how that travels.
#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>
#include <vector>

#include "api/codec.h"
#include "api/proxy.h"
#include "compose/remote_server.h"
#include "compose/remote_server_registry.h"
#include "core/process.h"

namespace crucible {
namespace {

using namespace std::chrono_literals;

constexpr auto kTakingUp = 1s;  // of a hold that arrived in a message, before its first use

}  // namespace

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
    Door door = {
        .address = reference.address, .options = {}, .key = static_cast<TravellingReference::Key>(reference.key)};
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
