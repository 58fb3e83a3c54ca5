// One client of a QueueBroker, as the broker sees it.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "compose/queue_broker.h"

namespace crucible {

/// The messages of one put, each behind a header, where they were received.
struct MessageBatch {
  std::shared_ptr<std::byte> at;
  std::uint64_t count = 0;

  std::size_t front_size() const noexcept { return wire::read_header(at.get()).number; }
  StoredMessage pop() noexcept {
    const StoredMessage first = {.at = at, .size = front_size()};
    at = std::shared_ptr<std::byte>(at, at.get() + wire::kHeader + first.size);
    --count;
    return first;
  }
};

struct QueueBroker::Client {
  enum class Doing : std::uint8_t {
    kNothing,
    kPutting,        ///< its batch waits for room
    kAnnouncing,     ///< its long message waits for room
    kSendingPieces,  ///< and has it
    kGetting,        ///< waits for a message
    kTakingPieces,   ///< of a long one
    kJoining,
  };

  std::unique_ptr<Connection> connection;
  bool is_greeted = false;
  bool is_stranger = false;
  bool is_dropped = false;

  // Its request.
  Doing doing = Doing::kNothing;
  std::uint32_t id = 0;
  Line* line = nullptr;  // in which it stands
  Line::iterator place = {};
  MessageBatch batch = {};                      // of a put
  std::uint64_t admitted = 0;                   // of that
  std::uint64_t most = 0;                       // of a get
  StoredMessage message = {};                   // a long one, coming or going
  std::size_t moved = 0;                        // of its bytes
  std::size_t window = 0;                       // pieces that may follow
  std::vector<StoredMessage> unconfirmed = {};  // sent together, and not yet said to have arrived

  std::deque<Outgoing> outgoing = {};  // what its transport did not take

  void stand_in(Line& new_line, Doing new_doing) {
    doing = new_doing;
    line = &new_line;
    place = new_line.insert(new_line.end(), this);
  }
};

}  // namespace crucible
