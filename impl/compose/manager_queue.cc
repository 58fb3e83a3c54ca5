// queue, joinable_queue.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <exception>
#include <list>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compose/manager_objects.h"

namespace crucible {
namespace {

const std::vector<int> moved_one = {1};
const std::vector<int> nothing;

class QueueObject final : public ServedObject {
 public:
  QueueObject(const char* type, std::size_t maxsize, bool is_joinable)
      : ServedObject(type), maxsize_(maxsize), is_joinable_(is_joinable) {}

  void serve(const CallPointer& call) override {
    static const Handlers<QueueObject> handlers = {{"put", &QueueObject::put},        {"get", &QueueObject::get},
                                                   {"size", &QueueObject::size},      {"full", &QueueObject::full},
                                                   {"done", &QueueObject::done},      {"join", &QueueObject::join},
                                                   {"getters", &QueueObject::getters}};
    dispatch(*this, handlers, call);
  }
  void time_out(const CallPointer& call) override {
    withdraw(call);
    call->answer(nothing);
  }
  void withdraw(const CallPointer& call) override {
    std::erase_if(putters_, [&call](const Putter& putter) { return putter.call == call; });
    getters_.remove(call);
    joiners_.remove(call);
  }

 private:
  struct Putter {
    CallPointer call;
    Object item;
  };

  bool is_full() const noexcept { return maxsize_ != 0 && items_.size() >= maxsize_; }
  void put(const CallPointer& call) {
    const auto patience = call->get<std::int64_t>(0);
    auto item = call->get<Object>(1);
    const bool waits = is_full() || !putters_.empty();
    if (waits && patience == 0) return call->answer(nothing);
    if (waits) call->park(patience);
    putters_.push_back({.call = call, .item = std::move(item)});
    match();
  }
  void get(const CallPointer& call) {
    const auto patience = call->get<std::int64_t>(0);
    const bool waits = items_.empty() || !getters_.empty();
    if (waits && patience == 0) return call->answer(nothing);
    if (waits) call->park(patience);
    getters_.push_back(call);
    match();
  }
  void match() {
    for (bool moved = true; std::exchange(moved, false);) {
      while (!putters_.empty() && !is_full()) {
        const CallPointer call = putters_.front().call;
        items_.push_back(std::move(putters_.front().item));
        putters_.pop_front();
        ++unfinished_;
        call->answer(moved_one);
        moved = true;
      }
      while (!getters_.empty() && !items_.empty()) {
        give_first();
        moved = true;
      }
    }
  }
  void give_first() {
    const CallPointer call = std::move(getters_.front());
    getters_.pop_front();
    auto item = std::make_shared<Object::List>();
    item->push_back(std::move(items_.front()));
    items_.pop_front();
    try {
      call->answer_revocably(*item, [weak = weak_from_this(), item] {
        if (const auto self = std::static_pointer_cast<QueueObject>(weak.lock())) self->put_back(std::move(*item));
      });
    } catch (...) {
      call->fail(std::current_exception());
    }
  }
  // The next who asks gets it.
  void put_back(Object::List item) {
    items_.push_front(std::move(item.front()));
    match();
  }
  void size(const CallPointer& call) { call->answer(items_.size()); }
  void full(const CallPointer& call) { call->answer(is_full()); }
  void getters(const CallPointer& call) { call->answer(getters_.size()); }
  void require_joinable(const CallPointer& call) const {
    if (!is_joinable_) throw StateError(call->method() + ": of joinable queues");
  }
  void done(const CallPointer& call) {
    require_joinable(call);
    if (unfinished_ == 0) throw BadArgument("done: more often than items were put");
    if (--unfinished_ == 0) {
      for (const CallPointer& joiner : std::exchange(joiners_, {})) joiner->answer(moved_one);
    }
    call->answer();
  }
  void join(const CallPointer& call) {
    require_joinable(call);
    const auto patience = call->get<std::int64_t>(0);
    if (unfinished_ == 0 || patience == 0) return call->answer(unfinished_ == 0 ? moved_one : nothing);
    call->park(patience);
    joiners_.push_back(call);
  }

  const std::size_t maxsize_;
  const bool is_joinable_;
  std::deque<Object> items_;
  std::uint64_t unfinished_ = 0;
  std::deque<Putter> putters_;
  std::list<CallPointer> getters_;
  std::list<CallPointer> joiners_;
};

}  // namespace

MakeObject queue_maker(std::string_view type) {
  static const std::unordered_map<std::string_view, MakeObject> makers = {
      {"queue",
       [](const ServerCall& call) -> std::unique_ptr<ServedObject> {
         return std::make_unique<QueueObject>("queue", call.get<std::size_t>(1), false);
       }},
      {"joinable_queue", [](const ServerCall& call) -> std::unique_ptr<ServedObject> {
         return std::make_unique<QueueObject>("joinable_queue", call.get<std::size_t>(1), true);
       }}};
  const auto found = makers.find(type);
  return found == makers.end() ? nullptr : found->second;
}

}  // namespace crucible
