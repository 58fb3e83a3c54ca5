#include "compose/manager.h"

#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <new>
#include <system_error>
#include <utility>

#include "compose/manager_server.h"
#include "core/event_loop.h"
#include "core/process.h"

namespace crucible {
namespace {

constexpr std::chrono::seconds kPatience{1};  // with a server that was told to end

ServerId random_id() {
  ServerId id;
  if (::getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) throw_errno("getrandom");
  return id;
}

void limit_memory(std::size_t more_bytes) {
  if (more_bytes == 0) return;
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t most = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + more_bytes;
  const rlimit limit = {.rlim_cur = most, .rlim_max = most};
  if (::setrlimit(RLIMIT_AS, &limit) != 0) throw_errno("setrlimit(RLIMIT_AS)");
}

Glance glance_of(const QueueCarrier& carrier, const ManagerOptions& options) {
  if (!carrier.tells_news || options.wait == WaitStrategy::kBlock) return Glance::kNever;
  return options.wait == WaitStrategy::kSpin ? Glance::kAlways : Glance::kWhilePaid;
}

// Memory or descriptors that ran out are somebody's failed request, and no reason to end.
void serve_round(ManagerServer& server) noexcept {
  try {
    server.run_once();
  } catch (const std::exception&) {
  }
}

void serve_objects(BrokerProcess::Duty& duty, const QueueCarrier& carrier, const std::string& place,
                   const DoorOptions& door, const ManagerOptions& options, const ServerId& id,
                   const std::function<void()>& initializer) {
  const std::unique_ptr<Listener> listener = carrier.listen(place, door);
  if (initializer) initializer();
  EventLoop loop;
  bool has_family = true;
  bool is_told_to_end = false;
  ReadableDescriptor family(duty.family());
  ReadableDescriptor creator(duty.creator());
  // Its end comes before the listener's, which it waits for.
  ManagerServer server(carrier.mechanism, loop, *listener, id, options.types, glance_of(carrier, options));
  const auto hear_family = [&] {
    Bytes word;
    for (Fd descriptor; duty.hear(word, descriptor);) server.inherit(word, std::move(descriptor));
  };
  server.on_letting_go(hear_family);
  loop.watch(family, [&] {
    hear_family();
    has_family = duty.has_family();
    if (!has_family) loop.forget(family);
  });
  loop.watch(creator, [&] {
    if (!duty.answer(duty.has_family() || server.has_strangers())) loop.forget(creator);
    is_told_to_end = duty.is_told_to_end();
  });
  limit_memory(options.memory_bytes);
  duty.report(listener->address());
  while (!is_told_to_end && (has_family || server.has_strangers())) serve_round(server);
}

}  // namespace

ComposedManager::ComposedManager(const QueueCarrier& carrier, std::string address, ManagerOptions options)
    : carrier_(carrier), options_(std::move(options)), has_address_(!address.empty()), address_(std::move(address)) {
  if (!has_address_) address_ = std::string(carrier.scheme) + ":";
}

ComposedManager::~ComposedManager() {
  if (life_ == Life::kStarted && starter_ == ::getpid()) shutdown();
}

void ComposedManager::leave_new(Life next) {
  Life life = Life::kNew;
  if (!life_.compare_exchange_strong(life, next)) throw StateError("this manager was started, or connected, before");
}

RemoteServer::Door ComposedManager::door() const {
  RemoteServer::Door door = {.address = address_, .options = options_.door, .key = TravellingReference::kOwn};
  if (!door.options.authkey && !has_address_) {
    door.options.authkey = current_process().authkey;
    door.key = TravellingReference::kFamilys;
  } else if (!door.options.authkey) {
    door.key = TravellingReference::kNone;
  }
  door.options.pipe = {.capacity_bytes = carrier_.pipe_bytes, .wait = options_.wait};
  return door;
}

void ComposedManager::start(const std::function<void()>& initializer) {
  leave_new(Life::kStarting);
  try {
    const ServerId id = random_id();
    RemoteServer::Door door = this->door();
    process_ = std::make_shared<BrokerProcess>("crucible-mngr", [&](BrokerProcess::Duty& duty) {
      serve_objects(duty, carrier_, door.address, door.options, options_, id, initializer);
    });
    address_ = door.address = process_->address();
    starter_ = ::getpid();
    server_ = RemoteServer::of_the_family(carrier_, id, std::move(door), process_);
  } catch (...) {
    process_.reset();
    life_ = Life::kNew;
    throw;
  }
  life_ = Life::kStarted;
}

bool ComposedManager::connect(Deadline deadline) {
  leave_new(Life::kConnected);
  try {
    server_ = RemoteServer::at(carrier_, door(), deadline);
  } catch (...) {
    life_ = Life::kNew;
    throw;
  }
  if (server_ == nullptr) life_ = Life::kNew;
  return server_ != nullptr;
}

void ComposedManager::serve_forever(const std::function<void(const std::string&)>& ready) {
  leave_new(Life::kServing);
  const RemoteServer::Door door = this->door();
  const std::unique_ptr<Listener> listener = carrier_.listen(door.address, door.options);
  address_ = listener->address();
  {
    const std::lock_guard lock(stopping_);
    starter_ = ::getpid();
    stop_.emplace();
  }
  EventLoop loop;
  bool is_told_to_end = false;
  ReadableDescriptor stop(stop_->get());
  {
    ManagerServer server(carrier_.mechanism, loop, *listener, random_id(), options_.types,
                         glance_of(carrier_, options_));
    loop.watch(stop, [&] { is_told_to_end = true; });
    limit_memory(options_.memory_bytes);
    if (ready) ready(address_);
    while (!is_told_to_end) serve_round(server);
    loop.forget(stop);
  }
  const std::lock_guard lock(stopping_);
  stop_.reset();
  life_ = Life::kOver;
}

void ComposedManager::shutdown() {
  if (starter_ != ::getpid()) throw StateError("shutdown: of the process that started it");
  if (life_ == Life::kServing) {
    const std::lock_guard lock(stopping_);
    if (stop_) stop_->ring();
    return;
  }
  if (life_.exchange(Life::kOver) == Life::kOver) return;
  process_->end(kPatience);
}

std::optional<pid_t> ComposedManager::pid() const {
  if (life_ == Life::kServing) return ::getpid();
  if (life_ != Life::kStarted) return std::nullopt;
  return process_->pid();
}

const std::shared_ptr<ObjectServer>& ComposedManager::server() const {
  if (life_ != Life::kStarted && life_ != Life::kConnected) throw StateError("this manager is not started");
  return server_;
}

}  // namespace crucible
