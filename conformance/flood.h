// Flood: messages without end that sender and receiver know beforehand.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "api/bytes.h"
#include "conformance/pipe_support.h"

namespace crucible::testing {

/// Of all kinds of lengths, each with its number where there is room for it.
class Flood {
 public:
  Flood() {
    for (const std::size_t size : {8UL, 100UL, 4'000UL, 70'000UL, 1UL, 300'000UL, 0UL, 20UL}) {
      bodies_.push_back(pattern(size, size));
    }
  }
  ByteView message(std::uint64_t number) {
    Bytes& body = bodies_[number % bodies_.size()];
    if (!body.empty()) std::memcpy(body.data(), &number, std::min(body.size(), sizeof number));
    return body;
  }
  // By memcmp, which is quick: a receiver shall be killed inside its calls and not between them.
  bool is(ByteView message, std::uint64_t number) {
    const ByteView expected = this->message(number);
    if (message.size() != expected.size()) return false;
    return message.empty() || std::memcmp(message.data(), expected.data(), message.size()) == 0;
  }

 private:
  std::vector<Bytes> bodies_;
};

}  // namespace crucible::testing
