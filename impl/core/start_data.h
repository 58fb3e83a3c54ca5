// What a process that spawns and the one that is spawned agree on. Internal to core/spawn*.cc.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "api/bytes.h"
#include "api/codec.h"
#include "core/function.h"

namespace crucible {

// A spawned process knows itself by its first argument. The variable tells whoever asks before init(), and is gone
// with it, since programs that the process runs inherit it.
inline constexpr const char* kFlag = "--crucible-spawned";
inline constexpr const char* kMarker = "CRUCIBLE_SPAWNED";

// Its descriptors: after the standard streams these three, then those of its arguments.
enum : int { kData = 3, kReport, kParent, kFirstArgument };

// What the child says of its beginning, one byte and a text: the parent throws the exception of that kind.
enum Report : char { kReady = 'r', kBadEncoding = 'e', kFailed = 'f' };
inline constexpr std::size_t kReportBytes = 2048;  // written in one piece

/// In memory of its own, so that nobody has to read while it is written: a child that dies early blocks nobody.
struct StartData {
  std::string name;
  bool daemon = false;
  Bytes authkey;
  std::string identity;
  pid_t parent = 0;
  std::string parent_name;
  std::string start_method;
  bool start_method_chosen = false;
  std::string function;
  PackedArguments arguments;
  MSGPACK_DEFINE(name, daemon, authkey, identity, parent, parent_name, start_method, start_method_chosen, function,
                 arguments)
};

}  // namespace crucible
