// The objects that a composed manager serves.
#pragma once

#include <memory>
#include <string_view>

#include "compose/served_object.h"
#include "compose/server_call.h"

namespace crucible {

class ManagerServer;

/// Each takes the arguments of `call` from the second on; what is wrong with them is thrown.
using MakeObject = std::unique_ptr<ServedObject> (*)(const ServerCall& call);
/// Null: no type of the manager's own.
MakeObject container_maker(std::string_view type);
MakeObject box_maker(std::string_view type);
MakeObject lock_maker(std::string_view type);
MakeObject meeting_maker(std::string_view type);
MakeObject queue_maker(std::string_view type);

/// Makes and counts objects, and passes references on.
std::unique_ptr<ServedObject> make_root_object(ManagerServer& server);
/// A pool over the mechanism's connections: answers `call` when it is made.
void make_pool_object(const CallPointer& call);
/// Of a registered type: the same.
void make_own_object(const CallPointer& call, const ManagedType& type);

}  // namespace crucible
