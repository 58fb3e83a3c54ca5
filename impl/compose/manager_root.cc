// The object that stands for the server itself, and objects of registered types.
#include <cxxabi.h>

#include <exception>
#include <utility>

#include "compose/manager_objects.h"
#include "compose/manager_server.h"
#include "compose/workers.h"

namespace crucible {
namespace {

class RootObject final : public ServedObject {
 public:
  explicit RootObject(ManagerServer& server) : ServedObject("server"), server_(server) {}

  void serve(const CallPointer& call) override {
    static const Handlers<RootObject> handlers = {{"create", &RootObject::create},
                                                  {"ticket", &RootObject::ticket},
                                                  {"redeem", &RootObject::redeem},
                                                  {"count", &RootObject::count}};
    dispatch(*this, handlers, call);
  }

 private:
  void create(const CallPointer& call) {
    const auto type = call->get<std::string>(0);
    for (const auto find : {container_maker, box_maker, lock_maker, meeting_maker, queue_maker}) {
      if (const MakeObject make = find(type)) {
        return call->answer(server_.objects().reference(server_.objects().add(make(*call))));
      }
    }
    if (type == "pool") return make_pool_object(call);
    const ManagedType* const own = server_.types().find(type);
    if (own == nullptr) throw NotFound("no type '" + type + "' is registered");
    make_own_object(call, *own);
  }
  void ticket(const CallPointer& call) {
    call->answer(server_.make_ticket(server_.objects().find(call->get<std::uint64_t>(0))));
  }
  void redeem(const CallPointer& call) {
    server_.redeem(call->get<std::uint64_t>(0), call->session());
    call->answer();
  }
  void count(const CallPointer& call) { call->answer(server_.objects().size()); }

  ManagerServer& server_;
};

// What a method came to, with the objects in it.
struct Written {
  ManagedType::Result result;
  std::vector<std::shared_ptr<ServedObject>> references;
};

// Does `work` on another thread and brings what it came to back to the server's.
void run_apart(const CallPointer& call, const std::shared_ptr<Strand>& strand, std::function<Written()> work,
               std::function<void(Written)> finish) {
  ManagerServer& server = call->server();
  call->park(-1);
  strand->run([&server, call = call, work = std::move(work), finish = std::move(finish)]() mutable {
    const auto fail = [&server, &call](std::exception_ptr error) {
      server.deliver([call = std::move(call), error = std::move(error)] { call->fail(error); });
    };
    try {
      auto written = std::make_shared<Written>(work());
      server.deliver([call = std::move(call), written, finish = std::move(finish)] {
        try {
          finish(std::move(*written));
        } catch (...) {
          call->fail(std::current_exception());
        }
      });
    } catch (const abi::__forced_unwind&) {  // the method ends its thread: pthread_exit()
      fail(std::make_exception_ptr(StateError("the method ended its thread")));
      throw;
    } catch (...) {
      fail(std::current_exception());
    }
  });
}

class GeneratorObject final : public ServedObject {
 public:
  GeneratorObject(ManagedType::Step step, std::shared_ptr<void> origin, std::shared_ptr<Strand> strand)
      : ServedObject("generator"), origin_(std::move(origin)), step_(std::move(step)), strand_(std::move(strand)) {}

  void serve(const CallPointer& call) override {
    static const Handlers<GeneratorObject> handlers = {{"next", &GeneratorObject::next}};
    dispatch(*this, handlers, call);
  }

 private:
  void next(const CallPointer& call) {
    const auto work = [self = std::static_pointer_cast<GeneratorObject>(shared_from_this()), call] {
      ServerScope scope(call->server().objects());
      Written written;
      written.result.value = self->step_();
      written.references = std::move(scope.written());
      return written;
    };
    run_apart(call, strand_, work, [call](Written written) {
      constexpr std::byte kListOfNone{0x90};
      constexpr std::byte kListOfOne{0x91};
      Bytes bytes = {written.result.value ? kListOfOne : kListOfNone};
      if (written.result.value) {
        const ByteView item = written.result.value->view();
        bytes.insert(bytes.end(), item.begin(), item.end());
      }
      call->answer_bytes(bytes, written.references);
    });
  }

  const std::shared_ptr<void> origin_;
  const ManagedType::Step step_;
  const std::shared_ptr<Strand> strand_;
};

class OwnObject final : public ServedObject {
 public:
  OwnObject(const ManagedType& type, std::shared_ptr<void> object, std::shared_ptr<Strand> strand)
      : ServedObject(type.name), methods_(type), object_(std::move(object)), strand_(std::move(strand)) {}

  void serve(const CallPointer& call) override {
    const auto found = methods_.methods.find(call->method());
    if (found == methods_.methods.end()) {
      if (call->method() == "text") return call->answer(text());
      throw NotFound("no method '" + call->method() + "' of " + type());
    }
    // What it refers to stays alive until the call has read its arguments.
    std::vector<Object> pinned;
    for (std::size_t i = 0; i < call->size(); ++i) pinned.push_back(call->get<Object>(i));
    const auto work = [call, object = object_, method = &found->second, pinned = std::move(pinned)] {
      ServerScope scope(call->server().objects());
      Written written;
      written.result = (*method)(object.get(), call->arguments());
      written.references = std::move(scope.written());
      return written;
    };
    run_apart(call, strand_, work, [call, object = object_, strand = strand_](Written written) {
      if (written.result.value) return call->answer_bytes(written.result.value->view(), written.references);
      ObjectTable& objects = call->server().objects();
      call->answer(objects.reference(
          objects.add(std::make_unique<GeneratorObject>(std::move(written.result.step), object, strand))));
    });
  }

 private:
  const ManagedType& methods_;
  const std::shared_ptr<void> object_;
  const std::shared_ptr<Strand> strand_;
};

}  // namespace

std::unique_ptr<ServedObject> make_root_object(ManagerServer& server) { return std::make_unique<RootObject>(server); }

void make_own_object(const CallPointer& call, const ManagedType& type) {
  if (!type.make) throw NotFound("type '" + type.name + "' has no registered constructor");
  auto strand = std::make_shared<Strand>(call->server().workers());
  auto made = std::make_shared<std::shared_ptr<void>>();
  const auto work = [call, &type, made] {
    const ServerScope scope(call->server().objects());
    const Arguments all = call->arguments();
    *made = type.make(all.from(1));
    return Written();
  };
  run_apart(call, strand, work, [call, &type, made, strand](const Written& /*written*/) {
    ObjectTable& objects = call->server().objects();
    call->answer(objects.reference(objects.add(std::make_unique<OwnObject>(type, std::move(*made), strand))));
  });
}

}  // namespace crucible
