// What the broker's clients ask for.
#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

#include "compose/queue_broker_client.h"

namespace crucible {
namespace {

using wire::Answer;
using wire::Header;
using wire::Outcome;
using wire::Request;

constexpr int kPiecesPerRound = 8;
constexpr std::uint64_t kMostBytes = 1ULL << 40;  // of a long message; what there is no memory for fails later

// Whether `size` bytes are `count` messages, each behind a header.
bool is_batch(const std::byte* at, std::size_t size, std::uint64_t count) noexcept {
  for (; count > 0; --count) {
    if (size < wire::kHeader) return false;
    const std::uint64_t length = wire::read_header(at).number;
    if (length > size - wire::kHeader) return false;
    at += wire::kHeader + length;
    size -= wire::kHeader + static_cast<std::size_t>(length);
  }
  return size == 0;
}

std::shared_ptr<std::byte> allocate(std::size_t size) {
  const auto bytes = std::make_shared_for_overwrite<std::byte[]>(size);
  return {bytes, bytes.get()};
}

}  // namespace

// False: the client is gone, or breaks the rules.
bool QueueBroker::receive(Client& client) {
  if (client.doing == Client::Doing::kSendingPieces) return receive_pieces(client);
  const auto bytes = std::make_shared<Bytes>();
  const Status status = client.connection->recv_bytes(*bytes, wire::kLongestMessage, Deadline::immediate());
  if (status == Status::kTimeout) return true;
  if (status != Status::kOk || bytes->size() < wire::kHeader) return false;
  const Header header = wire::read_header(bytes->data());
  if (!client.is_greeted) return greet(client, header, ByteView(*bytes).subspan(wire::kHeader));
  return handle(client, header, {.at = {bytes, bytes->data()}, .size = bytes->size() - wire::kHeader});
}

bool QueueBroker::receive_pieces(Client& client) {
  for (int i = 0; i < kPiecesPerRound && client.doing == Client::Doing::kSendingPieces; ++i) {
    std::size_t size = 0;
    const std::size_t expected = std::min(wire::kMostInline, client.message.size - client.moved);
    const Status status = client.connection->recv_bytes_into({client.message.payload() + client.moved, expected}, size,
                                                             Deadline::immediate());
    if (status == Status::kTimeout) return true;
    if (status != Status::kOk) return false;
    // Withdrawn before kGo came; the first piece is longer than that.
    if (client.moved == 0 && size == wire::kHeader) size = 0;
    if (size != 0 && size != expected) return false;
    client.moved += size;
    if (size == 0 || client.moved == client.message.size) end_long_put(client, size != 0);
  }
  return true;
}

void QueueBroker::end_long_put(Client& client, bool complete) {
  client.doing = Client::Doing::kNothing;
  store_.release(client.message.size);
  StoredMessage message = std::exchange(client.message, {});
  if (!complete) return answer(client, Answer::kDone, 0, Outcome::kNotDone);
  store_.push(std::move(message));
  ++unfinished_;
  answer(client, Answer::kDone, 1);
}

bool QueueBroker::greet(Client& client, const Header& header, ByteView body) {
  constexpr wire::QueueId kAny = {};
  if (header.kind != static_cast<std::uint8_t>(Request::kHello) || header.number != wire::kVersion) return false;
  if (body.size() != id_.size()) return false;
  const bool is_meant = std::equal(body.begin(), body.end(), id_.begin());
  if (!is_meant && !std::equal(body.begin(), body.end(), kAny.begin())) return false;
  client.is_greeted = true;
  client.id = header.id;
  client.is_stranger = (header.flags & wire::kOfTheFamily) == 0;
  if (client.is_stranger) ++strangers_;
  const wire::Welcome welcome = {.version = wire::kVersion,
                                 .id = id_,
                                 .maxsize = bounds_.maxsize,
                                 .storage_bytes = bounds_.storage_bytes,
                                 .joinable = bounds_.joinable ? 1U : 0U};
  StoredMessage message = {.at = allocate(wire::kHeader + sizeof welcome), .size = sizeof welcome};
  wire::write_header(message.at.get(), static_cast<std::uint8_t>(Answer::kWelcome), header.id);
  std::memcpy(message.payload(), &welcome, sizeof welcome);
  send(client, {.message = std::move(message), .size = wire::kHeader + sizeof welcome, .is_stored = false});
  return true;
}

bool QueueBroker::handle(Client& client, const Header& header, StoredMessage message) {
  const bool is_idle = client.doing == Client::Doing::kNothing;
  const bool is_this = header.id == client.id;
  switch (static_cast<Request>(header.kind)) {
    case Request::kWithdraw:
      if (is_this) withdraw(client);
      return true;
    case Request::kMore:
      if (is_this) {
        ++client.window;
        send_pieces(client);
      }
      return client.window <= wire::kWindow;
    default: break;
  }
  if (!is_idle) return false;
  client.unconfirmed.clear();  // or it would not ask for more
  client.id = header.id;
  return begin(client, header, std::move(message));
}

bool QueueBroker::begin(Client& client, const Header& header, StoredMessage message) {
  switch (static_cast<Request>(header.kind)) {
    case Request::kPut:
    case Request::kPutMany: return begin_put(client, header, std::move(message));
    case Request::kPutLong: return begin_long_put(client, header);
    case Request::kGet: begin_get(client, header); return true;
    case Request::kJoin: begin_join(client, header); return true;
    case Request::kTaskDone: task_done(client); return true;
    case Request::kCount: answer(client, Answer::kDone, store_.count()); return true;
    case Request::kFull: answer(client, Answer::kDone, putters_.empty() && store_.has_room_for(1) ? 0 : 1); return true;
    case Request::kTaken:
      if ((header.flags & wire::kConfirm) != 0) answer(client, Answer::kDone);
      return true;
    default: return false;
  }
}

bool QueueBroker::begin_put(Client& client, const Header& header, StoredMessage message) {
  MessageBatch batch = {.at = message.at, .count = 1};
  if (static_cast<Request>(header.kind) == Request::kPutMany) {
    if (!is_batch(message.payload(), message.size, header.number)) return false;
    batch = {.at = {message.at, message.payload()}, .count = header.number};
  } else {
    wire::write_header(message.at.get(), 0, 0, message.size);
  }
  client.batch = std::move(batch);
  client.admitted = 0;
  const bool is_first = putters_.empty();
  client.stand_in(putters_, Client::Doing::kPutting);
  if (is_first) (void)admit(client);
  if (client.line != nullptr && (header.flags & wire::kAtOnce) != 0) withdraw(client);
  return true;
}

bool QueueBroker::begin_long_put(Client& client, const Header& header) {
  if (header.number == 0 || header.number > kMostBytes) return false;
  client.message = {.at = nullptr, .size = static_cast<std::size_t>(header.number)};
  client.admitted = 0;
  const bool is_first = putters_.empty();
  client.stand_in(putters_, Client::Doing::kAnnouncing);
  if (is_first) (void)admit(client);
  if (client.line != nullptr && (header.flags & wire::kAtOnce) != 0) withdraw(client);
  return true;
}

void QueueBroker::begin_get(Client& client, const Header& header) {
  client.most = header.number;
  client.admitted = 0;
  const bool is_first = getters_.empty();
  client.stand_in(getters_, Client::Doing::kGetting);
  if (is_first && !store_.empty()) give(client);
  if (client.line != nullptr && (header.flags & wire::kAtOnce) != 0) withdraw(client);
}

void QueueBroker::begin_join(Client& client, const Header& header) {
  if (unfinished_ == 0) return answer(client, Answer::kDone);
  client.admitted = 0;
  if ((header.flags & wire::kAtOnce) != 0) return answer(client, Answer::kDone, 0, Outcome::kNotDone);
  client.stand_in(joiners_, Client::Doing::kJoining);
}

void QueueBroker::task_done(Client& client) {
  if (unfinished_ == 0) return answer(client, Answer::kDone, 0, Outcome::kTooMany);
  --unfinished_;
  answer(client, Answer::kDone);
  while (unfinished_ == 0 && !joiners_.empty()) {
    Client& joiner = *joiners_.front();
    leave(joiner);
    answer(joiner, Answer::kDone);
  }
}

// Of a request that was answered meanwhile nothing is left to withdraw.
void QueueBroker::withdraw(Client& client) {
  if (client.doing == Client::Doing::kTakingPieces) {
    client.doing = Client::Doing::kNothing;
    put_back({std::exchange(client.message, {})});
    send(client, {.message = {.at = allocate(1), .size = 0}, .size = 0, .is_stored = false});
  } else if (client.line != nullptr) {
    leave(client);
    answer(client, Answer::kDone, client.admitted, Outcome::kNotDone);
  }
}

// --- Putters and getters meet --------------------------------------------------------------------------------

void QueueBroker::match() {
  for (bool moved = true; moved;) {
    moved = false;
    for (; !getters_.empty() && !store_.empty(); moved = true) give(*getters_.front());
    while (!putters_.empty() && admit(*putters_.front())) moved = true;
  }
}

void QueueBroker::leave(Client& client) {
  if (client.line == nullptr) return;
  client.line->erase(client.place);
  client.line = nullptr;
  client.doing = Client::Doing::kNothing;
}

// Whether anything of what the client wants to put found room.
bool QueueBroker::admit(Client& client) {
  if (client.doing == Client::Doing::kAnnouncing) {
    if (!store_.has_room_for(client.message.size)) return false;
    admit_long(client);
    return true;
  }
  bool moved = false;
  for (; client.batch.count > 0 && store_.has_room_for(client.batch.front_size()); moved = true) {
    store_.push(client.batch.pop());
    ++client.admitted;
    ++unfinished_;
  }
  if (client.batch.count > 0) return moved;
  client.batch = {};
  leave(client);
  answer(client, Answer::kDone, client.admitted);
  return true;
}

void QueueBroker::admit_long(Client& client) {
  try {
    client.message.at = allocate(wire::kHeader + client.message.size);
  } catch (const std::bad_alloc&) {
    return drop(client);
  }
  leave(client);
  store_.reserve(client.message.size);
  client.moved = 0;
  client.doing = Client::Doing::kSendingPieces;
  answer(client, Answer::kGo);
}

void QueueBroker::give(Client& client) {
  leave(client);
  StoredMessage message = store_.pop();
  if (message.size > wire::kMostInline) {
    client.message = std::move(message);
    client.moved = 0;
    client.window = wire::kWindow;
    answer(client, Answer::kItemLong, client.message.size);
    if (client.is_dropped) return put_back({client.message});
    client.doing = Client::Doing::kTakingPieces;
    return send_pieces(client);
  }
  if (client.most > 1 && fits_behind(2 * wire::kHeader + message.size)) return give_many(client, std::move(message));
  wire::write_header(message.at.get(), static_cast<std::uint8_t>(Answer::kItem), client.id);
  const std::size_t size = wire::kHeader + message.size;
  send(client, {.message = std::move(message), .size = size, .is_stored = true});
}

// Whether the next message fits an answer that has `size` bytes already.
bool QueueBroker::fits_behind(std::size_t size) const noexcept {
  return !store_.empty() && size + wire::kHeader + store_.front().size <= wire::kLongestMessage;
}

void QueueBroker::give_many(Client& client, StoredMessage first) {
  std::size_t size = wire::kHeader + wire::kHeader + first.size;
  std::vector<StoredMessage> messages;
  messages.push_back(std::move(first));
  while (messages.size() < client.most && fits_behind(size)) {
    messages.push_back(store_.pop());
    size += wire::kHeader + messages.back().size;
  }
  StoredMessage together = {.at = allocate(size), .size = 0};
  wire::write_header(together.at.get(), static_cast<std::uint8_t>(Answer::kItems), client.id, messages.size());
  std::byte* to = together.payload();
  for (const StoredMessage& message : messages) {
    wire::write_header(to, 0, 0, message.size);
    if (message.size > 0) std::memcpy(to + wire::kHeader, message.payload(), message.size);
    to += wire::kHeader + message.size;
  }
  client.unconfirmed = std::move(messages);
  send(client, {.message = std::move(together), .size = size, .is_stored = false});
}

}  // namespace crucible
