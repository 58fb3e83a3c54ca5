#include "compose/queue_link.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace crucible {
namespace {

using wire::Answer;
using wire::Header;
using wire::Outcome;
using wire::Request;

constexpr std::size_t kPiecesAtOnce = 8;

bool is(const Header& header, Answer kind) noexcept { return header.kind == static_cast<std::uint8_t>(kind); }

std::uint8_t at_once(Deadline deadline) noexcept { return deadline.is_immediate() ? wire::kAtOnce : 0; }

}  // namespace

// What ended the connection, as the queue's users see it.
Status QueueLink::lost(Status status) noexcept {
  return status == Status::kOk || status == Status::kTimeout || status == Status::kClosed ? status : Status::kBroken;
}

// --- One request and its answer --------------------------------------------------------------------------------

void QueueLink::prepare(Request kind, std::uint64_t number, std::uint8_t flags) {
  {
    const std::lock_guard lock(sending_);
    is_waiting_ = false;
    ++id_;
  }
  is_withdrawn_ = false;
  out_.resize(wire::kHeader);
  wire::write_header(out_.data(), static_cast<std::uint8_t>(kind), id_, number, flags);
}

Status QueueLink::request(Request kind, std::uint64_t number, std::uint8_t flags, ByteView body) {
  prepare(kind, number, flags);
  out_.insert(out_.end(), body.begin(), body.end());
  return send_request(out_);
}

// The broker always receives, so no deadline is needed. Whoever closes the queue sees that an answer is waited for, or
// this thread sees here that it is being closed.
Status QueueLink::send_request(ByteView message) {
  {
    const std::lock_guard lock(sending_);
    if (const Status status = connection_->send_bytes(message); status != Status::kOk) return lost(status);
    is_waiting_ = true;
  }
  return closing_.load(std::memory_order_seq_cst) ? withdraw() : Status::kOk;
}

Status QueueLink::withdraw() {
  is_withdrawn_ = true;
  std::array<std::byte, wire::kHeader> bytes;
  wire::write_header(bytes.data(), static_cast<std::uint8_t>(Request::kWithdraw), id_);
  const std::lock_guard lock(sending_);
  return lost(connection_->send_bytes(bytes));
}

bool QueueLink::interrupt() noexcept {
  const std::unique_lock lock(sending_, std::try_to_lock);
  if (!lock) return false;
  if (!is_waiting_) return true;
  is_withdrawn_ = true;
  std::array<std::byte, wire::kHeader> bytes;
  wire::write_header(bytes.data(), static_cast<std::uint8_t>(Request::kWithdraw), id_);
  try {
    (void)connection_->send_bytes(bytes, Deadline::immediate());
  } catch (const std::exception&) {  // whoever waits meets the same
  }
  return true;
}

// Receives something, however long that takes once the request was withdrawn.
template <class Receive>
Status QueueLink::receive(const Receive& receive_once, Deadline deadline) {
  while (true) {
    // What is to be done at once is answered at once.
    const bool waits = is_withdrawn_ || deadline.is_immediate();
    const Status status = receive_once(waits ? Deadline::never() : deadline);
    if (status != Status::kTimeout) return lost(status);
    if (const Status withdrawn = withdraw(); withdrawn != Status::kOk) return withdrawn;
  }
}

Status QueueLink::await(Header& answer, Deadline deadline) {
  const Status status =
      receive([this](Deadline until) { return connection_->recv_bytes(in_, wire::kLongestMessage, until); }, deadline);
  if (status != Status::kOk) return status;
  if (in_.size() < wire::kHeader) return Status::kBroken;
  answer = wire::read_header(in_.data());
  return answer.id == id_ ? Status::kOk : Status::kBroken;
}

Status QueueLink::await_done(std::uint64_t& number, Deadline deadline) {
  Header answer;
  if (const Status status = await(answer, deadline); status != Status::kOk) return status;
  if (!is(answer, Answer::kDone)) return Status::kBroken;
  number = answer.number;
  switch (static_cast<Outcome>(answer.flags)) {
    case Outcome::kDone: return Status::kOk;
    case Outcome::kNotDone: return Status::kTimeout;
    case Outcome::kTooMany: return Status::kBadArgument;
  }
  return Status::kBroken;
}

Status QueueLink::greet(const wire::QueueId& id, bool of_the_family, wire::Welcome& welcome, Deadline deadline) {
  prepare(Request::kHello, wire::kVersion, of_the_family ? wire::kOfTheFamily : 0);
  out_.insert(out_.end(), id.begin(), id.end());
  if (const Status status = lost(connection_->send_bytes(out_)); status != Status::kOk) return status;
  const Status status = connection_->recv_bytes(in_, wire::kLongestMessage, deadline);
  if (status != Status::kOk) return lost(status);
  if (in_.size() != wire::kHeader + sizeof welcome) return Status::kAuth;
  std::memcpy(&welcome, in_.data() + wire::kHeader, sizeof welcome);
  const bool is_welcome = is(wire::read_header(in_.data()), Answer::kWelcome) && welcome.version == wire::kVersion;
  return is_welcome ? Status::kOk : Status::kAuth;
}

Status QueueLink::ask(Request kind, std::uint64_t& number) {
  if (const Status status = request(kind, 0, 0); status != Status::kOk) return status;
  return await_done(number, Deadline::immediate());
}

Status QueueLink::join(Deadline deadline) {
  std::uint64_t number = 0;
  if (const Status status = request(Request::kJoin, 0, at_once(deadline)); status != Status::kOk) return status;
  return await_done(number, deadline);
}

// --- Putting -------------------------------------------------------------------------------------------------

Status QueueLink::put(ByteView message, Deadline deadline) {
  if (message.size() > wire::kMostInline) return put_long(message, deadline);
  std::uint64_t number = 0;
  if (const Status status = request(Request::kPut, 0, at_once(deadline), message); status != Status::kOk) return status;
  return await_done(number, deadline);
}

Status QueueLink::put_some(std::span<const ByteView> messages, std::size_t& put, Deadline deadline) {
  put = 0;
  prepare(Request::kPutMany, 0, at_once(deadline));
  std::uint64_t count = 0;
  for (const ByteView message : messages) {
    if (message.size() > wire::kLongestMessage ||
        out_.size() + wire::kHeader + message.size() > wire::kLongestMessage) {
      break;
    }
    const std::size_t at = out_.size();
    out_.resize(at + wire::kHeader);
    wire::write_header(out_.data() + at, 0, 0, message.size());
    out_.insert(out_.end(), message.begin(), message.end());
    ++count;
  }
  if (count == 0) {
    const Status status = this->put(messages.front(), deadline);
    put = status == Status::kOk ? 1 : 0;
    return status;
  }
  wire::write_header(out_.data(), static_cast<std::uint8_t>(Request::kPutMany), id_, count, at_once(deadline));
  if (const Status status = send_request(out_); status != Status::kOk) return status;
  std::uint64_t number = 0;
  const Status status = await_done(number, deadline);
  if (number > count) return Status::kBroken;
  put = static_cast<std::size_t>(number);
  return status;
}

Status QueueLink::put_long(ByteView message, Deadline deadline) {
  if (const Status status = request(Request::kPutLong, message.size(), at_once(deadline)); status != Status::kOk) {
    return status;
  }
  Header answer;
  if (const Status status = await(answer, deadline); status != Status::kOk) return status;
  if (is(answer, Answer::kDone)) return Status::kTimeout;
  if (!is(answer, Answer::kGo)) return Status::kBroken;
  if (const Status status = send_pieces(message, deadline); status != Status::kOk) return status;
  std::uint64_t number = 0;
  return await_done(number, Deadline::immediate());  // all of it is on its way, or it was given up
}

// Meanwhile nobody else may send.
Status QueueLink::send_pieces(ByteView message, Deadline deadline) {
  const std::lock_guard lock(sending_);
  is_waiting_ = false;
  if (is_withdrawn_) return Status::kOk;  // the broker knows by now, or will before anything else
  while (!message.empty()) {
    std::array<ByteView, kPiecesAtOnce> pieces;
    std::size_t count = 0;
    // Without waiting is: without waiting for room, which there is.
    const bool given_up =
        closing_.load(std::memory_order_relaxed) || (!deadline.is_immediate() && deadline.has_passed());
    if (given_up) message = pieces[count++] = {};
    for (; count < pieces.size() && !message.empty(); ++count) {
      pieces[count] = message.first(std::min(wire::kMostInline, message.size()));
      message = message.subspan(pieces[count].size());
    }
    std::size_t sent = 0;
    const Status status = connection_->send_many({pieces.data(), count}, sent);
    if (status != Status::kOk) return lost(status);
  }
  return Status::kOk;
}

// --- Getting -------------------------------------------------------------------------------------------------

Status QueueLink::get(Destination& to, Deadline deadline) {
  if (const Status status = request(Request::kGet, 1, at_once(deadline)); status != Status::kOk) return status;
  Header answer;
  if (const Status status = await(answer, deadline); status != Status::kOk) return status;
  if (is(answer, Answer::kItem)) return to.put(ByteView(in_).subspan(wire::kHeader));
  if (is(answer, Answer::kItemLong)) return take_long(answer.number, to, deadline);
  return is(answer, Answer::kDone) ? Status::kTimeout : Status::kBroken;
}

Status QueueLink::get_many(std::vector<Bytes>& messages, std::size_t most, Deadline deadline) {
  if (const Status status = request(Request::kGet, most, at_once(deadline)); status != Status::kOk) return status;
  Header answer;
  if (const Status status = await(answer, deadline); status != Status::kOk) return status;
  if (is(answer, Answer::kItems)) return take_many(answer.number, messages);
  if (is(answer, Answer::kDone)) return Status::kTimeout;
  Bytes only;
  Destination to(only, Connection::kNoLimit);
  if (is(answer, Answer::kItem)) {
    (void)to.put(ByteView(in_).subspan(wire::kHeader));
  } else if (is(answer, Answer::kItemLong)) {
    if (const Status status = take_long(answer.number, to, deadline); status != Status::kOk) return status;
  } else {
    return Status::kBroken;
  }
  messages.resize(1);
  messages.front() = std::move(only);
  return Status::kOk;
}

Status QueueLink::take_many(std::uint64_t count, std::vector<Bytes>& messages) {
  ByteView rest = ByteView(in_).subspan(wire::kHeader);
  if (count > rest.size() / wire::kHeader) return Status::kBroken;
  messages.resize(static_cast<std::size_t>(count));
  for (Bytes& message : messages) {
    if (rest.size() < wire::kHeader) return Status::kBroken;
    const std::uint64_t length = wire::read_header(rest.data()).number;
    rest = rest.subspan(wire::kHeader);
    if (length > rest.size()) return Status::kBroken;
    message.assign(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(length));
    rest = rest.subspan(static_cast<std::size_t>(length));
  }
  // Until the broker knows that they have arrived it would put them back when this process is killed.
  prepare(Request::kTaken, 0, confirms_ ? wire::kConfirm : std::uint8_t{0});
  if (const Status status = connection_->send_bytes(out_); status != Status::kOk) return lost(status);
  std::uint64_t number = 0;
  return confirms_ ? await_done(number, Deadline::immediate()) : Status::kOk;
}

Status QueueLink::take_long(std::uint64_t length, Destination& to, Deadline deadline) {
  if (length > longest_) return Status::kBroken;
  std::byte* const memory = to.open(static_cast<std::size_t>(length));
  std::array<std::byte, wire::kHeader> more;
  wire::write_header(more.data(), static_cast<std::uint8_t>(Request::kMore), id_);
  for (std::size_t at = 0; at < length;) {
    std::size_t size = 0;
    const ByteSpan room(memory + at, std::min<std::size_t>(wire::kMostInline, length - at));
    const Status status =
        receive([&](Deadline until) { return connection_->recv_bytes_into(room, size, until); }, deadline);
    if (status != Status::kOk) return status;
    if (size == 0) return Status::kTimeout;  // withdrawn: it is the queue's again
    at += size;
    const std::lock_guard lock(sending_);
    if (at < length && connection_->send_bytes(more) != Status::kOk) return Status::kBroken;
  }
  return to.done(static_cast<std::size_t>(length));
}

}  // namespace crucible
