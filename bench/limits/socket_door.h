// The speed of light of a named door: a listening socket, bare. Services of a crowd (support/crowd.h).
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/fd.h"
#include "support/payload.h"

namespace crucible::bench {

/// TCP by loopback with TCP_NODELAY, or AF_UNIX SOCK_SEQPACKET at a name that the kernel chooses.
class SocketDoor {
 public:
  SocketDoor(bool tcp, std::size_t bytes) : tcp_(tcp), message_(bytes) {}

  std::string open();
  void enter(const std::string& address) { address_ = address; }
  nlohmann::json fairness() const;

 protected:
  Fd accept() const;
  Fd connect() const;
  /// Returns one message as it came.
  void answer(int socket) { message_.answer(socket); }
  /// Sends one message and waits for it to come back.
  void ask(int socket) { message_.ask(socket); }

 private:
  /// Buffers are made in the process that uses them: a service is copied.
  class Message {
   public:
    explicit Message(std::size_t bytes) : payload_(bytes), bytes_(bytes) { payload_.fill(bytes_); }
    void answer(int socket);
    void ask(int socket);

   private:
    void send(int socket);
    void receive(int socket);

    Payload payload_;
    std::vector<std::byte> bytes_;
    std::uint64_t sequence_ = 0;
  };

  bool tcp_;
  Message message_;
  std::string address_;
  std::shared_ptr<Fd> door_;
};

/// Each operation is a connection, a message there and back, and the end.
class SocketVisits : public SocketDoor {
 public:
  using SocketDoor::SocketDoor;
  void admit(std::size_t /*clients*/) {}
  void serve(std::uint64_t operations);
  std::int64_t act();
};

/// Connected for good; one process answers all that epoll(7) shows it.
class SocketGuests : public SocketDoor {
 public:
  using SocketDoor::SocketDoor;
  void enter(const std::string& address);
  void admit(std::size_t clients);
  void serve(std::uint64_t operations);
  std::int64_t act();

 private:
  std::shared_ptr<Fd> own_, all_;
  std::vector<std::shared_ptr<Fd>> guests_;
};

}  // namespace crucible::bench
