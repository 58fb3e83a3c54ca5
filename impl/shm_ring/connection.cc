#include "shm_ring/connection.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "core/door.h"

namespace crucible {

using shm_ring::Call;
using shm_ring::Control;
using shm_ring::Memory;

namespace {

// What the receiver copies out while it is still in a cache that both have.
constexpr std::size_t kLongestPart = std::size_t{32} * 1024;

std::size_t capacity(const PipeOptions& options) {
  const std::size_t asked = options.capacity_bytes == 0 ? ShmRingConnection::kDefaultCapacity : options.capacity_bytes;
  if (asked > Memory::kMostCapacity) throw BadArgument("pipe: no memory holds such a capacity");
  return std::bit_ceil(std::max(asked, Memory::kLeastCapacity));
}

}  // namespace

ShmRingConnection::Mapped::Mapped(std::shared_ptr<Memory> mapped, int socket, std::size_t side) noexcept
    : memory(std::move(mapped)),
      own(memory->header().sides[side]),
      watch(socket, memory->header().sides[1 - side]),
      out(memory->header().controls[1 - side], memory->data(1 - side), memory->capacity()),
      in(memory->header().controls[side], memory->data(side), memory->capacity()) {}

ShmRingConnection::ShmRingConnection(Fd memory, Fd socket, std::shared_ptr<Memory> mapped, std::size_t side,
                                     WaitStrategy strategy)
    : memory_(std::move(memory)), socket_(std::move(socket)), side_(side), strategy_(strategy) {
  shm_ring::enroll();
  if (mapped == nullptr) return;
  const bool duplex = mapped->directions() == 2;
  readable_ = duplex || side == 0;
  writable_ = duplex || side == 1;
  mapped_.emplace(std::move(mapped), socket_.get(), side);
}

std::pair<std::unique_ptr<ShmRingConnection>, std::unique_ptr<ShmRingConnection>> ShmRingConnection::pair(
    const PipeOptions& options) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("socketpair");
  Fd sockets[] = {Fd(ends[0]), Fd(ends[1])};
  Fd files[2];
  files[0] = Memory::create(capacity(options), options.duplex ? 2 : 1);
  files[1] = Fd(fcntl(files[0].get(), F_DUPFD_CLOEXEC, 0));
  if (!files[1]) throw_errno("fcntl(F_DUPFD_CLOEXEC)");
  const std::shared_ptr<Memory> memory = Memory::map(files[0].get());
  const auto end = [&](std::size_t side) {
    return std::unique_ptr<ShmRingConnection>(new ShmRingConnection(std::move(files[side]), std::move(sockets[side]),
                                                                    memory, side,
                                                                    options.wait.value_or(WaitStrategy::kAdaptive)));
  };
  auto first = end(0);
  return {std::move(first), end(1)};
}

std::unique_ptr<Connection> ShmRingConnection::admit(Fd socket, const PipeOptions& options) {
  Fd file = Memory::create(capacity(options), 2);
  pass(socket, {.descriptors = {file.get()}, .state = {}});
  std::shared_ptr<Memory> memory = Memory::map(file.get());
  return std::unique_ptr<Connection>(new ShmRingConnection(std::move(file), std::move(socket), std::move(memory), 0,
                                                           options.wait.value_or(WaitStrategy::kAdaptive)));
}

std::unique_ptr<Connection> ShmRingConnection::enter(Fd socket, const PipeOptions& options, Deadline deadline) {
  (void)capacity(options);  // the listener's counts, but what is impossible is so on both sides
  Handle handle;
  const Status status = take(socket, 1, handle, deadline);
  if (status == Status::kTimeout) return nullptr;
  if (status != Status::kOk) throw_status(status, "connect");
  Fd file(handle.descriptors[0]);
  std::shared_ptr<Memory> memory = Memory::map(file.get());
  return std::unique_ptr<Connection>(new ShmRingConnection(std::move(file), std::move(socket), std::move(memory), 1,
                                                           options.wait.value_or(WaitStrategy::kAdaptive)));
}

Handle ShmRingConnection::handle() const {
  if (closed()) throw Closed("handle");
  if (begun_ || reserved_ || peeked_) throw StateError("handle: in the middle of a message");
  return {.descriptors = {memory_.get(), socket_.get()},
          .state = {static_cast<std::byte>(side_), static_cast<std::byte>(strategy_)}};
}

std::unique_ptr<ShmRingConnection> ShmRingConnection::adopt(const Handle& handle) {
  const std::vector<int>& descriptors = handle.descriptors;
  if (descriptors.size() != 2) throw BadArgument("adopt: an end of a ring has two descriptors");
  if (descriptors[0] < 0 || descriptors[1] < 0) throw BadArgument("adopt: a negative descriptor");
  std::size_t side = 0;
  auto strategy = WaitStrategy::kAdaptive;
  if (!handle.state.empty()) {
    if (handle.state.size() != 2) throw BadArgument("adopt: not the state of an end of a ring");
    side = static_cast<std::size_t>(handle.state[0]);
    strategy = static_cast<WaitStrategy>(handle.state[1]);
    if (side > 1 || strategy > WaitStrategy::kBlock) throw BadArgument("adopt: not the state of an end of a ring");
  }
  std::shared_ptr<Memory> memory;
  try {
    memory = Memory::map(descriptors[0]);
  } catch (const std::system_error& error) {
    if (error.code().value() != EBADF) throw;
  }
  return std::unique_ptr<ShmRingConnection>(
      new ShmRingConnection(Fd(descriptors[0]), Fd(descriptors[1]), std::move(memory), side, strategy));
}

void ShmRingConnection::require_mapped() {
  if (mapped_) return;
  errno = EBADF;
  throw_errno("shm_ring");
}

// Whoever is told finds the socket closed.
void ShmRingConnection::close() noexcept {
  if (!gate_.close()) return;
  socket_.reset();
  if (mapped_) {
    mapped_->own.closes.fetch_add(1, std::memory_order_seq_cst);
    for (std::atomic<std::uint32_t>* word : {&mapped_->out.control().receiver, &mapped_->in.control().sender}) {
      if ((word->fetch_and(~Call::kSleeps, std::memory_order_seq_cst) & Call::kSleeps) != 0) shm_ring::wake(*word);
    }
  }
  mapped_.reset();
  memory_.reset();
}

shm_ring::Waiting ShmRingConnection::waiting(std::atomic<std::uint32_t>& word, shm_ring::Patience& patience) {
  return {strategy_, word, mapped_->own, mapped_->watch, gate_, patience};
}

// --- Waiting for many things -----------------------------------------------------------------------------------

bool ShmRingConnection::begin_wait(pollfd& slot) {
  if (!gate_.enter(Gate::kReceive)) throw Closed("wait");
  try {
    require_mapped();
    slot.fd = socket_.get();
    slot.events = readable() ? POLLIN : 0;  // a sender's only news is that its receiver is gone
    Consumer::Record record = {0, Word(0)};
    bool ready = mapped_->watch.gone();
    if (!ready && readable()) {
      mapped_->in.control().receiver.fetch_or(Call::kBell, std::memory_order_seq_cst);
      shm_ring::heavy_fence();
      ready = mapped_->in.front(record);
    }
    if (!ready) return false;
  } catch (...) {
    gate_.leave(Gate::kReceive);
    throw;
  }
  gate_.leave(Gate::kReceive);
  return true;
}

bool ShmRingConnection::end_wait(short revents) {
  bool ready = !readable() && revents != 0;
  if (readable()) {
    mapped_->in.control().receiver.fetch_and(~Call::kBell, std::memory_order_relaxed);
    char bell = 0;
    if ((revents & POLLIN) != 0) {
      while (::recv(socket_.get(), &bell, 1, MSG_DONTWAIT) > 0) {
      }
    }
    Consumer::Record record = {0, Word(0)};
    ready = mapped_->in.front(record) || (revents & ~POLLIN) != 0;
  }
  gate_.leave(Gate::kReceive);
  return ready;
}

// --- Sending ---------------------------------------------------------------------------------------------------

bool ShmRingConnection::is_deaf() const noexcept {
  return (mapped_->out.control().receiver.load(std::memory_order_relaxed) & Call::kDeaf) != 0;
}

// Of a peer that was killed nothing tells but the socket. Asked every 10 ms or 256 messages, whichever comes first,
// judged by the rate at which messages were sent; a receiver that waits, or died waiting, has it asked sooner.
Status ShmRingConnection::question() {
  constexpr std::int64_t kPeriod = 10'000'000;
  constexpr std::uint32_t kMost = 256;
  require_mapped();
  if (!writable_) return Status::kWrongDirection;
  const std::int64_t now = Deadline::now_ns();
  const std::int64_t past = std::max<std::int64_t>(now - std::exchange(questioned_ns_, now), 1);
  const std::int64_t fitting = sends_per_question_ * kPeriod / past;
  sends_per_question_ =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(fitting, 1, std::min(2 * sends_per_question_, kMost)));
  const bool in_vain = mapped_->watch.gone() || is_deaf();
  sends_before_question_ = in_vain ? 1 : sends_per_question_;
  return in_vain ? Status::kBrokenPipe : Status::kOk;
}

Status ShmRingConnection::send_many(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline) {
  sent = 0;
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (const Status status = prepare_to_send(); status != Status::kOk) return status;
  reserved_ = false;
  Status status = Status::kOk;
  for (; sent < messages.size(); ++sent) {
    const ByteView message = messages[sent];
    status = message.size() <= Word::kLongestNear ? put_near(message, deadline) : put_far(message, deadline);
    if (status != Status::kOk) break;
  }
  const Status called = sent > 0 ? call_receiver() : Status::kOk;
  return status == Status::kOk ? called : status;
}

Status ShmRingConnection::put_far(ByteView message, Deadline deadline) {
  if (message.size() > kMaxMessage) return Status::kBadLength;
  // A message in one piece is received in one piece; in parts the receiver copies while the sender does.
  if (message.size() > mapped_->out.capacity() / 4) return put_parts(message, deadline);
  const Word record(Word::kFar, message.size());
  std::uint64_t place = 0;
  if (!mapped_->out.find(record.stride(), place)) {
    if (const Status status = await_room(record.stride(), place, deadline); status != Status::kOk) return status;
  }
  std::memcpy(mapped_->out.at(place) + record.payload(), message.data(), message.size());
  mapped_->out.commit(place, record);
  return Status::kOk;
}

// A message given up half-way needs no clean-up: the next one begins with a record that says so.
Status ShmRingConnection::put_parts(ByteView message, Deadline deadline) {
  shm_ring::Producer& out = mapped_->out;
  const std::size_t longest = std::min(out.capacity() / 8, kLongestPart) - shm_ring::kLine;
  std::atomic<bool>& given_up = out.control().given_up;
  for (std::size_t offset = 0; offset < message.size();) {
    const Word record(Word::kPart, std::min(longest, message.size() - offset));
    std::uint64_t place = 0;
    if (!out.find(record.stride(), place)) {
      if (const Status status = await_room(record.stride(), place, deadline); status != Status::kOk) {
        if (offset > 0) given_up.store(true, std::memory_order_release);
        return status;
      }
    }
    if (offset == 0) given_up.store(false, std::memory_order_relaxed);
    const std::uint64_t where[] = {message.size(), offset};
    std::memcpy(out.at(place) + sizeof(std::uint64_t), where, sizeof where);
    std::memcpy(out.at(place) + record.payload(), message.data() + offset, record.length());
    out.commit(place, record);
    offset += record.length();
    if (offset < message.size()) {
      if (const Status status = call_receiver(); status != Status::kOk) return status;
    }
  }
  return Status::kOk;
}

Status ShmRingConnection::await_room(std::uint64_t stride, std::uint64_t& place, Deadline deadline) {
  shm_ring::Producer& out = mapped_->out;
  if (const Status status = call_receiver(); status != Status::kOk) return status;
  // Asleep, one is woken for more than one message's room.
  const std::uint64_t worth = std::max<std::uint64_t>(stride + 2 * shm_ring::kLine, out.capacity() / 4);
  out.control().wanted.store(out.control().tail.load(std::memory_order_relaxed) + worth - out.capacity(),
                             std::memory_order_relaxed);
  const Status status = waiting(out.control().sender, sender_patience_).until(deadline, [&] {
    return out.find(stride, place) || is_deaf();
  });
  if (status == Status::kEof || (status == Status::kOk && is_deaf())) return Status::kBrokenPipe;
  return status;
}

Status ShmRingConnection::wake_receiver() {
  std::atomic<std::uint32_t>& word = mapped_->out.control().receiver;
  const std::uint32_t calls = word.fetch_and(Call::kDeaf, std::memory_order_seq_cst);
  const bool slept = (calls & Call::kSleeps) != 0;
  const int woken = slept ? shm_ring::wake(word) : 0;
  if ((calls & Call::kBell) != 0) (void)::send(socket_.get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  // Announced and not to be found: it is about to sleep, or dead.
  const bool doubtful = (slept && woken == 0) || (calls & Call::kSpins) != 0;
  const bool in_vain = (calls & Call::kDeaf) != 0 || (doubtful && mapped_->watch.gone());
  return in_vain ? Status::kBrokenPipe : Status::kOk;
}

Status ShmRingConnection::reserve(std::size_t size, ByteSpan& room, Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (const Status status = prepare_to_send(); status != Status::kOk) return status;
  reserved_ = false;
  if (size > mapped_->out.longest_piece()) return Status::kBadLength;
  const Word record(Word::kFar, size);
  if (!mapped_->out.find(record.stride(), reserved_place_)) {
    const Status status = await_room(record.stride(), reserved_place_, deadline);
    if (status != Status::kOk) return status;
  }
  mapped_->out.soil();  // by whoever fills it and commits less
  reserved_ = true;
  reserved_size_ = size;
  room = ByteSpan(mapped_->out.at(reserved_place_) + record.payload(), size);
  return Status::kOk;
}

Status ShmRingConnection::commit(std::size_t size) {
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (const Status status = prepare_to_send(); status != Status::kOk) return status;
  if (!reserved_) return Status::kState;
  if (size > reserved_size_) return Status::kBadArgument;
  reserved_ = false;
  mapped_->out.commit(reserved_place_, Word(Word::kFar, size));
  return call_receiver();
}

// --- Receiving -------------------------------------------------------------------------------------------------

Status ShmRingConnection::wait_readable(Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass) return Status::kClosed;
  if (!readable()) return Status::kWrongDirection;
  require_mapped();
  Consumer::Record record = {0, Word(0)};
  const Status status = await_record(record, deadline);
  return status == Status::kEof ? Status::kOk : status;
}

Status ShmRingConnection::await_record(Consumer::Record& record, Deadline deadline) {
  if (mapped_->in.front(record)) return Status::kOk;
  shm_ring::Waiting wait = waiting(mapped_->in.control().receiver, receiver_patience_);
  const Status status = wait.until(deadline, [&] { return mapped_->in.front(record); });
  glances_ = wait.glances();
  return status;
}

void ShmRingConnection::wake_sender() {
  Control& control = mapped_->in.control();
  const std::uint64_t head = control.head.load(std::memory_order_relaxed);
  if ((control.sender.load(std::memory_order_acquire) & Call::kSleeps) != 0 &&
      static_cast<std::int64_t>(head - control.wanted.load(std::memory_order_relaxed)) < 0) {
    return;
  }
  if ((control.sender.exchange(0, std::memory_order_seq_cst) & Call::kSleeps) != 0) shm_ring::wake(control.sender);
}

void ShmRingConnection::stop_receiving() noexcept {
  readable_ = false;
  mapped_->in.control().receiver.fetch_or(Call::kDeaf, std::memory_order_seq_cst);
  mapped_->own.closes.fetch_add(1, std::memory_order_seq_cst);
  mapped_->in.control().sender.store(0, std::memory_order_seq_cst);
  shm_ring::wake(mapped_->in.control().sender);
}

Status ShmRingConnection::receive_message(Destination& to, Deadline deadline) {
  bool with_caller = !begun_;  // and not in pending_, where an earlier call that its deadline ended left it
  std::byte* payload = pending_.data();
  while (true) {
    Consumer::Record record = {0, Word(0)};
    if (const Status status = await_record(record, deadline); status != Status::kOk) {
      if (begun_ && status != Status::kEof) {
        if (with_caller && !discarding_) {
          pending_.assign(payload, payload + position_);
          pending_.resize(length_);
        }
        return status;
      }
      const bool lost = std::exchange(begun_, false) && !mapped_->in.control().given_up.load(std::memory_order_acquire);
      return lost ? Status::kTruncated : status;
    }
    const ByteView part = mapped_->in.payload(record);
    if (record.word.kind() != Word::kPart) {
      begun_ = false;  // given up by its sender
      if (!to.accepts(part.size())) {
        consume(record);
        return Status::kBadLength;
      }
      const Status status = to.put(part);
      consume(record);
      return status;
    }
    std::uint64_t where[2];  // whole length, offset
    std::memcpy(where, mapped_->in.at(record.place) + sizeof(std::uint64_t), sizeof where);
    const auto [length, offset] = where;
    if (length > kMaxMessage || offset > length || part.size() > length - offset) return Status::kBadLength;
    if (offset == 0) {
      begun_ = true;
      with_caller = true;
      length_ = length;
      position_ = 0;
      discarding_ = !to.accepts(length_);
      if (!discarding_) payload = to.open(length_);
    } else if (!begun_ || offset != position_ || length != length_) {
      // The rest of a message whose beginning another process received is nobody's any more.
      consume(record);
      continue;
    }
    if (!discarding_) std::memcpy(payload + position_, part.data(), part.size());
    position_ += part.size();
    consume(record);
    if (position_ < length_) continue;
    begun_ = false;
    if (discarding_ || !to.accepts(length_)) return Status::kBadLength;
    return with_caller ? to.done(length_) : to.put(std::move(pending_));
  }
}

Status ShmRingConnection::peek(ByteView& message, Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass) return Status::kClosed;
  if (!readable()) return Status::kWrongDirection;
  require_mapped();
  Consumer::Record record = {0, Word(0)};
  if (const Status status = await_record(record, deadline); status != Status::kOk) {
    if (status != Status::kEof || !std::exchange(begun_, false)) return status;
    return mapped_->in.control().given_up.load(std::memory_order_acquire) ? Status::kEof : Status::kTruncated;
  }
  if (record.word.kind() == Word::kPart) return Status::kUnsupported;
  peeked_ = true;
  peeked_record_ = record;
  message = mapped_->in.payload(record);
  return Status::kOk;
}

Status ShmRingConnection::release() {
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass) return Status::kClosed;
  if (!readable()) return Status::kWrongDirection;
  if (!peeked_) return Status::kState;
  begun_ = false;
  consume(peeked_record_);
  return Status::kOk;
}

}  // namespace crucible
