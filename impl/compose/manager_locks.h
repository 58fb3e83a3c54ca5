// A managed lock, which conditions take and let go of as well.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "compose/served_object.h"
#include "compose/server_call.h"

namespace crucible {

class LockObject final : public ServedObject {
 public:
  explicit LockObject(bool is_recursive) : ServedObject(is_recursive ? "rlock" : "lock"), is_recursive_(is_recursive) {}

  void serve(const CallPointer& call) override;
  void time_out(const CallPointer& call) override;
  void withdraw(const CallPointer& call) override { (void)forget(call); }
  void leave(std::uint64_t session) override;

  bool is_held_by(const CallOwner& owner) const noexcept { return owner_ == owner; }
  void acquire(const CallPointer& call);
  void release(const CallPointer& call);
  /// For conditions. The caller holds it: lets go of it at all levels; how many.
  std::uint32_t let_go();
  /// Holds it again with so many levels when its turn has come, and answers the status, or kOwnerDied.
  void take_again(const CallPointer& call, std::uint32_t depth, Status status);
  /// Whether `call` stood in its line, and no longer does; `status` is what take_again() was given, kOk otherwise.
  bool forget(const CallPointer& call, Status* status = nullptr);

 private:
  struct Waiter {
    CallPointer call;
    bool takes_after_death;
    std::uint32_t depth;  // of one that takes it again; 0: it acquires
    Status status = Status::kOk;
  };

  void require_held(const CallPointer& call) const;
  void serve_line();
  void give(const Waiter& waiter);
  void answer_revocably(const CallPointer& call, Status status);
  void take_back(const CallOwner& owner, Status status);
  void locked(const CallPointer& call) { call->answer(owner_.has_value()); }
  void holds(const CallPointer& call) { call->answer(is_held_by(call->owner())); }
  void depth(const CallPointer& call) { call->answer(is_held_by(call->owner()) ? depth_ : 0U); }

  const bool is_recursive_;
  std::optional<CallOwner> owner_;
  std::uint32_t depth_ = 0;
  bool owner_died_ = false;  // and nobody has held it since
  std::list<Waiter> line_;
};

}  // namespace crucible
