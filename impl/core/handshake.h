// The handshake of a named door. README.md in this folder documents its packets byte by byte.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "api/bytes.h"
#include "api/deadline.h"
#include "api/status.h"
#include "core/fd.h"

namespace crucible {

/// What both sides must agree on.
struct Terms {
  std::string_view mechanism;
  const std::optional<Bytes>& authkey;
};

/// What each side sends at once.
struct Hello {
  std::array<char, 8> magic;
  std::uint8_t version;
  std::uint8_t keyed;
  std::array<char, 22> mechanism;  ///< filled up with NUL
  std::array<std::uint8_t, 32> challenge;
};
static_assert(sizeof(Hello) == 64);

/// That a side knows the key: HMAC-SHA-256 over its role and both hellos.
using Proof = std::array<std::uint8_t, 32>;

/// The listener's last word.
struct Verdict {
  std::array<char, 8> word;
  Proof proof;  ///< zeros without a key
};
static_assert(sizeof(Verdict) == 40);

/// The listener's side, over a socket in non-blocking mode: all that is kept for a peer before it has proved itself.
class Handshake {
 public:
  enum class Outcome { kUnderWay, kAgreed, kRefused };

  Handshake(Fd socket, const Terms& terms);

  int socket() const noexcept { return socket_.get(); }
  /// Says hello.
  Outcome begin() noexcept;
  /// Takes what has come; never waits. On kAgreed the peer has its welcome.
  Outcome advance() noexcept;
  /// Tells the peer that it is not wanted.
  void refuse() noexcept;
  Fd release() noexcept { return std::move(socket_); }

 private:
  Outcome judge() noexcept;

  Fd socket_;
  const Terms& terms_;
  Hello own_;
  Hello peers_ = {};
  Proof proof_ = {};
  std::size_t had_ = 0;  // bytes of hello and proof
};

/// The connecting side, over a socket in either mode. kOk; kTimeout; kAuth: it refuses or is refused; kEof.
Status shake_hands(const Fd& socket, const Terms& terms, Deadline deadline);

}  // namespace crucible
