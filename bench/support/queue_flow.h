// A Queue as the workloads see it.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "api/bytes.h"
#include "api/queue.h"
#include "api/status.h"

namespace crucible::bench {

/// Q is a form's final class, whose calls are direct, or Queue. Every process uses its own copy of the handle.
template <class Q>
struct QueueFlow {
  static constexpr bool kBatches = true;

  void put(ByteView message) { check(queue->put_bytes(message), "put_bytes"); }
  void put_many(std::span<const ByteView> batch) {
    std::size_t put = 0;
    check(queue->put_many(batch, put), "put_many");
  }
  std::size_t get(ByteSpan buffer) {
    std::size_t received = 0;
    const Status status = queue->get_bytes_into(buffer, received);
    // Too long a message is wrong bytes: the length tells.
    if (status != Status::kTooShort) check(status, "get_bytes_into");
    return received;
  }
  template <class Use>
  void get_many(std::size_t most, Use use) {
    check(queue->get_many(messages, most), "get_many");
    for (const Bytes& message : messages) use(ByteView(message));
  }

  std::shared_ptr<Q> queue;
  std::vector<Bytes> messages = {};

 private:
  static void check(Status status, const char* operation) {
    if (status != Status::kOk) [[unlikely]]
      throw_status(status, operation);
  }
};

}  // namespace crucible::bench
