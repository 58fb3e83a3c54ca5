// A connection round a connection, for what is to change one thing about it.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "api/connection.h"

namespace crucible::liars {

/// Passes everything on, as it is. What only some mechanisms can do is left out, and not declared.
class Wrapper : public Connection {
 public:
  explicit Wrapper(std::unique_ptr<Connection> inner) noexcept : inner_(std::move(inner)) {}

  Status send_bytes(ByteView message, Deadline deadline = Deadline::never()) override {
    return inner_->send_bytes(message, deadline);
  }
  Status send_many(std::span<const ByteView> messages, std::size_t& sent,
                   Deadline deadline = Deadline::never()) override {
    for (sent = 0; sent < messages.size(); ++sent) {
      if (const Status status = send_bytes(messages[sent], deadline); status != Status::kOk) return status;
    }
    return Status::kOk;
  }
  Status recv_bytes(Bytes& message, std::size_t max_length = kNoLimit, Deadline deadline = Deadline::never()) override {
    return inner_->recv_bytes(message, max_length, deadline);
  }
  Status recv_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline = Deadline::never(),
                         Bytes* too_long = nullptr) override {
    return inner_->recv_bytes_into(buffer, received, deadline, too_long);
  }
  Status wait_readable(Deadline deadline = Deadline::never()) override { return inner_->wait_readable(deadline); }
  void close() noexcept override { inner_->close(); }
  bool closed() const noexcept override { return inner_->closed(); }
  bool readable() const noexcept override { return inner_->readable(); }
  bool writable() const noexcept override { return inner_->writable(); }
  std::string_view mechanism() const noexcept override { return inner_->mechanism(); }
  bool begin_wait(pollfd& slot) override { return inner_->begin_wait(slot); }
  bool end_wait(short revents) override { return inner_->end_wait(revents); }

 protected:
  Connection& inner() noexcept { return *inner_; }

 private:
  std::unique_ptr<Connection> inner_;
};

}  // namespace crucible::liars
