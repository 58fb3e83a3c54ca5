// What an exception is after it has crossed from one process to another.
#pragma once

#include <cstdint>
#include <exception>
#include <msgpack.hpp>
#include <string>
#include <utility>

#include "api/status.h"

namespace crucible {

/// Where an exception that was caught here comes from.
class RemoteInfo {
 public:
  RemoteInfo(std::string type, std::string message, std::string where)
      : type_(std::move(type)), message_(std::move(message)), where_(std::move(where)) {}
  virtual ~RemoteInfo() = default;
  /// The C++ type that was thrown there; empty for what is no std::exception.
  const std::string& type() const noexcept { return type_; }
  /// Its what().
  const std::string& message() const noexcept { return message_; }
  /// What was running, and in which process: "dict.get in process 1234".
  const std::string& where() const noexcept { return where_; }

 private:
  std::string type_;
  std::string message_;
  std::string where_;
};

/// An exception whose type is none of std's. what() tells type, message and where.
class RemoteError final : public Error, public RemoteInfo {
 public:
  RemoteError(const std::string& type, const std::string& message, const std::string& where)
      : Error((type.empty() ? "an exception" : type) + ": " + message + " (" + where + ")"),
        RemoteInfo(type, message, where) {}
};

/// An exception of std's type E: caught as E, with E's what(), and as RemoteInfo.
template <class E>
class RemoteStd final : public E, public RemoteInfo {
 public:
  RemoteStd(const E& base, std::string type, std::string message, std::string where)
      : E(base), RemoteInfo(std::move(type), std::move(message), std::move(where)), text_(this->message()) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

/// An exception on its way.
struct Failure {
  std::int64_t status = 0;  ///< of a StatusError
  std::string type = {};
  std::string message = {};
  std::string where = {};
  MSGPACK_DEFINE(status, type, message, where)
};
Failure describe_failure(const std::exception_ptr& error, const std::string& where);
/// A StatusError as itself, its message extended by where; one of std's exception types that are made of a text, and
/// std::bad_alloc, as RemoteStd; EncodingError and all others as RemoteError.
[[noreturn]] void rethrow_failure(const Failure& failure);

}  // namespace crucible
