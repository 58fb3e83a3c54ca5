#include "core/handle_door.h"

#include <utility>

#include "core/door.h"
#include "core/handshake.h"

namespace crucible {
namespace {

constexpr std::size_t kLongestObject = sizeof(Hello::mechanism);

DoorKind door_kind(const HandleDoor::Kind& kind) {
  DoorKind made = {};
  made.mechanism = kind.object;
  made.scheme = kind.scheme;
  return made;
}

}  // namespace

HandleDoor::HandleDoor(const Kind& kind, const std::string& address, const DoorOptions& options, Handle handle) {
  if (handle.descriptors.size() != kind.descriptors || kind.object.size() > kLongestObject)
    throw BadArgument("a handle that is not of its kind");
  listener_ = open_door(door_kind(kind), address, options,
                        [handle = std::move(handle)](const Fd& socket) { pass(socket, handle); });
}

std::optional<Handle> HandleDoor::enter(const Kind& kind, const std::string& address, const DoorOptions& options,
                                        Deadline deadline) {
  const std::optional<Fd> socket = go_through(door_kind(kind), address, options, deadline);
  if (!socket) return std::nullopt;
  Handle handle;
  const Status status = take(*socket, kind.descriptors, handle, deadline);
  if (status == Status::kTimeout) return std::nullopt;
  if (status != Status::kOk) throw_status(status, ("connect: " + address).c_str());
  return handle;
}

}  // namespace crucible
