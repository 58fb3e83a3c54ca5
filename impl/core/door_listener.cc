#include "core/door_listener.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <system_error>

#include "core/fork_order.h"
#include "core/fork_registry.h"
#include "core/io.h"

namespace crucible {
namespace {

constexpr std::chrono::milliseconds kLongestPatience = std::chrono::hours(24 * 365);
constexpr std::size_t kStackBytes = 512 * 1024;

}  // namespace

class DoorListener::Registry : public ForkRegistry<Registry, DoorListener> {};

void DoorListener::register_with_forks() { Registry::get(); }

namespace {
[[gnu::constructor(fork_order::kOwner)]] void register_with_forks() { DoorListener::register_with_forks(); }
}  // namespace

void DoorListener::before_fork() {
  visitors_mutex_.lock();
  ready_mutex_.lock();
}

void DoorListener::after_fork_in_parent() {
  ready_mutex_.unlock();
  visitors_mutex_.unlock();
}

// Nobody will come through a copy's door, and a copy of the socket would keep the name alive after its owner's death.
bool DoorListener::after_fork_in_child() {
  after_fork_in_parent();
  is_copy_ = true;
  if (file_) file_->disown();
  abandon();
  return false;
}

DoorListener::DoorListener(const DoorKind& kind, OpenDoor door, const DoorOptions& options,
                           std::function<void(const Fd& socket)> serve)
    : kind_(kind),
      options_(options),
      terms_{.mechanism = kind_.mechanism, .authkey = options_.authkey},
      serve_(std::move(serve)),
      patience_ns_(std::chrono::nanoseconds(std::min(options.handshake_timeout, kLongestPatience)).count()),
      address_(door.place.text(kind.scheme)),
      file_(std::move(door.file)),
      socket_(std::move(door.socket)),
      spare_(::fcntl(bell_.get(), F_DUPFD_CLOEXEC, 0)) {
  if (!spare_) throw_errno("fcntl(F_DUPFD_CLOEXEC)");
  slots_.reserve(kMostHandshakes + 2);
  Registry& registry = Registry::get();
  const std::lock_guard lock(registry.mutex);
  registry.objects.reserve(registry.objects.size() + 1);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  sigset_t all;
  sigfillset(&all);
  pthread_attr_setsigmask_np(&attributes, &all);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  const int error = pthread_create(&thread_, &attributes, run_thread, this);
  pthread_attr_destroy(&attributes);
  if (error != 0) throw std::system_error(error, std::generic_category(), "pthread_create");
  registry.objects.push_back(this);
}

void DoorListener::close() noexcept {
  if (!gate_.close() || is_copy_) return;
  leaving_.store(true, std::memory_order_relaxed);
  bell_.ring();
  pthread_join(thread_, nullptr);
  // As long as the socket listens nobody takes the name over, so it is removed first.
  file_.reset();
  Registry& registry = Registry::get();
  const std::lock_guard lock(registry.mutex);
  std::erase(registry.objects, this);
  abandon();
}

void DoorListener::abandon() noexcept {
  visitors_.clear();
  waiting_.clear();
  socket_.reset();
  bell_.reset();
  ready_.reset();
  spare_.reset();
}

// --- Accepting -----------------------------------------------------------------------------------------------

Status DoorListener::accept(std::unique_ptr<Connection>& connection, Deadline deadline) {
  if (is_copy_) return Status::kState;
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass) return Status::kClosed;
  while (true) {
    if (const Status status = take(connection); status != Status::kTimeout) return status;
    if (const Status status = await_events(ready_.get(), POLLIN, deadline, gate_); status != Status::kOk) {
      return status;
    }
  }
}

Status DoorListener::take(std::unique_ptr<Connection>& connection) {
  const std::lock_guard lock(ready_mutex_);
  Status status = Status::kTimeout;
  if (!waiting_.empty()) {
    connection = std::move(waiting_.front());
    waiting_.pop_front();
    if (waiting_.size() == kMostReady - 1) bell_.ring();
    status = Status::kOk;
  } else if (refused_ > 0) {
    --refused_;
    status = Status::kAuth;
  }
  if (waiting_.empty() && refused_ == 0) ready_.hush();
  return status;
}

bool DoorListener::is_ready() noexcept {
  const std::lock_guard lock(ready_mutex_);
  return !waiting_.empty() || refused_ > 0;
}

bool DoorListener::has_room() noexcept {
  const std::lock_guard lock(ready_mutex_);
  return waiting_.size() < kMostReady;
}

bool DoorListener::begin_wait(pollfd& slot) {
  if (is_copy_) throw StateError("wait: the listener belongs to another process");
  if (!gate_.enter(Gate::kReceive)) throw Closed("wait");
  slot.fd = ready_.get();
  slot.events = POLLIN;
  return false;
}

bool DoorListener::end_wait(short revents) {
  const bool ready = revents != 0 && is_ready();
  gate_.leave(Gate::kReceive);
  return ready;
}

}  // namespace crucible
