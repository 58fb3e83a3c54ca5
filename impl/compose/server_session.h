// ServerSession: one client of a ManagerServer, as the server sees it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "api/connection.h"
#include "compose/manager_server.h"

namespace crucible {

class ServerSession {
 public:
  struct Hold {
    std::shared_ptr<ServedObject> object;
    std::uint64_t count = 0;
  };
  struct Parked {
    CallPointer call;
    std::int64_t until_ns = 0;  // 0: for ever
  };
  struct Outgoing {
    std::uint8_t kind;
    std::uint8_t flags;
    std::uint32_t id;
    Bytes body;
    std::size_t moved = 0;
  };

  std::unique_ptr<Connection> connection;
  std::uint64_t number = 0;
  bool is_greeted = false;
  bool is_stranger = false;
  bool is_dropped = false;
  bool is_paused = false;  // it does not read its answers
  bool is_talker = false;  // stands among ServerLooks::talkers
  bool was_heard = false;  // since the last look around began
  bool had_turn = false;   // was heard since the server last gave its CPU away for the others

  bool is_coming = false;  // a request, in parts
  std::uint32_t coming_id = 0;
  std::uint64_t coming_object = 0;
  Bytes coming = {};
  bool lacks_memory = false;  // for it: the rest is not kept

  std::uint64_t client = 0;  // its own number for itself
  std::unordered_map<std::uint64_t, Hold> holds = {};
  std::unordered_map<std::uint64_t, Hold> inherited = {};  // until its first request
  std::unordered_map<std::uint32_t, Parked> parked = {};
  std::map<std::uint32_t, std::function<void()>> grants = {};  // that it may say it has not taken
  std::unordered_map<std::uint64_t, std::weak_ptr<ServedObject>> entangled = {};
  std::size_t tidy_at = 64;  // when there are so many entangled

  std::deque<Outgoing> outgoing = {};
  std::size_t outgoing_bytes = 0;

  void hold(const std::shared_ptr<ServedObject>& object) {
    Hold& held = holds[object->number()];
    held.object = object;
    ++held.count;
  }
};

/// A forked process that has not come yet.
struct ManagerServer::Heir {
  explicit Heir(Fd its_line) : line(std::move(its_line)), end(line.get()) {}
  Fd line;
  ReadableDescriptor end;
  std::unordered_map<std::uint64_t, ServerSession::Hold> holds = {};
};

}  // namespace crucible
