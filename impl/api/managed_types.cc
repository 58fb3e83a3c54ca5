#include "api/managed_types.h"

#include <algorithm>
#include <array>

namespace crucible {
namespace {

constexpr std::array kOwnNames = {
    "dict",      "list",  "namespace", "value", "array",          "lock", "rlock",     "semaphore", "bounded_semaphore",
    "condition", "event", "barrier",   "queue", "joinable_queue", "pool", "generator", "server"};

}  // namespace

ManagedType& ManagedTypes::add_type(const std::string& name) {
  const bool is_own = std::ranges::find(kOwnNames, std::string_view(name)) != kOwnNames.end();
  if (name.empty() || is_own || types_.contains(name)) throw BadArgument("a managed type named '" + name + "'");
  auto type = std::make_shared<ManagedType>();
  type->name = name;
  return *(types_[name] = std::move(type));
}

const ManagedType* ManagedTypes::find(std::string_view name) const {
  const auto found = types_.find(name);
  return found == types_.end() ? nullptr : found->second.get();
}

}  // namespace crucible
