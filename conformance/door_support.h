// What the tests of named doors share, among it a peer that speaks the handshake of impl/core/README.md byte by byte
// and is made from that page, not from the library.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/listener.h"
#include "conformance/pipe_support.h"
#include "core/fd.h"

namespace crucible::testing {

/// The suite of the named doors' clauses; skips on mechanisms without one.
class DoorTest : public MechanismTest {
 protected:
  void SetUp() override;
  void warm_up() override;

  /// An address at which the system chooses.
  static std::string anywhere() { return std::string(mechanism().scheme) + ":"; }
  static std::string at(const std::string& where) { return anywhere() + where; }
  static std::unique_ptr<Listener> listen(const DoorOptions& options = {}) {
    return mechanism().listen(anywhere(), options);
  }
  static std::unique_ptr<Connection> connect(const Listener& listener, const DoorOptions& options = {},
                                             Deadline deadline = Deadline::never()) {
    return mechanism().connect(listener.address(), options, deadline);
  }
};

inline DoorOptions keyed(std::string_view key) {
  DoorOptions options;
  options.authkey = text(key);
  return options;
}

/// The next connection; a failure unless one comes. Peers that were refused before are passed over.
std::unique_ptr<Connection> next_accepted(Listener& listener);
/// A message there and one back.
void expect_works(Connection& one, Connection& other);
/// A client that keeps to the rules is served.
void expect_serves(Listener& listener, const Mechanism& mechanism, const DoorOptions& options = {});

/// A directory of its own in /tmp, removed with what is left in it.
class Directory {
 public:
  Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory();
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// A socket that leads to the door of `address`, or one that listens where such an address may lead, without anything
/// of the library.
Fd raw_connect(std::string_view address);
struct RawDoor {
  Fd socket;
  std::string address;
};
RawDoor raw_listen(const Mechanism& mechanism);
Fd raw_accept(const RawDoor& door);

/// False when the peer has closed.
bool raw_send(const Fd& socket, ByteView bytes);
/// What comes until `size` bytes are there or the peer closes.
Bytes raw_receive(const Fd& socket, std::size_t size);
/// Waits until the peer has closed, whatever it says before.
void await_hangup(const Fd& socket);

inline constexpr std::size_t kHelloBytes = 64;
inline constexpr std::size_t kProofBytes = 32;
inline constexpr std::size_t kVerdictBytes = 40;

Bytes raw_hello(std::string_view mechanism, bool is_keyed, std::uint8_t version = 1);
/// `role` is 'C' or 'S'.
Bytes raw_proof(std::string_view key, char role, ByteView server_hello, ByteView client_hello);
Bytes raw_verdict(std::string_view word, ByteView proof);

}  // namespace crucible::testing
