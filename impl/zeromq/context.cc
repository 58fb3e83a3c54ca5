#include "zeromq/context.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "api/deadline.h"
#include "api/status.h"
#include "core/fd.h"
#include "core/fork_order.h"
#include "zeromq/connection.h"

namespace crucible {
namespace {

// A context takes 6 descriptors, a socket 1 and its connection 2; flushing takes 3. libzmq asserts that it got some of
// them, so they must be there before it is called. Another thread may still be faster, as may a connection.
constexpr std::size_t kHeadroom = 14;

constexpr int kLongestLingerMs = 8000;
constexpr int kMostSockets = 8192;  // libzmq's default of 1,023 is 255 pipes with both ends in one process

// A closed socket that libzmq still flushes; it counts as a socket.
struct Departing {
  void* monitor;
  bool in_vain;  // nobody is left to receive it; libzmq does not know, and cannot be told
};

// The mutex is held across fork, so that a child finds neither it nor what libzmq locks inside zmq_ctx_new taken by a
// thread that it does not have.
struct Registry {
  std::mutex mutex;
  zmq::context_t* context = nullptr;
  std::size_t sockets = 0;
  std::vector<Departing> departing;
  std::set<ZeromqConnection*> ends;
  bool exit_hook = false;
  std::atomic<unsigned> generation = 1;

  static Registry& get() {
    static auto* const registry = new Registry;  // never destroyed: exit handlers use it
    return *registry;
  }

 private:
  Registry() {
    pthread_atfork([] { get().mutex.lock(); }, [] { get().mutex.unlock(); },
                   [] {
                     Registry& self = get();
                     self.context = nullptr;  // the parent's: leaked here, on purpose
                     self.sockets = 0;
                     self.departing.clear();
                     self.ends.clear();
                     self.exit_hook = false;
                     ++self.generation;
                     self.mutex.unlock();
                   });
  }
};

// First of all handlers of forks (core/fork_order.h): in a child the mutex is free before others let go of connections.
[[gnu::constructor(fork_order::kLeaf)]] void register_with_forks() { Registry::get(); }

// Counts them and takes none, not even for a moment: in that moment libzmq's thread may be accepting a connection.
void require_headroom() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("getrlimit");
  std::array<pollfd, 256> slots;
  std::size_t unused = 0;
  for (rlim_t first = 0; unused < kHeadroom; first += slots.size()) {
    if (first >= limit.rlim_cur) {
      errno = EMFILE;
      throw_errno("descriptors for ZeroMQ");
    }
    const auto count = static_cast<std::size_t>(std::min<rlim_t>(slots.size(), limit.rlim_cur - first));
    for (std::size_t i = 0; i < count; ++i) slots[i] = {.fd = static_cast<int>(first + i), .events = 0, .revents = 0};
    if (::poll(slots.data(), count, 0) < 0) throw_errno("poll");
    unused += static_cast<std::size_t>(std::ranges::count_if(
        std::span(slots).first(count), [](const pollfd& slot) { return slot.revents == POLLNVAL; }));
  }
}

// With the registry's mutex held. Terminating waits until every socket is destroyed, so that nothing is left behind: no
// thread, no descriptor. While something is still being flushed it would wait for that, so it is put off.
void terminate_if_unused(Registry& registry, int patience_ms) {
  std::erase_if(registry.departing, [&](const Departing& departing) {
    zmq::message_t event;
    const int wait_ms = departing.in_vain ? 0 : patience_ms;
    zmq_setsockopt(departing.monitor, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    if (zmq_msg_recv(event.handle(), departing.monitor, 0) < 0) return false;
    zmq_close(departing.monitor);
    --registry.sockets;
    return true;
  });
  if (registry.sockets == 0) delete std::exchange(registry.context, nullptr);
}

// Waits for what is still being flushed, as long as libzmq tries; what is flushed in vain ends with the process.
void end_context_at_exit(Registry& registry) {
  const std::lock_guard lock(registry.mutex);
  terminate_if_unused(registry, kLongestLingerMs);
  std::erase_if(registry.departing, [&registry](const Departing& departing) {
    if (departing.in_vain) return false;
    zmq_close(departing.monitor);
    --registry.sockets;
    return true;
  });
  if (registry.sockets == 0) delete std::exchange(registry.context, nullptr);
}

void close_ends_at_exit() {
  Registry& registry = Registry::get();
  while (true) {
    ZeromqConnection* end = nullptr;
    {
      const std::lock_guard lock(registry.mutex);
      if (registry.ends.empty()) break;
      end = *registry.ends.begin();
      registry.ends.erase(registry.ends.begin());
    }
    end->close();
  }
  end_context_at_exit(registry);
}

}  // namespace

void throw_zeromq(const char* call) {
  const int error = zmq_errno();
  const bool own = error > ZMQ_HAUSNUMERO;  // the library's own numbers, which std does not know
  throw std::system_error(own ? EPROTO : error, std::generic_category(),
                          own ? std::string(call) + ": " + zmq_strerror(error) : call);
}

unsigned zeromq_generation() noexcept { return Registry::get().generation.load(std::memory_order_relaxed); }

void enlist(ZeromqConnection& end) {
  Registry& registry = Registry::get();
  const std::lock_guard lock(registry.mutex);
  registry.ends.insert(&end);
  if (!std::exchange(registry.exit_hook, true)) std::atexit(close_ends_at_exit);
}

void delist(ZeromqConnection& end) noexcept {
  Registry& registry = Registry::get();
  const std::lock_guard lock(registry.mutex);
  registry.ends.erase(&end);
}

void settle() noexcept {
  Registry& registry = Registry::get();
  const std::lock_guard lock(registry.mutex);
  const bool idle = !registry.departing.empty() && registry.sockets == registry.departing.size();
  if (idle) terminate_if_unused(registry, kLongestLingerMs);
}

ZeromqSocket::ZeromqSocket(int type) {
  Registry& registry = Registry::get();
  const std::lock_guard lock(registry.mutex);
  require_headroom();
  if (registry.context == nullptr) {
    registry.context = new zmq::context_t(1);
    registry.context->set(zmq::ctxopt::max_sockets, kMostSockets);
  }
  socket_ = zmq_socket(registry.context->handle(), type);
  if (socket_ == nullptr) {
    const int error = zmq_errno();
    if (registry.sockets == 0) delete std::exchange(registry.context, nullptr);
    errno = error;
    throw_zeromq("zmq_socket");
  }
  ++registry.sockets;
  generation_ = registry.generation.load(std::memory_order_relaxed);
}

ZeromqSocket& ZeromqSocket::operator=(ZeromqSocket&& other) noexcept {
  if (this != &other) {
    close();
    socket_ = std::exchange(other.socket_, nullptr);
    generation_ = other.generation_;
  }
  return *this;
}

void ZeromqSocket::set(int option, int value) {
  if (uninterrupted([&] { return zmq_setsockopt(socket_, option, &value, sizeof value); }) != 0) {
    throw_zeromq("zmq_setsockopt");
  }
}

void ZeromqSocket::set(int option, std::string_view value) {
  if (uninterrupted([&] { return zmq_setsockopt(socket_, option, value.data(), value.size()); }) != 0) {
    throw_zeromq("zmq_setsockopt");
  }
}

void ZeromqSocket::bind(const std::string& endpoint) {
  if (uninterrupted([&] { return zmq_bind(socket_, endpoint.c_str()); }) != 0) throw_zeromq("zmq_bind");
}

void ZeromqSocket::connect(const std::string& endpoint) {
  if (uninterrupted([&] { return zmq_connect(socket_, endpoint.c_str()); }) != 0) throw_zeromq("zmq_connect");
}

int ZeromqSocket::descriptor() const {
  int descriptor = -1;
  std::size_t length = sizeof descriptor;
  if (uninterrupted([&] { return zmq_getsockopt(socket_, ZMQ_FD, &descriptor, &length); }) != 0) {
    throw_zeromq("zmq_getsockopt(ZMQ_FD)");
  }
  return descriptor;
}

void ZeromqSocket::refresh() const {
  int events = 0;
  std::size_t length = sizeof events;
  if (uninterrupted([&] { return zmq_getsockopt(socket_, ZMQ_EVENTS, &events, &length); }) != 0) {
    throw_zeromq("zmq_getsockopt(ZMQ_EVENTS)");
  }
}

ZeromqSocket ZeromqSocket::watch(int events) {
  static std::atomic<unsigned> serial = 0;  // libzmq frees a name some time after its socket was closed
  const std::string name = "inproc://watch-" + std::to_string(++serial);
  ZeromqSocket monitor(ZMQ_PAIR);
  if (uninterrupted([&] { return zmq_socket_monitor(socket_, name.c_str(), events); }) != 0) {
    throw_zeromq("zmq_socket_monitor");
  }
  monitor.connect(name);
  return monitor;
}

void ZeromqSocket::unwatch() noexcept { zmq_socket_monitor(socket_, nullptr, 0); }

// An event's first part: 16 bits of what, 32 of value. Its second one, the address, is passed over.
std::optional<int> ZeromqSocket::next_connection() {
  zmq::message_t part;
  while (uninterrupted([&] { return zmq_msg_recv(part.handle(), socket_, ZMQ_DONTWAIT); }) >= 0) {
    std::uint16_t event = 0;
    std::int32_t value = 0;
    if (!part.more() || part.size() != sizeof event + sizeof value) continue;
    std::memcpy(&event, part.data(), sizeof event);
    std::memcpy(&value, part.data<char>() + sizeof event, sizeof value);
    if (event == ZMQ_EVENT_CONNECTED) return value;
  }
  return std::nullopt;
}

void ZeromqSocket::close() noexcept {
  if (socket_ == nullptr) return;
  if (generation_ == zeromq_generation()) {
    constexpr int kDrop = 0;
    zmq_setsockopt(socket_, ZMQ_LINGER, &kDrop, sizeof kDrop);
    zmq_close(socket_);
  }
  forget();
}

// The public sign that a lingering socket is done is its monitor's last event, sent when the socket is destroyed.
bool ZeromqSocket::flush_and_close(std::chrono::milliseconds patience,
                                   const std::function<bool()>& pointless) noexcept {
  if (socket_ == nullptr || generation_ != zeromq_generation()) return true;
  const Deadline deadline = Deadline::after(patience);
  const int linger = 4 * static_cast<int>(patience.count());
  zmq_setsockopt(socket_, ZMQ_LINGER, &linger, sizeof linger);
  bool flushed = false;
  bool in_vain = false;
  try {
    ZeromqSocket monitor = watch(ZMQ_EVENT_MONITOR_STOPPED);
    zmq_close(std::exchange(socket_, nullptr));
    zmq::message_t event;
    while (!flushed && !in_vain && !deadline.has_passed()) {
      constexpr int kLook = 50;
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.left()).count();
      const int wait = static_cast<int>(std::min<std::int64_t>(left, kLook));
      zmq_setsockopt(monitor.get(), ZMQ_RCVTIMEO, &wait, sizeof wait);
      flushed = zmq_msg_recv(event.handle(), monitor.get(), 0) >= 0;
      in_vain = !flushed && pointless();
    }
    if (!flushed) {
      Registry& registry = Registry::get();
      const std::lock_guard lock(registry.mutex);
      registry.departing.push_back({.monitor = std::exchange(monitor.socket_, nullptr), .in_vain = in_vain});
    }
  } catch (const std::exception&) {  // no descriptors: libzmq flushes, unwatched
    if (socket_ != nullptr) zmq_close(socket_);
  }
  forget();
  return flushed;
}

void ZeromqSocket::forget() noexcept {
  socket_ = nullptr;
  if (generation_ != zeromq_generation()) return;
  Registry& registry = Registry::get();
  const std::lock_guard lock(registry.mutex);
  constexpr int kPatienceMs = 100;
  if (--registry.sockets == registry.departing.size()) terminate_if_unused(registry, kPatienceMs);
}

}  // namespace crucible
