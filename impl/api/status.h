// Outcomes. Byte-level calls return a Status; object-level calls throw the exception of the same name.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace crucible {

using std::literals::operator""sv;

/// What a call came to. Failures of the operating system that are no part of a contract (descriptors
/// exhausted, no memory) are thrown as std::system_error with the failed call's name instead.
enum class [[nodiscard]] Status : std::uint8_t {
  kOk,              ///< done
  kTimeout,         ///< the deadline passed first; nothing was transferred and the object stays usable
  kClosed,          ///< this handle was closed in this process, before or during the call
  kEof,             ///< every copy of the other end is gone and everything it sent was received
  kBrokenPipe,      ///< nobody can ever receive this: every copy of the other end is gone
  kWrongDirection,  ///< a receive on a send-only end or the reverse
  kBadLength,       ///< longer than the limit given, or than the mechanism can ever carry
  kTruncated,       ///< the peer died inside a message; the part that came is discarded
  kTooShort,        ///< the caller's buffer was too small for the message, which is consumed
  kBadArgument,     ///< an argument outside its range; nothing happened
  kUnsupported,     ///< the mechanism does not declare the capability that this operation needs
  kState,           ///< not at this point of the object's life
  kAuth,            ///< one side could not prove that it knows the key, or is somebody else's; or no peer of ours
  kNotFound,        ///< there is nothing of this name
  kRefused,         ///< the name exists, and nobody listens there
  kExists,          ///< the name is taken by somebody who lives
  kBroken,          ///< for good: what carried the object died, or a death left it in no state to go on from
  kBrokenBarrier,   ///< a party gave up, died or reset the barrier; broken until it is reset
  kOwnerDied,       ///< acquired, and its last owner died holding it: what it guards may be half-changed
  kNotOwner,        ///< it is somebody else who holds it, or nobody
  kOverRelease,     ///< released more often than acquired
  kRemote,          ///< what was to be done in another process threw an exception there
  kWorkerLost,      ///< the process that was doing it ended
  kTerminated,      ///< it was not done, or not to its end, because that was called off
  kStale,           ///< of a server that has ended; another one is there now, which does not know it
};

/// The enumerator's name without its k, for messages and logs.
constexpr std::string_view to_string(Status status) noexcept {
  switch (status) {
    case Status::kOk: return "Ok"sv;
    case Status::kTimeout: return "Timeout"sv;
    case Status::kClosed: return "Closed"sv;
    case Status::kEof: return "Eof"sv;
    case Status::kBrokenPipe: return "BrokenPipe"sv;
    case Status::kWrongDirection: return "WrongDirection"sv;
    case Status::kBadLength: return "BadLength"sv;
    case Status::kTruncated: return "Truncated"sv;
    case Status::kTooShort: return "TooShort"sv;
    case Status::kBadArgument: return "BadArgument"sv;
    case Status::kUnsupported: return "Unsupported"sv;
    case Status::kState: return "State"sv;
    case Status::kAuth: return "Auth"sv;
    case Status::kNotFound: return "NotFound"sv;
    case Status::kRefused: return "Refused"sv;
    case Status::kExists: return "Exists"sv;
    case Status::kBroken: return "Broken"sv;
    case Status::kBrokenBarrier: return "BrokenBarrier"sv;
    case Status::kOwnerDied: return "OwnerDied"sv;
    case Status::kNotOwner: return "NotOwner"sv;
    case Status::kOverRelease: return "OverRelease"sv;
    case Status::kRemote: return "Remote"sv;
    case Status::kWorkerLost: return "WorkerLost"sv;
    case Status::kTerminated: return "Terminated"sv;
    case Status::kStale: return "Stale"sv;
  }
  return "invalid status"sv;
}

/// Base of everything that this library throws apart from std::system_error.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The exception that stands for one Status.
template <Status kStatus>
class StatusError : public Error {
 public:
  explicit StatusError(const std::string& what) : Error(std::string(to_string(kStatus)) + ": " + what) {}
};

using Closed = StatusError<Status::kClosed>;
using Eof = StatusError<Status::kEof>;
using BrokenPipe = StatusError<Status::kBrokenPipe>;
using WrongDirection = StatusError<Status::kWrongDirection>;
using BadLength = StatusError<Status::kBadLength>;
using Truncated = StatusError<Status::kTruncated>;
using TooShort = StatusError<Status::kTooShort>;
using BadArgument = StatusError<Status::kBadArgument>;
using Unsupported = StatusError<Status::kUnsupported>;
using StateError = StatusError<Status::kState>;
using Auth = StatusError<Status::kAuth>;
using NotFound = StatusError<Status::kNotFound>;
using Refused = StatusError<Status::kRefused>;
using Exists = StatusError<Status::kExists>;
using Broken = StatusError<Status::kBroken>;
using BrokenBarrier = StatusError<Status::kBrokenBarrier>;
using OwnerDied = StatusError<Status::kOwnerDied>;
using NotOwner = StatusError<Status::kNotOwner>;
using OverRelease = StatusError<Status::kOverRelease>;
using Terminated = StatusError<Status::kTerminated>;

/// The worker process that ran a task ended in the middle of it.
class WorkerLost final : public StatusError<Status::kWorkerLost> {
 public:
  WorkerLost(const std::string& what, int exit_code) : StatusError(what), exit_code_(exit_code) {}
  /// As Process::exit_code() has it: -9 after SIGKILL, 3 after std::exit(3).
  int exit_code() const noexcept { return exit_code_; }

 private:
  int exit_code_;
};
using Stale = StatusError<Status::kStale>;
/// Thrown only where a duration was given and there is no other outcome to say that it passed.
using Timeout = StatusError<Status::kTimeout>;

/// Bytes that are no valid encoding of the type asked for, or an object that cannot be encoded.
class EncodingError : public Error {
 public:
  using Error::Error;
};

/// Throws the exception of `status`. Ok and Timeout are ordinary outcomes and must not be passed.
[[noreturn]] void throw_status(Status status, const char* operation);

/// Throws std::system_error for the current errno, naming the failed system call.
[[noreturn]] void throw_errno(const char* call);

}  // namespace crucible
