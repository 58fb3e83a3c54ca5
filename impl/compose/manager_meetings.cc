// event, barrier.
#include <algorithm>
#include <cstdint>
#include <exception>
#include <list>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compose/manager_objects.h"

namespace crucible {
namespace {

constexpr std::uint32_t kMostParties = 4096;
const std::vector<int> happened = {1};
const std::vector<int> nothing;

class EventObject final : public ServedObject {
 public:
  EventObject() : ServedObject("event") {}

  void serve(const CallPointer& call) override {
    static const Handlers<EventObject> handlers = {{"set", &EventObject::set},
                                                   {"clear", &EventObject::clear},
                                                   {"is_set", &EventObject::is_set},
                                                   {"wait", &EventObject::wait},
                                                   {"waiters", &EventObject::waiters}};
    dispatch(*this, handlers, call);
  }
  void time_out(const CallPointer& call) override {
    withdraw(call);
    call->answer(nothing);
  }
  void withdraw(const CallPointer& call) override { line_.remove(call); }

 private:
  void set(const CallPointer& call) {
    is_set_ = true;
    for (const CallPointer& waiter : std::exchange(line_, {})) waiter->answer(happened);
    call->answer();
  }
  void clear(const CallPointer& call) {
    is_set_ = false;
    call->answer();
  }
  void is_set(const CallPointer& call) { call->answer(is_set_); }
  void wait(const CallPointer& call) {
    const auto patience = call->get<std::int64_t>(0);
    if (is_set_ || patience == 0) return call->answer(is_set_ ? happened : nothing);
    call->park(patience);
    line_.push_back(call);
  }
  void waiters(const CallPointer& call) { call->answer(line_.size()); }

  bool is_set_ = false;
  std::list<CallPointer> line_;
};

class BarrierObject final : public ServedObject {
 public:
  BarrierObject(std::uint32_t parties, std::int64_t patience)
      : ServedObject("barrier"), parties_(parties), patience_(patience) {
    if (parties == 0 || parties > kMostParties) throw BadArgument("a barrier of " + std::to_string(parties));
  }

  void serve(const CallPointer& call) override {
    static const Handlers<BarrierObject> handlers = {
        {"wait", &BarrierObject::wait},       {"acted", &BarrierObject::acted},
        {"abort", &BarrierObject::abort},     {"reset", &BarrierObject::reset},
        {"parties", &BarrierObject::parties}, {"n_waiting", &BarrierObject::n_waiting},
        {"broken", &BarrierObject::broken}};
    dispatch(*this, handlers, call);
  }
  void time_out(const CallPointer& /*call*/) override { break_up(); }
  // It may have been told that it waits for the next turn.
  void withdraw(const CallPointer& call) override {
    if (late_.empty() || std::erase(late_, call) == 0) {
      std::erase(waiting_, call);
      break_up();
    }
  }
  void leave(std::uint64_t session) override {
    if (runner_ && runner_->session == session) break_up();
  }

 private:
  static constexpr std::int64_t kDefault = -2;

  static void fail(const std::vector<CallPointer>& calls) {
    for (const CallPointer& call : calls) {
      call->fail(std::make_exception_ptr(BrokenBarrier("a party gave up, or the barrier was reset")));
    }
  }
  void break_up() {
    is_broken_ = true;
    runner_.reset();
    fail(std::exchange(waiting_, {}));
    fail(std::exchange(late_, {}));
  }
  void let_pass() {
    const std::vector<CallPointer> passing = std::exchange(waiting_, {});
    for (std::uint32_t place = 0; place < passing.size(); ++place) passing[place]->answer(std::pair(place, false));
    runner_.reset();
    for (const CallPointer& call : std::exchange(late_, {})) arrive(call);
  }

  void wait(const CallPointer& call) {
    const auto patience = call->get<std::int64_t>(0);
    if (is_broken_) throw BrokenBarrier("wait");
    const bool is_last = !runner_ && waiting_.size() + 1 == parties_;
    if (!is_last) call->park(patience == kDefault ? patience_ : patience);
    arrive(call);
  }
  void arrive(const CallPointer& call) {
    if (runner_) return late_.push_back(call);
    const auto place = static_cast<std::uint32_t>(waiting_.size());
    if (place + 1 < parties_) return waiting_.push_back(call);
    if (call->get<bool>(1)) {
      runner_ = call->owner();
      call->entangle(shared_from_this());
      return call->answer(std::pair(place, true));
    }
    call->answer(std::pair(place, false));
    let_pass();
  }
  void acted(const CallPointer& call) {
    const auto is_well = call->get<bool>(0);
    if (runner_ == call->owner()) {
      if (is_well) {
        let_pass();
      } else {
        break_up();
      }
    }
    call->answer();
  }
  void abort(const CallPointer& call) {
    break_up();
    call->answer();
  }
  void reset(const CallPointer& call) {
    if (!waiting_.empty() || runner_) break_up();
    is_broken_ = false;
    call->answer();
  }
  void parties(const CallPointer& call) { call->answer(parties_); }
  void n_waiting(const CallPointer& call) { call->answer(waiting_.size()); }
  void broken(const CallPointer& call) { call->answer(is_broken_); }

  const std::uint32_t parties_;
  const std::int64_t patience_;
  bool is_broken_ = false;
  std::vector<CallPointer> waiting_;
  std::optional<CallOwner> runner_;  // of the action, while the others wait for it
  std::vector<CallPointer> late_;    // who came meanwhile
};

}  // namespace

MakeObject meeting_maker(std::string_view type) {
  static const std::unordered_map<std::string_view, MakeObject> makers = {
      {"event", [](const ServerCall&) -> std::unique_ptr<ServedObject> { return std::make_unique<EventObject>(); }},
      {"barrier", [](const ServerCall& call) -> std::unique_ptr<ServedObject> {
         return std::make_unique<BarrierObject>(call.get<std::uint32_t>(1), call.get<std::int64_t>(2));
       }}};
  const auto found = makers.find(type);
  return found == makers.end() ? nullptr : found->second;
}

}  // namespace crucible
