#include "api/managed_sync.h"

#include <exception>

namespace crucible::managed {

void Semaphore::Permit::release() noexcept {
  const std::uint64_t number = std::exchange(number_, 0);
  if (number == 0) return;
  try {
    (void)of_->call_async<std::nullptr_t>("release_permit", number).get();
  } catch (const std::exception&) {  // with the server its count is gone as well
  }
}

void Condition::lock() const {
  const std::optional<int> status = Proxy::wait<int>("acquire", Deadline::never(), false);
  if (status == static_cast<int>(Status::kOwnerDied)) throw OwnerDied("lock: acquire() it and repair what it guards");
}

bool Condition::try_lock() const {
  const std::optional<int> status = Proxy::wait<int>("acquire", Deadline::immediate(), false);
  if (status == static_cast<int>(Status::kOwnerDied)) throw OwnerDied("lock: acquire() it and repair what it guards");
  return status.has_value();
}

std::uint32_t Barrier::wait_patiently(std::int64_t patience) const {
  const auto [index, runs] = call<std::pair<std::uint32_t, bool>>("wait", patience, static_cast<bool>(action_));
  if (!runs) return index;
  try {
    action_();
  } catch (...) {
    call<void>("acted", false);
    throw;
  }
  call<void>("acted", true);
  return index;
}

}  // namespace crucible::managed
