#include "api/mechanism.h"

#include <string>

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

}  // namespace crucible
