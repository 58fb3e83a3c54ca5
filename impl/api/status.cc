#include "api/status.h"

#include <cerrno>
#include <system_error>

namespace crucible {

void throw_status(Status status, const char* operation) {
  switch (status) {
    case Status::kClosed: throw Closed(operation);
    case Status::kEof: throw Eof(operation);
    case Status::kBrokenPipe: throw BrokenPipe(operation);
    case Status::kWrongDirection: throw WrongDirection(operation);
    case Status::kBadLength: throw BadLength(operation);
    case Status::kTruncated: throw Truncated(operation);
    case Status::kTooShort: throw TooShort(operation);
    case Status::kBadArgument: throw BadArgument(operation);
    case Status::kUnsupported: throw Unsupported(operation);
    case Status::kState: throw StateError(operation);
    case Status::kAuth: throw Auth(operation);
    case Status::kNotFound: throw NotFound(operation);
    case Status::kRefused: throw Refused(operation);
    case Status::kExists: throw Exists(operation);
    case Status::kBroken: throw Broken(operation);
    case Status::kBrokenBarrier: throw BrokenBarrier(operation);
    case Status::kOwnerDied: throw OwnerDied(operation);
    case Status::kNotOwner: throw NotOwner(operation);
    case Status::kOverRelease: throw OverRelease(operation);
    case Status::kRemote: throw StatusError<Status::kRemote>(operation);
    case Status::kWorkerLost: throw StatusError<Status::kWorkerLost>(operation);
    case Status::kTerminated: throw Terminated(operation);
    case Status::kStale: throw Stale(operation);
    case Status::kOk:
    case Status::kTimeout: break;
  }
  throw std::logic_error(std::string(operation) + ": " + std::string(to_string(status)) + " is no error");
}

void throw_errno(const char* call) { throw std::system_error(errno, std::generic_category(), call); }

}  // namespace crucible
