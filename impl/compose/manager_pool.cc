// pool.
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "api/managed_pool.h"
#include "api/mechanism.h"
#include "compose/manager_objects.h"
#include "compose/manager_server.h"
#include "compose/server_session.h"
#include "compose/workers.h"
#include "core/function.h"

namespace crucible {
namespace {

using managed::TravellingJob;
using managed::TravellingOutcome;
using managed::TravellingTask;

// What it stands for where the worker is started.
PoolTask task_of(const ServerCall& call, TravellingTask travelling) {
  auto& [is_chunk, name, code, function, arguments] = travelling;
  PoolTask task = {.code = reinterpret_cast<PoolTask::Code>(code),
                   .function = reinterpret_cast<const void*>(function),
                   .arguments = std::move(arguments),
                   .name = name,
                   .is_chunk = is_chunk};
  if (const NamedTask* const known = find_task(name)) {
    task.code = is_chunk ? known->chunk : known->one;
    task.function = known->function;
  } else if (!name.empty()) {
    throw BadArgument("the server knows no function '" + name + "'");
  } else if (call.session().is_stranger) {
    throw BadArgument("who is no fork of the manager's creator gives a managed pool crucible::Functions only");
  }
  return task;
}

class PoolObject final : public ServedObject {
 public:
  PoolObject(ManagerServer& server, std::shared_ptr<Pool> pool)
      : ServedObject("pool"),
        server_(server),
        pool_(std::move(pool)),
        ending_(std::make_shared<Strand>(server.workers())),
        joining_(std::make_shared<Strand>(server.workers())) {}
  // On another thread: it waits for the workers' ends.
  ~PoolObject() override {
    ending_->run([pool = std::move(pool_)] { (void)pool->terminate_pool(); });
  }

  void serve(const CallPointer& call) override {
    static const Handlers<PoolObject> handlers = {{"size", &PoolObject::size},
                                                  {"perform", &PoolObject::perform},
                                                  {"submit", &PoolObject::submit},
                                                  {"collect", &PoolObject::collect},
                                                  {"uncollect", &PoolObject::uncollect},
                                                  {"close", &PoolObject::close},
                                                  {"terminate", &PoolObject::terminate},
                                                  {"join", &PoolObject::join},
                                                  {"statistics", &PoolObject::statistics},
                                                  {"workers", &PoolObject::workers},
                                                  {"failure", &PoolObject::failure}};
    dispatch(*this, handlers, call);
  }
  void time_out(const CallPointer& call) override {
    withdraw(call);
    call->answer(static_cast<int>(Status::kTimeout));
  }
  void withdraw(const CallPointer& call) override {
    joiners_.remove(call);
    std::erase_if(performed_, [&call](const auto& entry) { return entry.second == call; });
    for (auto& [key, collector] : collectors_) {
      if (collector.waiting == call) collector.waiting.reset();
    }
  }
  void leave(std::uint64_t session) override {
    std::erase_if(collectors_, [session](const auto& entry) { return entry.first.first == session; });
  }
  void end() override {
    (void)pool_->terminate_pool();
    (void)pool_->join_until(Deadline::never());
  }

 private:
  using Key = std::pair<std::uint64_t, std::uint64_t>;  // a session, and its number for itself
  struct Collector {
    CallPointer waiting;
    std::vector<TravellingJob> come;
  };

  Key key_of(const CallPointer& call) const { return {call->owner().session, call->get<std::uint64_t>(0)}; }

  // `came` runs on the server's thread with what came of the job, if this object is still there.
  std::shared_ptr<PoolJob> make_job(std::size_t tasks,
                                    std::function<void(PoolObject&, std::vector<TravellingOutcome>)> came) {
    return std::make_shared<PoolJob>(
        tasks, [&server = server_, weak = weak_from_this(), came = std::move(came)](const PoolJob& job) {
          auto outcomes = std::make_shared<std::vector<TravellingOutcome>>();
          for (const PoolOutcome& outcome : job.outcomes()) outcomes->push_back(managed::pack_outcome(outcome));
          server.deliver([weak, came, outcomes] {
            const auto self = std::static_pointer_cast<PoolObject>(weak.lock());
            if (self != nullptr) came(*self, std::move(*outcomes));
          });
        });
  }

  void size(const CallPointer& call) { call->answer(pool_->size()); }

  void perform(const CallPointer& call) {
    PoolTask task = task_of(*call, call->get<TravellingTask>(0));
    const std::uint64_t number = ++last_performed_;
    call->park(-1);
    performed_[number] = call;
    const auto came = [number](PoolObject& self, std::vector<TravellingOutcome> outcomes) {
      self.answer_performed(number, std::move(outcomes.front()));
    };
    const Status status = pool_->submit({&task, 1}, make_job(1, came));
    if (status == Status::kOk) return;
    performed_.erase(number);
    call->answer(std::tuple(static_cast<int>(status), TravellingOutcome()));
  }
  void answer_performed(std::uint64_t number, TravellingOutcome outcome) {
    const auto found = performed_.find(number);
    if (found == performed_.end()) return;
    const CallPointer call = std::move(found->second);
    performed_.erase(found);
    call->answer(std::tuple(static_cast<int>(Status::kOk), std::move(outcome)));
  }

  void submit(const CallPointer& call) {
    const Key key = key_of(call);
    const auto number = call->get<std::uint64_t>(1);
    std::vector<PoolTask> tasks;
    for (TravellingTask& task : call->get<std::vector<TravellingTask>>(2)) {
      tasks.push_back(task_of(*call, std::move(task)));
    }
    collectors_.try_emplace(key);
    call->entangle(shared_from_this());
    const auto came = [key, number](PoolObject& self, std::vector<TravellingOutcome> outcomes) {
      self.collected(key, {number, std::move(outcomes)});
    };
    call->answer(static_cast<int>(pool_->submit(tasks, make_job(tasks.size(), came))));
  }
  void collected(const Key& key, TravellingJob job) {
    const auto found = collectors_.find(key);
    if (found == collectors_.end()) return;
    found->second.come.push_back(std::move(job));
    give(found->second);
  }
  static void give(Collector& collector) {
    if (collector.waiting == nullptr || collector.come.empty()) return;
    const CallPointer call = std::move(collector.waiting);
    const std::vector<TravellingJob> jobs = std::exchange(collector.come, {});
    call->answer(jobs);
  }
  void collect(const CallPointer& call) {
    Collector& collector = collectors_[key_of(call)];
    call->entangle(shared_from_this());
    call->park(-1);
    collector.waiting = call;
    give(collector);
  }
  void uncollect(const CallPointer& call) {
    const auto found = collectors_.find(key_of(call));
    if (found != collectors_.end()) {
      const CallPointer waiting = std::move(found->second.waiting);
      collectors_.erase(found);
      if (waiting != nullptr) waiting->answer(std::vector<TravellingJob>());
    }
    call->answer();
  }

  void close(const CallPointer& call) { call->answer(static_cast<int>(pool_->close_pool())); }
  // Off the server's thread: they wait for workers.
  void terminate(const CallPointer& call) {
    call->park(-1);
    ending_->run([&server = server_, pool = pool_, call] {
      const Status status = pool->terminate_pool();
      server.deliver([call, status] { call->answer(static_cast<int>(status)); });
    });
  }
  void join(const CallPointer& call) {
    const auto patience = call->get<std::int64_t>(0);
    const Status status = pool_->join_until(Deadline::immediate());
    if (status != Status::kTimeout || patience == 0) return call->answer(static_cast<int>(status));
    call->park(patience);
    joiners_.push_back(call);
    if (joiners_.size() > 1) return;
    joining_->run([&server = server_, pool = pool_, weak = weak_from_this()] {
      (void)pool->join_until(Deadline::never());
      server.deliver([weak] {
        const auto self = std::static_pointer_cast<PoolObject>(weak.lock());
        if (self == nullptr) return;
        for (const CallPointer& joiner : std::exchange(self->joiners_, {}))
          joiner->answer(static_cast<int>(Status::kOk));
      });
    });
  }

  void statistics(const CallPointer& call) {
    const PoolStatistics now = pool_->statistics();
    call->answer(std::vector<std::uint64_t>{now.queued, now.running, now.done, now.lost, now.restarts});
  }
  void workers(const CallPointer& call) { call->answer(pool_->workers()); }
  void failure(const CallPointer& call) { call->answer(pool_->failure()); }

  ManagerServer& server_;
  std::shared_ptr<Pool> pool_;
  const std::shared_ptr<Strand> ending_;
  const std::shared_ptr<Strand> joining_;
  std::map<Key, Collector> collectors_;
  std::unordered_map<std::uint64_t, CallPointer> performed_;
  std::uint64_t last_performed_ = 0;
  std::list<CallPointer> joiners_;
};

}  // namespace

void make_pool_object(const CallPointer& call) {
  const PoolOptions options = managed::unpack_options(call->get<managed::TravellingPoolOptions>(1));
  if (options.initializer && call->session().is_stranger) {
    throw BadArgument("who is no fork of the manager's creator gives a managed pool no initializer");
  }
  ManagerServer& server = call->server();
  call->park(-1);
  std::make_shared<Strand>(server.workers())->run([&server, call, options] {
    try {
      const std::shared_ptr<Pool> pool = context(server.mechanism()).pool(options);
      server.deliver([&server, call, pool] {
        ObjectTable& objects = server.objects();
        call->answer(objects.reference(objects.add(std::make_unique<PoolObject>(server, pool))));
      });
    } catch (...) {
      server.deliver([call, error = std::current_exception()] { call->fail(error); });
    }
  });
}

}  // namespace crucible
