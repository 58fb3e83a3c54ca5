#include "core/door_listener.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <limits>

#include "core/io.h"

namespace crucible {
namespace {

// A peer that is not silent answers sooner, unless this machine is overloaded: so long it is left in a full house.
constexpr std::int64_t kLeastPatienceNs = 100'000'000;
// With descriptors exhausted, after so long somebody may have closed one.
constexpr std::int64_t kBackOffNs = 10'000'000;
constexpr int kNewcomersPerRound = 16;
constexpr std::size_t kStackBytes = 512 * 1024;

Fd make_event() {
  Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) throw_errno("eventfd");
  return event;
}

void ring(const Fd& event) noexcept {
  const std::uint64_t one = 1;
  (void)!::write(event.get(), &one, sizeof one);
}

void hush(const Fd& event) noexcept {
  std::uint64_t count = 0;
  (void)!::read(event.get(), &count, sizeof count);
}

}  // namespace

// Lock order: this mutex, then each listener's two.
class DoorListener::Registry {
 public:
  static Registry& get() {
    static Registry* const registry = [] {
      auto* created = new Registry;
      pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
      return created;
    }();
    return *registry;
  }

  std::mutex mutex;
  std::vector<DoorListener*> listeners;

 private:
  static void before_fork() {
    get().mutex.lock();
    for (DoorListener* listener : get().listeners) {
      listener->visitors_mutex_.lock();
      listener->ready_mutex_.lock();
    }
  }
  static void after_fork_in_parent() {
    for (DoorListener* listener : get().listeners) {
      listener->ready_mutex_.unlock();
      listener->visitors_mutex_.unlock();
    }
    get().mutex.unlock();
  }
  // Nobody will come through a copy's door, and a copy of the socket would keep the name alive after its owner's death.
  static void after_fork_in_child() {
    std::vector<DoorListener*> copies;
    copies.swap(get().listeners);
    after_fork_in_parent();
    for (DoorListener* copy : copies) {
      copy->ready_mutex_.unlock();
      copy->visitors_mutex_.unlock();
      copy->is_copy_ = true;
      copy->abandon();
    }
  }
};

DoorListener::DoorListener(const DoorKind& kind, OpenDoor door, const DoorOptions& options)
    : kind_(kind),
      options_(options),
      terms_{.mechanism = kind_.mechanism, .authkey = options_.authkey},
      patience_ns_(std::chrono::nanoseconds(options.handshake_timeout).count()),
      address_(door.place.text(kind.scheme)),
      file_(std::move(door.file)),
      socket_(std::move(door.socket)) {
  try {
    bell_ = make_event();
    ready_ = make_event();
    spare_ = make_event();
    slots_.reserve(kMostHandshakes + 2);
    Registry& registry = Registry::get();
    const std::lock_guard lock(registry.mutex);
    registry.listeners.reserve(registry.listeners.size() + 1);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    sigset_t all;
    sigfillset(&all);
    pthread_attr_setsigmask_np(&attributes, &all);
    pthread_attr_setstacksize(&attributes, kStackBytes);
    const int error = pthread_create(&thread_, &attributes, run_thread, this);
    pthread_attr_destroy(&attributes);
    if (error != 0) throw std::system_error(error, std::generic_category(), "pthread_create");
    registry.listeners.push_back(this);
  } catch (...) {
    if (file_) file_->remove();
    throw;
  }
}

void DoorListener::close() noexcept {
  if (!gate_.close() || is_copy_) return;
  leaving_.store(true, std::memory_order_relaxed);
  ring(bell_);
  pthread_join(thread_, nullptr);
  // As long as the socket listens nobody takes the name over, so it is removed first.
  if (file_) file_->remove();
  Registry& registry = Registry::get();
  const std::lock_guard lock(registry.mutex);
  std::erase(registry.listeners, this);
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
    if (waiting_.size() == kMostReady - 1) ring(bell_);
    status = Status::kOk;
  } else if (refused_ > 0) {
    --refused_;
    status = Status::kAuth;
  }
  if (waiting_.empty() && refused_ == 0) hush(ready_);
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

// --- The handshake thread ------------------------------------------------------------------------------------

void* DoorListener::run_thread(void* listener) {
  pthread_setname_np(pthread_self(), "crucible-door");
  static_cast<DoorListener*>(listener)->run();
  return nullptr;
}

void DoorListener::run() {
  visitors_mutex_.lock();
  while (sleep()) {
    serve();
    expire();
    admit_newcomers();
  }
  visitors_mutex_.unlock();
}

// False: the listener is closed. The slots stand for the bell, the door and the visitors in their order.
bool DoorListener::sleep() {
  const std::int64_t now = Deadline::now_ns();
  std::int64_t wake_ns = std::numeric_limits<std::int64_t>::max();
  if (!visitors_.empty()) wake_ns = visitors_.front().since_ns + patience_ns_;
  bool is_open = has_room();
  if (is_open && now < resume_ns_) {
    wake_ns = std::min(wake_ns, resume_ns_);
    is_open = false;
  }
  if (is_open && visitors_.size() >= kMostHandshakes) {
    const std::int64_t replaceable_ns = visitors_.front().since_ns + kLeastPatienceNs;
    if (now < replaceable_ns) {
      wake_ns = std::min(wake_ns, replaceable_ns);
      is_open = false;
    }
  }
  slots_.clear();
  slots_.push_back({.fd = bell_.get(), .events = POLLIN, .revents = 0});
  slots_.push_back({.fd = is_open ? socket_.get() : -1, .events = POLLIN, .revents = 0});
  for (const Visitor& visitor : visitors_) {
    slots_.push_back({.fd = visitor.handshake.socket(), .events = POLLIN, .revents = 0});
  }
  const bool has_deadline = wake_ns != std::numeric_limits<std::int64_t>::max();
  const Deadline deadline = has_deadline ? Deadline::after(std::chrono::nanoseconds(wake_ns - now)) : Deadline::never();
  visitors_mutex_.unlock();
  (void)sleep_on(slots_, deadline);
  visitors_mutex_.lock();
  if (slots_[0].revents != 0) hush(bell_);
  return !leaving_.load(std::memory_order_relaxed);
}

void DoorListener::serve() {
  std::size_t slot = 2;
  for (auto visitor = visitors_.begin(); visitor != visitors_.end(); ++slot) {
    const auto outcome = slots_[slot].revents != 0 ? visitor->handshake.advance() : Handshake::Outcome::kUnderWay;
    if (outcome == Handshake::Outcome::kUnderWay) {
      ++visitor;
      continue;
    }
    if (outcome == Handshake::Outcome::kAgreed) {
      welcome(*visitor);
    } else {
      refuse(*visitor);
    }
    visitor = visitors_.erase(visitor);
  }
}

void DoorListener::expire() {
  const std::int64_t now = Deadline::now_ns();
  while (!visitors_.empty() && now >= visitors_.front().since_ns + patience_ns_) {
    refuse(visitors_.front());
    visitors_.pop_front();
  }
}

void DoorListener::admit_newcomers() {
  if (slots_[1].revents == 0) return;
  for (int i = 0; i < kNewcomersPerRound; ++i) {
    const std::int64_t now = Deadline::now_ns();
    if (visitors_.size() >= kMostHandshakes && now < visitors_.front().since_ns + kLeastPatienceNs) return;
    Fd socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      if (errno == EMFILE || errno == ENFILE) turn_away();
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) resume_ns_ = now + kBackOffNs;
      return;  // of other errors, which are a peer's, the next poll tells whether more peers are there
    }
    try {
      const std::optional<PeerCredentials> peer = kind_.tcp ? std::nullopt : credentials_of(socket.get());
      visitors_.push_back({.handshake = Handshake(std::move(socket), terms_),
                           .credentials = peer.value_or(PeerCredentials{}),
                           .has_credentials = peer.has_value(),
                           .since_ns = now});
    } catch (...) {  // no memory: the peer is out of luck
      count_refused();
      continue;
    }
    Visitor& newcomer = visitors_.back();
    const bool is_stranger =
        !kind_.tcp && !options_.authkey && !(newcomer.has_credentials && is_trusted(newcomer.credentials));
    if (newcomer.handshake.begin() == Handshake::Outcome::kRefused || is_stranger) {
      refuse(newcomer);
      visitors_.pop_back();
    } else if (visitors_.size() > kMostHandshakes) {
      refuse(visitors_.front());
      visitors_.pop_front();
    }
  }
}

// With descriptors exhausted the peer shall know, and not wait for what may never come; perhaps it is this very process
// that waits.
void DoorListener::turn_away() noexcept {
  const int error = errno;
  spare_.reset();
  Fd socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket) count_refused();
  socket.reset();
  spare_ = Fd(::fcntl(bell_.get(), F_DUPFD_CLOEXEC, 0));
  errno = error;
}

void DoorListener::welcome(Visitor& visitor) noexcept {
  try {
    Fd socket = visitor.handshake.release();
    make_blocking(socket);
    if (kind_.tcp) prepare_tcp(socket);
    std::unique_ptr<Connection> connection = kind_.admit(std::move(socket), options_.pipe);
    if (visitor.has_credentials) connection->set_peer(visitor.credentials);
    const std::lock_guard lock(ready_mutex_);
    waiting_.push_back(std::move(connection));
    ring(ready_);
  } catch (...) {  // descriptors or memory exhausted: its peer sees the socket closed
    count_refused();
  }
}

void DoorListener::refuse(Visitor& visitor) noexcept {
  visitor.handshake.refuse();
  count_refused();
}

void DoorListener::count_refused() noexcept {
  const std::lock_guard lock(ready_mutex_);
  ++refused_;
  ring(ready_);
}

}  // namespace crucible
