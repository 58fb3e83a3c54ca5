// What the tests of Connection share.
#pragma once

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <ostream>

#include "api/connection.h"
#include "conformance/support/fixture.h"

namespace crucible {

inline void PrintTo(Status status, std::ostream* out) { *out << to_string(status); }

}  // namespace crucible

namespace crucible::testing {

using namespace std::chrono_literals;

/// The suite of the ordinary clauses, which several files share.
class Pipe : public MechanismTest {
 protected:
  static ConnectionPair simplex() { return pipe({.duplex = false}); }
};

/// `size` bytes that no other seed gives, and in which no stretch equals another.
inline Bytes pattern(std::size_t size, std::uint64_t seed) {
  Bytes bytes(size);
  std::uint64_t state = seed * 0x9e3779b97f4a7c15U + 1;
  for (std::size_t at = 0; at < size; at += sizeof state) {
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    std::memcpy(bytes.data() + at, &state, std::min(sizeof state, size - at));
  }
  return bytes;
}

inline Bytes text(std::string_view characters) {
  const ByteView view = as_bytes(characters);
  return {view.begin(), view.end()};
}

inline void give(Connection& end, ByteView message) { EXPECT_EQ(end.send_bytes(message), Status::kOk); }

inline Bytes take(Connection& end) {
  Bytes message;
  EXPECT_EQ(end.recv_bytes(message), Status::kOk);
  return message;
}

inline Status next_status(Connection& end) {
  Bytes message;
  return end.recv_bytes(message);
}

/// Large messages are not printed byte by byte when they differ.
inline ::testing::AssertionResult same(ByteView got, ByteView expected) {
  if (got.size() != expected.size()) {
    return ::testing::AssertionFailure() << got.size() << " bytes instead of " << expected.size();
  }
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] != expected[i]) return ::testing::AssertionFailure() << "differs at byte " << i << " of " << got.size();
  }
  return ::testing::AssertionSuccess();
}

/// Sends pattern(size, 0), pattern(size, 1), ... until the transport is full; how many.
inline std::size_t fill(Connection& end, std::size_t size) {
  constexpr std::size_t kFarMoreThanAnyStorage = std::size_t{1} << 30U;
  for (std::size_t count = 0; (count + 1) * (size + 1) < kFarMoreThanAnyStorage; ++count) {
    // A transport may go on making room for a moment after it first says that it is full.
    const Bytes message = pattern(size, count);
    Status status = end.try_send_bytes(message);
    if (status == Status::kTimeout) status = end.send_bytes_for(message, 50ms);
    if (status == Status::kTimeout) return count;
    EXPECT_EQ(status, Status::kOk);
  }
  ADD_FAILURE() << "never full, and `unbounded` is not declared";
  return 0;
}

inline void expect_filled(Connection& end, std::size_t size, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) ASSERT_TRUE(same(take(end), pattern(size, i))) << "message " << i;
}

/// Returns what it receives until the other end is gone.
inline void echo(Connection& end) {
  Bytes message;
  while (end.recv_bytes(message) == Status::kOk) give(end, message);
}

class Stopwatch {
 public:
  std::chrono::nanoseconds elapsed() const { return std::chrono::steady_clock::now() - start_; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// A timer of the kernel's that sends `signal` to the creating thread after `first` and then every `interval`. A
/// SIGKILL from it strikes whatever instruction the process has come to.
class SignalTimer {
 public:
  explicit SignalTimer(int signal, std::chrono::nanoseconds first, std::chrono::nanoseconds interval = {}) {
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = signal;
    event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
    EXPECT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer_), 0);
    const auto spec = [](std::chrono::nanoseconds time) {
      return timespec{.tv_sec = time.count() / 1'000'000'000, .tv_nsec = time.count() % 1'000'000'000};
    };
    const itimerspec when = {.it_interval = spec(interval), .it_value = spec(first)};
    EXPECT_EQ(timer_settime(timer_, 0, &when, nullptr), 0);
  }
  SignalTimer(const SignalTimer&) = delete;
  SignalTimer& operator=(const SignalTimer&) = delete;
  ~SignalTimer() { timer_delete(timer_); }

 private:
  timer_t timer_ = nullptr;
};

/// A handler without SA_RESTART, so that every system call that can be interrupted is. Counts what it saw.
class CountingHandler {
 public:
  explicit CountingHandler(int signal) : signal_(signal) {
    hits_ = 0;
    struct sigaction action = {};
    action.sa_handler = [](int) { hits_ = hits_ + 1; };
    sigaction(signal_, &action, &before_);
  }
  CountingHandler(const CountingHandler&) = delete;
  CountingHandler& operator=(const CountingHandler&) = delete;
  ~CountingHandler() { sigaction(signal_, &before_, nullptr); }
  static int hits() { return hits_; }

 private:
  inline static volatile std::sig_atomic_t hits_ = 0;
  int signal_;
  struct sigaction before_ = {};
};

/// A thousand handled signals a second to this thread.
class SignalStorm {
 public:
  SignalStorm() : handler_(SIGUSR2), timer_(SIGUSR2, 1ms, 1ms) {}
  static int hits() { return CountingHandler::hits(); }

 private:
  CountingHandler handler_;
  SignalTimer timer_;
};

}  // namespace crucible::testing

// First statement of a test that needs a transport which is full some time.
#define CRUCIBLE_REQUIRE_BOUND                       \
  if (!capabilities().unbounded) {                   \
  } else /* NOLINT(readability-else-after-return) */ \
    GTEST_SKIP() << mechanism().name << " declares `unbounded`: it is never full"
