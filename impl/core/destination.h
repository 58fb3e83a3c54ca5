// Where the message of one receiving call goes.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include "api/bytes.h"
#include "api/connection.h"
#include "api/status.h"
#include "core/opaque.h"

namespace crucible {

/// Either a byte string that takes any length up to a limit, or a buffer with a spill for what is longer than it.
class Destination {
 public:
  Destination(Bytes& message, std::size_t max_length) noexcept : message_(&message), max_length_(max_length) {}
  Destination(ByteSpan buffer, std::size_t& received, Bytes* too_long) noexcept
      : buffer_(buffer), received_(&received), too_long_(too_long) {}

  bool accepts(std::size_t length) const noexcept { return length <= max_length_; }

  /// The caller's buffer, where a message may be received straight into, if it is longer than `least`; else empty.
  ByteSpan buffer(std::size_t least) const noexcept { return buffer_.size() > least ? buffer_ : ByteSpan(); }

  /// Memory that has just this length of the caller's already, so that nothing shows where nothing comes; else null.
  /// Once filled it is followed by done().
  std::byte* place(std::size_t length) noexcept {
    if (!accepts(length)) return nullptr;
    if (message_ != nullptr) return message_->size() == length ? message_->data() : nullptr;
    return length <= buffer_.size() ? buffer_.data() : nullptr;
  }

  /// Memory for a message of `length` bytes, to be filled and followed by done().
  std::byte* open(std::size_t length) {
    if (message_ == nullptr && length <= buffer_.size()) return buffer_.data();
    Bytes& bytes = message_ != nullptr ? *message_ : spill_;
    bytes.resize(length);
    return bytes.data();
  }
  Status done(std::size_t length) {
    if (message_ != nullptr) return Status::kOk;
    *received_ = length;
    if (length <= buffer_.size()) return Status::kOk;
    if (too_long_ != nullptr) *too_long_ = std::move(spill_);
    return Status::kTooShort;
  }

  /// A whole message that was received elsewhere.
  Status put(ByteView message) {
    const std::size_t length = opaque(message.size());
    std::byte* to = open(length);
    if (length > 0) std::memcpy(to, message.data(), length);
    return done(length);
  }
  Status put(Bytes&& message) {
    if (message_ == nullptr) return put(ByteView(message));
    *message_ = std::move(message);
    return Status::kOk;
  }

 private:
  Bytes* message_ = nullptr;
  std::size_t max_length_ = Connection::kNoLimit;
  ByteSpan buffer_;
  std::size_t* received_ = nullptr;
  Bytes* too_long_ = nullptr;
  Bytes spill_;
};

}  // namespace crucible
