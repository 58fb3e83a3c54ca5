// Messages that are built and read in the transport's own memory: how soon their first byte is there, whatever their
// length.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/transfer.h"

namespace crucible::bench {

/// A round trip of loans: room is reserved, its first and last word are written, it is committed; the peer looks at
/// both words where they lie, releases, and replies in the same way. The words between are nobody's business here.
template <class End>
class LoanTrip final : public TransferSide<End> {
 public:
  LoanTrip(Link<End> link, std::size_t bytes, Cpus cpus)
      : TransferSide<End>(noted(std::move(link)), bytes, cpus,
                          [bytes](End& end, Post& post) { serve(end, post, bytes); }),
        bytes_(bytes),
        latencies_(Side::kMostOperations) {}

 private:
  static Link<End> noted(Link<End> link) {
    link.fairness["copies_per_message"] = 0;
    link.fairness["touched"] = "the first and the last 8 bytes";
    return link;
  }

  Block run_block(std::uint64_t operations) override {
    return timed_exchanges(operations, latencies_, *this->worker_, [this] {
      lend(*this->end_, bytes_, ++this->sequence_);
      look(*this->end_, bytes_, this->sequence_);
    });
  }

  static void serve(End& end, Post& post, std::size_t bytes) {
    serve_exchanges(post, [&end, bytes, sequence = std::uint64_t{0}]() mutable {
      look(end, bytes, ++sequence);
      lend(end, bytes, sequence);
    });
  }

  static void lend(End& end, std::size_t bytes, std::uint64_t sequence) {
    const ByteSpan room = end.reserve(bytes);
    std::memcpy(room.data(), &sequence, sizeof sequence);
    std::memcpy(room.data() + bytes - sizeof sequence, &sequence, sizeof sequence);
    end.commit(bytes);
  }
  static void look(End& end, std::size_t bytes, std::uint64_t sequence) {
    const ByteView message = end.peek();
    std::uint64_t first = 0, last = 0;
    if (message.size() == bytes) {
      std::memcpy(&first, message.data(), sizeof first);
      std::memcpy(&last, message.data() + bytes - sizeof last, sizeof last);
    }
    if (first != sequence || last != sequence) [[unlikely]] {
      throw VerificationError("verification failed: loan " + std::to_string(sequence) + " of " + std::to_string(bytes) +
                              " bytes came as " + std::to_string(message.size()) + " bytes from " +
                              std::to_string(first) + " to " + std::to_string(last));
    }
    end.release();
  }

  std::size_t bytes_;
  std::vector<std::int64_t> latencies_;
};

}  // namespace crucible::bench
