// What the harness itself takes: a round trip in which nothing is moved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/transfer.h"

namespace crucible::bench {

/// The whole of a round trip of RoundTrip but for sends and receives: a message is stamped, verified for the worker and
/// verified for the parent, the clock is read, and blocks are ordered from a worker and answered by it.
class NullTrip final : public TransferSide<int> {
 public:
  NullTrip(std::size_t bytes, Cpus cpus)
      : TransferSide<int>({.here = 0, .there = 0, .fairness = {{"moves", "nothing"}}}, bytes, cpus,
                          [](int& /*end*/, Post& post) { serve_exchanges(post, [] {}); }),
        buffer_(bytes),
        latencies_(Side::kMostOperations) {
    payload_.fill(buffer_.span());
  }

 private:
  Block run_block(std::uint64_t operations) override {
    return timed_exchanges(operations, latencies_, *worker_, [this] { exchange(); });
  }

  void exchange() {
    ByteSpan message = buffer_.span();
    payload_.stamp(message, ++sequence_);
    for (int half = 0; half < 2; ++half) {
      // As after a send and a receive: the compiler does not know what the bytes are now.
      asm volatile("" : "+m"(*message.data()) : : "memory");
      payload_.verify(message, message.size(), sequence_);
    }
  }

  Buffer buffer_;
  std::vector<std::int64_t> latencies_;
};

}  // namespace crucible::bench
