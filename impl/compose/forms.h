// The forms in which a mechanism has each primitive: its own, and what is composed of its connections.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>

#include "api/mechanism.h"
#include "api/queue.h"

namespace crucible {

/// M::Queue with `static create` and `static open` as QueueForm has them, and M::kQueue.
template <class M>
constexpr QueueForm native_queue() {
  QueueForm form = {};
  form.name = "native";
  form.capabilities = M::kQueue;
  if constexpr (requires { M::kWaits; }) form.waits = M::kWaits;
  form.create = [](const std::string& address, const QueueOptions& options) -> std::unique_ptr<Queue> {
    require_offered<M>(options.wait);
    return M::Queue::create(address, options);
  };
  form.open = [](const std::string& address, const QueueOptions& options, Deadline deadline) -> std::unique_ptr<Queue> {
    require_offered<M>(options.wait);
    return M::Queue::open(address, options, deadline);
  };
  return form;
}

template <class M>
constexpr auto queue_forms() {
  if constexpr (requires { typename M::Queue; }) {
    return std::array{native_queue<M>()};
  } else {
    return std::array<QueueForm, 0>{};
  }
}
template <class M>
inline constexpr auto kQueueForms = queue_forms<M>();

}  // namespace crucible
