// The process's one ZeroMQ context and the sockets in it.
#pragma once

#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
#include <string_view>
#include <zmq.hpp>

namespace crucible {

class ZeromqConnection;

/// How often this process's line of ancestors has forked: what was made under another number belongs to a parent, whose
/// context must not be touched, not even to destroy it. No system call.
unsigned zeromq_generation() noexcept;

/// Ends that have sockets, which a normal end of the process (std::exit, return from main) closes, so that what they
/// sent leaves. Closing one must not wait for enlist() or delist().
void enlist(ZeromqConnection& end);
void delist(ZeromqConnection& end) noexcept;
/// Where nothing but what libzmq still flushes keeps the context alive, waits for that.
void settle() noexcept;

/// A socket in the process's context, which the first one makes and the last one terminates. Used by one thread at a
/// time. In a forked child everything that it does is nothing.
class ZeromqSocket {
 public:
  ZeromqSocket() noexcept = default;
  /// Throws std::system_error (EMFILE also before the last descriptor is gone: libzmq aborts where it finds none).
  explicit ZeromqSocket(int type);
  ZeromqSocket(ZeromqSocket&& other) noexcept { *this = std::move(other); }
  ZeromqSocket& operator=(ZeromqSocket&& other) noexcept;
  ~ZeromqSocket() { close(); }

  explicit operator bool() const noexcept { return socket_ != nullptr; }
  void* get() const noexcept { return socket_; }
  /// These throw std::system_error.
  void set(int option, int value);
  void set(int option, std::string_view value);
  void bind(const std::string& endpoint);
  void connect(const std::string& endpoint);
  /// Polls readable, edge-triggered, when something may have changed; then refresh() and try again.
  int descriptor() const;
  void refresh() const;

  /// A socket that hears of `events` (ZMQ_EVENT_...) of this one. As long as the one is watched, the other must live.
  ZeromqSocket watch(int events);
  void unwatch() noexcept;
  /// What such a socket has heard of connections made: the next one's descriptor, which is libzmq's. Does not wait.
  std::optional<int> next_connection();

  /// Drops what is not sent yet.
  void close() noexcept;
  /// Waits until libzmq has handed everything to the kernel, at most for `patience`, after which it goes on trying for
  /// three times as long while the process lives. False: it has to.
  bool flush_and_close(std::chrono::milliseconds patience, const std::function<bool()>& pointless) noexcept;

 private:
  void forget() noexcept;

  void* socket_ = nullptr;
  unsigned generation_ = 0;
};

/// A call into libzmq, again if the handling of a signal has interrupted it: nearly all of them may say EINTR.
template <class Call>
int uninterrupted(const Call& call) {
  int result = call();
  while (result < 0 && zmq_errno() == EINTR) result = call();
  return result;
}

/// Throws std::system_error for the current zmq_errno().
[[noreturn]] void throw_zeromq(const char* call);

}  // namespace crucible
