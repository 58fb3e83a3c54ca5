// Exceptions that come from another process: what travels, and as what they are thrown here.
#pragma once

#include <string>
#include <utility>

#include "api/bytes.h"
#include "api/codec.h"
#include "api/status.h"

namespace crucible {

/// An exception as it travels.
struct Fault {
  std::string type;     ///< as the compiler names it: `std::out_of_range`
  std::string message;  ///< its what(); empty for what is no std::exception
  std::string origin;   ///< the name and pid of the process where it was thrown
  std::string kind;     ///< what it is thrown as again; empty: RemoteError
  int code = 0;         ///< of a std::system_error
  MSGPACK_DEFINE(type, message, origin, kind, code)

  /// The exception that is being handled, of whatever type.
  static Fault current();
};

/// Every exception that rethrow() throws is one of these besides what it is: for dynamic_cast, or a catch clause.
class RemoteOrigin {
 public:
  explicit RemoteOrigin(Fault fault) noexcept : fault_(std::move(fault)) {}
  RemoteOrigin(const RemoteOrigin&) = default;
  RemoteOrigin& operator=(const RemoteOrigin&) = default;
  virtual ~RemoteOrigin() = default;

  const std::string& type() const noexcept { return fault_.type; }
  const std::string& message() const noexcept { return fault_.message; }
  const std::string& origin() const noexcept { return fault_.origin; }
  const Fault& fault() const noexcept { return fault_; }

 private:
  Fault fault_;
};

/// An exception whose type is none of std's and none of this library's. what() has type, message and origin.
class RemoteError final : public Error, public RemoteOrigin {
 public:
  explicit RemoteError(const Fault& fault);
};

/// Throws it as the same type as there, where it is one of std's or of this library's, with the same what(); otherwise
/// as RemoteError.
[[noreturn]] void rethrow(const Fault& fault);

}  // namespace crucible
