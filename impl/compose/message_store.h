// What lies in a composed queue, and how much more may.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

#include "compose/wire.h"

namespace crucible {

/// A message behind room for a wire::Header, so that it can be sent on from where it was received.
struct StoredMessage {
  std::shared_ptr<std::byte> at;  ///< the room
  std::size_t size = 0;           ///< of the message

  std::byte* payload() const noexcept { return at.get() + wire::kHeader; }
};

/// The bounds of a queue; as QueueOptions.
struct QueueBounds {
  std::uint64_t maxsize = 0;
  std::uint64_t storage_bytes = 0;
  bool joinable = false;
};

class MessageStore {
 public:
  /// What a message takes of the storage at least, so that no number of empty ones exhausts the memory.
  static constexpr std::uint64_t kLeastCost = 64;

  explicit MessageStore(const QueueBounds& bounds) noexcept : bounds_(bounds) {}

  /// A message longer than the whole storage is taken when nothing else is there.
  bool has_room_for(std::size_t size) const noexcept {
    const std::uint64_t taken = messages_.size() + reserved_;
    if (bounds_.maxsize != 0 && taken >= bounds_.maxsize) return false;
    return taken == 0 || (bytes_ <= bounds_.storage_bytes && cost(size) <= bounds_.storage_bytes - bytes_);
  }
  void push(StoredMessage message) {
    bytes_ += cost(message.size);
    messages_.push_back(std::move(message));
  }
  /// One that was taken and could not be handed over is the next again; the bounds were kept when it was put.
  void push_front(StoredMessage message) {
    bytes_ += cost(message.size);
    messages_.push_front(std::move(message));
  }
  StoredMessage pop() {
    StoredMessage message = std::move(messages_.front());
    messages_.pop_front();
    bytes_ -= cost(message.size);
    return message;
  }
  /// Keeps room for a message that is still to come.
  void reserve(std::size_t size) noexcept {
    ++reserved_;
    bytes_ += cost(size);
  }
  void release(std::size_t size) noexcept {
    --reserved_;
    bytes_ -= cost(size);
  }

  bool empty() const noexcept { return messages_.empty(); }
  std::size_t count() const noexcept { return messages_.size(); }
  const StoredMessage& front() const noexcept { return messages_.front(); }

 private:
  static std::uint64_t cost(std::size_t size) noexcept { return std::max<std::uint64_t>(size, kLeastCost); }

  const QueueBounds bounds_;
  std::deque<StoredMessage> messages_;
  std::uint64_t bytes_ = 0;
  std::uint64_t reserved_ = 0;
};

}  // namespace crucible
