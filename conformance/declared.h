// What a mechanism declares, as JSON: for the reviewed table and for what reports on a build.
#pragma once

#include <nlohmann/json.hpp>

#include "api/capabilities.h"
#include "api/mechanism.h"

namespace crucible::testing {

inline nlohmann::json declared(const Capabilities& capabilities) {
  // A field more or less does not compile: it must be entered below and in the table.
  const auto& [cross_host, local_names, pollable, multi_writer, hands_over, transferable, passes_descriptors, unbounded,
               zero_copy, outlives_sender, total_order, survives_kill, max_message_bytes, storage_bytes] = capabilities;
  return {{"cross_host", cross_host},
          {"local_names", local_names},
          {"pollable", pollable},
          {"multi_writer", multi_writer},
          {"hands_over", hands_over},
          {"transferable", transferable},
          {"passes_descriptors", passes_descriptors},
          {"unbounded", unbounded},
          {"zero_copy", zero_copy},
          {"outlives_sender", outlives_sender},
          {"total_order", total_order},
          {"survives_kill", survives_kill},
          {"max_message_bytes", max_message_bytes},
          {"storage_bytes", storage_bytes}};
}

/// Per primitive, and of queues, pools and managers per form.
inline nlohmann::json declared(const Mechanism& mechanism) {
  nlohmann::json row = {{"pipe", declared(mechanism.pipe)}};
  for (const QueueForm& form : mechanism.queues) row["queue"][form.name] = declared(form.capabilities);
  for (const PoolForm& form : mechanism.pools) row["pool"][form.name] = declared(form.capabilities);
  for (const auto& forms : {mechanism.managers, mechanism.stores}) {
    for (const ManagerForm& form : forms) row["manager"][form.name] = declared(form.capabilities);
  }
  return row;
}

}  // namespace crucible::testing
