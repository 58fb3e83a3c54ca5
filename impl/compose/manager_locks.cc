// lock, rlock, condition, semaphore, bounded_semaphore.
#include "compose/manager_locks.h"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <vector>

#include "compose/manager_objects.h"

namespace crucible {
namespace {

constexpr std::int64_t kGreatest = std::numeric_limits<std::int32_t>::max();

// What Proxy::wait() reads: one item if it came to something, none if the time passed.
template <class T>
std::vector<T> came_to(T value) {
  return {value};
}
const std::vector<int> nothing;
std::vector<int> came_to(Status status) { return {static_cast<int>(status)}; }

}  // namespace

// --- Locks -----------------------------------------------------------------------------------------------------

void LockObject::serve(const CallPointer& call) {
  static const Handlers<LockObject> handlers = {{"acquire", &LockObject::acquire},
                                                {"release", &LockObject::release},
                                                {"locked", &LockObject::locked},
                                                {"holds", &LockObject::holds},
                                                {"depth", &LockObject::depth}};
  dispatch(*this, handlers, call);
}

void LockObject::acquire(const CallPointer& call) {
  const auto patience = call->get<std::int64_t>(0);
  const auto takes_after_death = call->get<bool>(1);
  if (is_held_by(call->owner())) {
    if (!is_recursive_) throw StateError("acquire: the caller holds it and would wait for itself for ever");
    ++depth_;
    return answer_revocably(call, Status::kOk);
  }
  if (owner_ && patience == 0) return call->answer(nothing);
  if (owner_) call->park(patience);
  line_.push_back({.call = call, .takes_after_death = takes_after_death, .depth = 0});
  serve_line();
}

void LockObject::take_again(const CallPointer& call, std::uint32_t depth, Status status) {
  line_.push_back({.call = call, .takes_after_death = true, .depth = depth, .status = status});
  serve_line();
}

void LockObject::serve_line() {
  while (!owner_ && !line_.empty()) {
    const Waiter next = line_.front();
    line_.pop_front();
    if (owner_died_ && !next.takes_after_death) {
      next.call->answer(came_to(Status::kOwnerDied));
    } else {
      give(next);
    }
  }
}

void LockObject::give(const Waiter& waiter) {
  const bool after_death = std::exchange(owner_died_, false);
  owner_ = waiter.call->owner();
  depth_ = std::max(waiter.depth, 1U);
  waiter.call->entangle(shared_from_this());
  if (waiter.depth > 0) {
    waiter.call->answer(static_cast<int>(after_death ? Status::kOwnerDied : waiter.status));
  } else {
    answer_revocably(waiter.call, after_death ? Status::kOwnerDied : Status::kOk);
  }
}

void LockObject::require_held(const CallPointer& call) const {
  if (is_held_by(call->owner())) return;
  if (owner_ || is_recursive_) throw NotOwner("release: another holds it, or nobody");
  throw OverRelease("release: nobody holds it");
}

void LockObject::release(const CallPointer& call) {
  require_held(call);
  if (--depth_ == 0) owner_.reset();
  call->answer();
  serve_line();
}

std::uint32_t LockObject::let_go() {
  owner_.reset();
  const std::uint32_t depth = std::exchange(depth_, 0);
  serve_line();
  return depth;
}

bool LockObject::forget(const CallPointer& call, Status* status) {
  const auto found = std::ranges::find(line_, call, &Waiter::call);
  if (found == line_.end()) return false;
  if (status != nullptr) *status = found->status;
  line_.erase(found);
  return true;
}

void LockObject::time_out(const CallPointer& call) {
  if (forget(call)) call->answer(nothing);
}

void LockObject::answer_revocably(const CallPointer& call, Status status) {
  call->answer_revocably(came_to(status), [weak = weak_from_this(), owner = call->owner(), status] {
    if (const auto lock = std::static_pointer_cast<LockObject>(weak.lock())) lock->take_back(owner, status);
  });
}

void LockObject::take_back(const CallOwner& owner, Status status) {
  if (!is_held_by(owner) || --depth_ > 0) return;
  owner_.reset();
  owner_died_ = status == Status::kOwnerDied;
  serve_line();
}

void LockObject::leave(std::uint64_t session) {
  if (!owner_ || owner_->session != session) return;
  owner_.reset();
  depth_ = 0;
  owner_died_ = true;
  serve_line();
}

namespace {

// --- Conditions ------------------------------------------------------------------------------------------------

class ConditionObject final : public ServedObject {
 public:
  explicit ConditionObject(std::shared_ptr<LockObject> lock) : ServedObject("condition"), lock_(std::move(lock)) {}

  void serve(const CallPointer& call) override {
    static const Handlers<ConditionObject> handlers = {{"acquire", &ConditionObject::acquire},
                                                       {"release", &ConditionObject::release},
                                                       {"wait", &ConditionObject::wait},
                                                       {"notify", &ConditionObject::notify},
                                                       {"waiters", &ConditionObject::waiters}};
    dispatch(*this, handlers, call);
  }
  void time_out(const CallPointer& call) override {
    const auto found = std::ranges::find(line_, call, &Waiter::call);
    if (found == line_.end()) return lock_->time_out(call);
    const auto depth = found->depth;
    line_.erase(found);
    lock_->take_again(call, depth, Status::kTimeout);
  }
  // A notification of one that is gone before it holds the lock again is for the next.
  void withdraw(const CallPointer& call) override {
    if (std::erase_if(line_, [&call](const Waiter& waiter) { return waiter.call == call; }) > 0) return;
    Status status = Status::kTimeout;
    const bool is_notified = call->method() == "wait";
    if (lock_->forget(call, &status) && is_notified && status == Status::kOk) (void)wake(1);
  }

 private:
  struct Waiter {
    CallPointer call;
    std::uint32_t depth;
  };

  void acquire(const CallPointer& call) { lock_->acquire(call); }
  void release(const CallPointer& call) { lock_->release(call); }
  void require_held(const CallPointer& call) const {
    if (!lock_->is_held_by(call->owner())) throw NotOwner(call->method() + ": the caller does not hold the lock");
  }
  void wait(const CallPointer& call) {
    const auto patience = call->get<std::int64_t>(0);
    require_held(call);
    if (patience == 0) return call->answer(static_cast<int>(Status::kTimeout));
    call->park(patience);
    line_.push_back({.call = call, .depth = 0});
    line_.back().depth = lock_->let_go();
  }
  void notify(const CallPointer& call) {
    const auto most = call->get<std::size_t>(0);
    require_held(call);
    call->answer(wake(most));
  }
  std::size_t wake(std::size_t most) {
    std::size_t count = 0;
    for (; count < most && !line_.empty(); ++count) {
      const Waiter waiter = line_.front();
      line_.pop_front();
      lock_->take_again(waiter.call, waiter.depth, Status::kOk);
    }
    return count;
  }
  void waiters(const CallPointer& call) { call->answer(line_.size()); }

  const std::shared_ptr<LockObject> lock_;
  std::list<Waiter> line_;
};

// --- Semaphores ------------------------------------------------------------------------------------------------

class SemaphoreObject final : public ServedObject {
 public:
  SemaphoreObject(const char* type, std::int64_t value, std::int64_t bound)
      : ServedObject(type), bound_(bound), value_(value) {
    if (value < 0 || value > kGreatest) throw BadArgument("a semaphore of " + std::to_string(value));
  }

  void serve(const CallPointer& call) override {
    static const Handlers<SemaphoreObject> handlers = {{"acquire", &SemaphoreObject::acquire},
                                                       {"release", &SemaphoreObject::release},
                                                       {"release_permit", &SemaphoreObject::release_permit},
                                                       {"value", &SemaphoreObject::value}};
    dispatch(*this, handlers, call);
  }
  void time_out(const CallPointer& call) override {
    withdraw(call);
    call->answer(nothing);
  }
  void withdraw(const CallPointer& call) override { line_.remove(call); }
  void leave(std::uint64_t session) override {
    const std::size_t count = std::erase_if(permits_, [session](const auto& entry) { return entry.second == session; });
    for (std::size_t i = 0; i < count; ++i) give_back();
  }

 private:
  void acquire(const CallPointer& call) {
    const auto patience = call->get<std::int64_t>(0);
    (void)call->get<bool>(1);
    if (value_ > 0) return give(call);
    if (patience == 0) return call->answer(nothing);
    call->park(patience);
    line_.push_back(call);
  }
  void give(const CallPointer& call) {
    std::uint64_t number = 0;
    if (call->get<bool>(1)) {
      number = ++last_permit_;
      permits_[number] = call->owner().session;
      call->entangle(shared_from_this());
    }
    --value_;
    call->answer_revocably(came_to(number), [weak = weak_from_this(), number] {
      const auto self = std::static_pointer_cast<SemaphoreObject>(weak.lock());
      if (self != nullptr && (number == 0 || self->permits_.erase(number) != 0)) self->give_back();
    });
  }
  void give_back() {
    ++value_;
    while (value_ > 0 && !line_.empty()) {
      const CallPointer next = line_.front();
      line_.pop_front();
      give(next);
    }
  }
  void release(const CallPointer& call) {
    if (value_ + static_cast<std::int64_t>(permits_.size()) >= bound_) throw OverRelease("release: above its bound");
    give_back();
    call->answer();
  }
  void release_permit(const CallPointer& call) {
    if (permits_.erase(call->get<std::uint64_t>(0)) != 0) give_back();
    call->answer();
  }
  void value(const CallPointer& call) { call->answer(value_); }

  const std::int64_t bound_;
  std::int64_t value_;
  std::list<CallPointer> line_;
  std::unordered_map<std::uint64_t, std::uint64_t> permits_;  // whose session
  std::uint64_t last_permit_ = 0;
};

}  // namespace

MakeObject lock_maker(std::string_view type) {
  static const std::unordered_map<std::string_view, MakeObject> makers = {
      {"lock", [](const ServerCall&) -> std::unique_ptr<ServedObject> { return std::make_unique<LockObject>(false); }},
      {"rlock", [](const ServerCall&) -> std::unique_ptr<ServedObject> { return std::make_unique<LockObject>(true); }},
      {"condition",
       [](const ServerCall& call) -> std::unique_ptr<ServedObject> {
         auto lock = std::dynamic_pointer_cast<LockObject>(served(call.get<Reference>(1)));
         if (lock == nullptr) throw BadArgument("a condition over what is no lock");
         return std::make_unique<ConditionObject>(std::move(lock));
       }},
      {"semaphore",
       [](const ServerCall& call) -> std::unique_ptr<ServedObject> {
         return std::make_unique<SemaphoreObject>("semaphore", call.get<std::int64_t>(1), kGreatest);
       }},
      {"bounded_semaphore", [](const ServerCall& call) -> std::unique_ptr<ServedObject> {
         const auto value = call.get<std::int64_t>(1);
         return std::make_unique<SemaphoreObject>("bounded_semaphore", value, value);
       }}};
  const auto found = makers.find(type);
  return found == makers.end() ? nullptr : found->second;
}

}  // namespace crucible
