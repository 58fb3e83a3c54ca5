// Exceptions that come from another process: what travels, and as what they are thrown here.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <utility>

#include "api/codec.h"
#include "api/status.h"

namespace crucible {

/// An exception as it travels.
struct Failure {
  std::int64_t status = 0;   ///< of a StatusError
  std::string type = {};     ///< as the compiler names it: `std::out_of_range`
  std::string message = {};  ///< its what(); empty for what is no std::exception
  std::string where = {};    ///< the process where it was thrown, and what was running there
  std::string kind = {};  ///< the type that it is thrown as again, where `status` does not say it; empty: RemoteError
  std::int64_t code = 0;  ///< of a std::system_error
  MSGPACK_DEFINE(status, type, message, where, kind, code)
};
/// One that came from a third process goes on as what it was there.
Failure describe_failure(const std::exception_ptr& error, const std::string& where);
/// The exception that is being handled, thrown in this process.
Failure failure_now();

/// Every exception that rethrow_failure() throws is one of these besides what it is: for dynamic_cast, or a catch
/// clause.
class RemoteInfo {
 public:
  explicit RemoteInfo(Failure failure) noexcept : failure_(std::move(failure)) {}
  RemoteInfo(const RemoteInfo&) = default;
  RemoteInfo& operator=(const RemoteInfo&) = default;
  virtual ~RemoteInfo() = default;

  const std::string& type() const noexcept { return failure_.type; }
  const std::string& message() const noexcept { return failure_.message; }
  const std::string& where() const noexcept { return failure_.where; }
  const Failure& failure() const noexcept { return failure_; }

 private:
  Failure failure_;
};

/// An exception whose type is none of std's and none of this library's. what() has type, message and where.
class RemoteError final : public Error, public RemoteInfo {
 public:
  explicit RemoteError(const Failure& failure);
};

/// Throws it as the same type as there, where it is one of std's or of this library's, with the same what(); otherwise
/// as RemoteError.
[[noreturn]] void rethrow_failure(const Failure& failure);

}  // namespace crucible
