// ServerCall: one request of one client, until it is answered.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/codec.h"
#include "compose/served_object.h"

namespace crucible {

class ManagerServer;

class ServerCall : public std::enable_shared_from_this<ServerCall> {
 public:
  ServerCall(ManagerServer& server, ServerSession& session, std::uint32_t id, Bytes request);

  const CallOwner& owner() const noexcept { return owner_; }
  const std::string& method() const noexcept { return method_; }
  Arguments arguments() const noexcept { return Arguments(arguments_); }
  template <class T>
  T get(std::size_t at) const {
    return arguments().get<T>(at);
  }
  std::size_t size() const noexcept { return arguments_.size(); }
  const std::shared_ptr<ServedObject>& object() const noexcept { return object_; }
  void set_object(std::shared_ptr<ServedObject> object) noexcept { object_ = std::move(object); }
  ManagerServer& server() const noexcept { return server_; }
  /// Of a call that was just received.
  ServerSession& session() const noexcept { return *session_; }

  template <class T>
  void answer(const T& value);
  void answer() { answer(nullptr); }
  /// The same; `undo` runs if the client turns out to be alive and not to want it any more.
  template <class T>
  void answer_revocably(const T& value, std::function<void()> undo) {
    note_revocable(std::move(undo));
    answer(value);
  }
  /// Written elsewhere; its receiver gets holds of `granted`.
  void answer_bytes(ByteView bytes, const std::vector<std::shared_ptr<ServedObject>>& granted);
  void fail(const std::exception_ptr& error);
  /// To be answered later: ServedObject::time_out after `patience` nanoseconds, if that is not negative.
  void park(std::int64_t patience);
  /// `object` learns when this client is gone (ServedObject::leave).
  void entangle(const std::shared_ptr<ServedObject>& object);
  /// Nobody is left to be answered.
  void abandon() noexcept { session_ = nullptr; }

 private:
  void note_revocable(std::function<void()> undo);

  ManagerServer& server_;
  ServerSession* session_;  // null once answered, or its client is gone
  const std::uint32_t id_;
  CallOwner owner_;
  const Bytes request_;
  msgpack::object_handle unpacked_;  // refers to it
  std::string method_;
  std::span<const msgpack::object> arguments_;
  std::shared_ptr<ServedObject> object_;
};

const ObjectTable& objects_of(const ManagerServer& server) noexcept;

template <class T>
void ServerCall::answer(const T& value) {
  ServerScope scope(objects_of(server_));
  const Encoded bytes = encode(value);
  answer_bytes(bytes.view(), scope.written());
}

template <class T>
void dispatch(T& object, const Handlers<T>& handlers, const CallPointer& call) {
  const auto found = handlers.find(call->method());
  if (found != handlers.end()) return (object.*found->second)(call);
  if (call->method() == "text") return call->answer(object.text());
  throw NotFound("no method '" + call->method() + "' of " + object.type());
}

}  // namespace crucible
