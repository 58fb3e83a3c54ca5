// The listener's own thread: handshakes.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <system_error>
#include <thread>

#include "core/door_listener.h"
#include "core/wait.h"

namespace crucible {
namespace {

// A peer that is not silent answers sooner, unless this machine is overloaded: so long it is left in a full house.
constexpr std::int64_t kLeastPatienceNs = 100'000'000;
// With descriptors exhausted, after so long somebody may have closed one.
constexpr std::int64_t kBackOffNs = 10'000'000;
constexpr int kNewcomersPerRound = 16;

}  // namespace

void* DoorListener::run_thread(void* listener) {
  pthread_setname_np(pthread_self(), "crucible-door");
  static_cast<DoorListener*>(listener)->run();
  return nullptr;
}

void DoorListener::run() {
  visitors_mutex_.lock();
  while (sleep()) {
    hear_visitors();
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
  bool has_slept = true;
  try {
    (void)sleep_on(slots_, deadline);
  } catch (const std::system_error&) {
    has_slept = false;
  }
  visitors_mutex_.lock();
  if (!has_slept) shed();
  if (slots_[0].revents != 0) bell_.hush();
  return !leaving_.load(std::memory_order_relaxed);
}

// poll(2) refuses more slots than the process may have descriptors, if that limit was lowered meanwhile; or the kernel
// has no memory.
void DoorListener::shed() noexcept {
  for (pollfd& slot : slots_) slot.revents = 0;
  if (!visitors_.empty()) {
    refuse(visitors_.front());
    visitors_.pop_front();
  } else {
    std::this_thread::sleep_for(std::chrono::nanoseconds(kBackOffNs));
  }
}

void DoorListener::hear_visitors() {
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
    if (serve_) {
      serve_(socket);
      return;
    }
    std::unique_ptr<Connection> connection = kind_.admit(std::move(socket), options_.pipe);
    if (visitor.has_credentials) connection->set_peer(visitor.credentials);
    const std::lock_guard lock(ready_mutex_);
    waiting_.push_back(std::move(connection));
    ready_.ring();
  } catch (...) {  // descriptors or memory exhausted: its peer sees the socket closed
    count_refused();
  }
}

void DoorListener::refuse(Visitor& visitor) noexcept {
  visitor.handshake.refuse();
  count_refused();
}

void DoorListener::count_refused() noexcept {
  if (serve_) return;  // nobody accepts
  const std::lock_guard lock(ready_mutex_);
  ++refused_;
  ready_.ring();
}

}  // namespace crucible
