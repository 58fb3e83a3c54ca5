// What the server's clients ask for.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "api/object_server.h"
#include "api/remote_error.h"
#include "compose/manager_server.h"
#include "compose/server_session.h"

namespace crucible {
namespace {

using manager_wire::Answer;
using manager_wire::Header;
using manager_wire::Request;

// Of requests that are still coming, of all clients together; who goes beyond is dropped.
constexpr std::size_t kMostComing = std::size_t{256} << 20U;
constexpr std::size_t kMostParked = 65'536;  // of one client

}  // namespace

// False: the client is gone, or breaks the rules.
bool ManagerServer::receive(ServerSession& session) {
  const Status status = session.connection->recv_bytes(in_, manager_wire::kLongestMessage, Deadline::immediate());
  if (status == Status::kTimeout) return true;
  if (status != Status::kOk || in_.size() < manager_wire::kHeader) return false;
  const Header header = manager_wire::read_header(in_.data());
  // Until a request is served, in the middle of which another may be received.
  const ByteView body = ByteView(in_).subspan(manager_wire::kHeader);
  if (!session.is_greeted) return greet(session, header, body);
  switch (static_cast<Request>(header.kind)) {
    case Request::kCall: return take_part(session, header, body);
    case Request::kGiveUp: forget_coming(session); return true;
    case Request::kCancel: cancel(session, header.id); return true;
    case Request::kMore:
      if (!session.outgoing.empty()) send_some(session);
      return true;
    case Request::kDrop: return change_holds(session, body, false);
    case Request::kHold: return change_holds(session, body, true);
    case Request::kHello: break;
  }
  return false;
}

bool ManagerServer::greet(ServerSession& session, const Header& header, ByteView body) {
  if (header.kind != static_cast<std::uint8_t>(Request::kHello) || header.number != manager_wire::kVersion) {
    return false;
  }
  const ServerId& id = objects_.id();
  manager_wire::Hello hello = {};
  if (body.size() != sizeof hello) return false;
  std::memcpy(&hello, body.data(), sizeof hello);
  session.is_greeted = true;
  session.client = hello.client;
  if (hear_family_ && hello.heir != 0) hear_family_();
  if (const auto heir = heirs_.find(hello.heir); heir != heirs_.end()) {
    session.inherited = std::move(heir->second->holds);
    forget_heir(hello.heir);
  }
  session.is_stranger = (header.flags & manager_wire::kOfTheFamily) == 0;
  if (session.is_stranger) ++strangers_;
  // Who meant another server sees by the id that it was that of one that is no more.
  send(session, static_cast<std::uint8_t>(Answer::kWelcome), header.id, 0, id);
  return true;
}

void ManagerServer::forget_coming(ServerSession& session) noexcept {
  coming_bytes_ -= session.coming.size();
  session.coming = {};
  session.is_coming = session.lacks_memory = false;
}

bool ManagerServer::take_part(ServerSession& session, const Header& header, ByteView body) {
  if (!session.is_coming) {
    session.is_coming = true;
    session.coming_id = header.id;
    session.coming_object = header.number;
    session.inherited.clear();
    // What was granted in answers that were taken cannot be given back any more.
    while (!session.grants.empty() && static_cast<std::int32_t>(session.grants.begin()->first - header.seen) < 0) {
      session.grants.erase(session.grants.begin());
    }
  } else if (header.id != session.coming_id || header.number != session.coming_object) {
    return false;
  }
  if (session.coming.size() + body.size() > manager_wire::kLongestRequest) return false;
  const bool is_last = (header.flags & manager_wire::kContinued) == 0;
  if (is_last && session.coming.empty() && !session.lacks_memory) {
    session.is_coming = false;
    serve(session, header.id, header.number, Bytes(body.begin(), body.end()));
    return true;
  }
  if (coming_bytes_ + body.size() > kMostComing) return false;
  if (!session.lacks_memory) {
    try {
      session.coming.insert(session.coming.end(), body.begin(), body.end());
      coming_bytes_ += body.size();
    } catch (const std::bad_alloc&) {
      forget_coming(session);
      session.is_coming = session.lacks_memory = true;
    }
  }
  if (!is_last) return true;
  const bool lacks_memory = session.lacks_memory;
  coming_bytes_ -= session.coming.size();
  Bytes request = std::exchange(session.coming, {});
  forget_coming(session);
  if (lacks_memory) {
    fail(session, header.id, std::make_exception_ptr(std::bad_alloc()), "a request");
  } else {
    serve(session, header.id, header.number, std::move(request));
  }
  return true;
}

void ManagerServer::serve(ServerSession& session, std::uint32_t id, std::uint64_t object, Bytes request) {
  CallPointer call;
  try {
    call = std::make_shared<ServerCall>(*this, session, id, std::move(request));
    call->set_object(object == kServersOwn ? root_ : objects_.find(object));
    if (looks_.is_looking && call->object()->heeds_deaths()) notice_deaths(session);
    const ServerScope scope(objects_);
    call->object()->serve(call);
  } catch (const EncodingError&) {
    if (call == nullptr) throw;
    call->fail(std::current_exception());
  } catch (...) {
    if (call == nullptr) return fail(session, id, std::current_exception(), "a request");
    call->fail(std::current_exception());
  }
}

void ManagerServer::fail(ServerSession& session, std::uint32_t id, const std::exception_ptr& error,
                         const std::string& what) {
  const Encoded bytes = encode(describe_failure(error, what + " in process " + std::to_string(::getpid())));
  send(session, static_cast<std::uint8_t>(Answer::kAnswer), id, manager_wire::kFailed, bytes.view());
}

void ManagerServer::cancel(ServerSession& session, std::uint32_t id) {
  if (const auto found = session.parked.find(id); found != session.parked.end()) {
    const CallPointer call = found->second.call;
    unpark(session, id);
    call->abandon();
    call->object()->withdraw(call);
    return;
  }
  const auto found = session.grants.find(id);
  if (found == session.grants.end()) return;
  const std::function<void()> undo = std::move(found->second);
  session.grants.erase(found);
  undo();
}

bool ManagerServer::change_holds(ServerSession& session, ByteView numbers, bool adds) {
  if (numbers.size() % sizeof(std::uint64_t) != 0) return false;
  if (!adds && hear_family_ && !session.is_stranger) hear_family_();
  for (; !numbers.empty(); numbers = numbers.subspan(sizeof(std::uint64_t))) {
    std::uint64_t number = 0;
    std::memcpy(&number, numbers.data(), sizeof number);
    if (adds) {
      try {
        session.hold(objects_.find(number));
      } catch (const NotFound&) {  // its next use will tell
      }
      continue;
    }
    const auto held = session.holds.find(number);
    if (held == session.holds.end()) continue;
    if (--held->second.count == 0) session.holds.erase(held);
  }
  return true;
}

// --- Calls -----------------------------------------------------------------------------------------------------

ServerCall::ServerCall(ManagerServer& server, ServerSession& session, std::uint32_t id, Bytes request)
    : server_(server), session_(&session), id_(id), request_(std::move(request)), unpacked_(unpack_checked(request_)) {
  const msgpack::object& list = unpacked_.get();
  if (list.type != msgpack::type::ARRAY || list.via.array.size < 2) throw EncodingError("a request is a list");
  const std::span<const msgpack::object> items(list.via.array.ptr, list.via.array.size);
  try {
    owner_ = {.session = session.number, .thread = items[0].as<std::uint64_t>()};
    method_ = items[1].as<std::string>();
  } catch (const msgpack::type_error&) {
    throw EncodingError("a request begins with a number and a name");
  }
  arguments_ = items.subspan(2);
}

void ServerCall::answer_bytes(ByteView bytes, const std::vector<std::shared_ptr<ServedObject>>& granted) {
  ServerSession* const session = std::exchange(session_, nullptr);
  if (session == nullptr) return;
  server_.unpark(*session, id_);
  for (const std::shared_ptr<ServedObject>& object : granted) session->hold(object);
  server_.send(*session, static_cast<std::uint8_t>(Answer::kAnswer), id_, 0, bytes);
}

void ServerCall::fail(const std::exception_ptr& error) {
  ServerSession* const session = std::exchange(session_, nullptr);
  if (session == nullptr) return;
  server_.unpark(*session, id_);
  session->grants.erase(id_);
  server_.fail(*session, id_, error, (object_ ? object_->type() + "." : std::string()) + method_);
}

void ServerCall::park(std::int64_t patience) {
  if (session_ == nullptr) return;
  if (session_->parked.size() >= kMostParked) throw std::length_error("too many calls that wait");
  std::int64_t until = 0;
  const CallPointer self = shared_from_this();
  if (patience >= 0) {
    const std::int64_t now = Deadline::now_ns();
    until = patience > INT64_MAX - now ? INT64_MAX : now + patience;
    server_.timers_.emplace(until, self);
  }
  session_->parked[id_] = {.call = self, .until_ns = until};
}

void ServerCall::entangle(const std::shared_ptr<ServedObject>& object) {
  if (session_ == nullptr) return;
  session_->entangled[object->number()] = object;
  if (session_->entangled.size() < session_->tidy_at) return;
  std::erase_if(session_->entangled, [](const auto& entry) { return entry.second.expired(); });
  session_->tidy_at = 64 + 2 * session_->entangled.size();
}

void ServerCall::note_revocable(std::function<void()> undo) {
  if (session_ != nullptr) session_->grants[id_] = std::move(undo);
}

}  // namespace crucible
