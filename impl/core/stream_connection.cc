#include "core/stream_connection.h"

#include <cstring>

#include "core/inherited.h"
#include "core/io.h"

namespace crucible {
namespace {

// The state in a Handle: which directions, and what the next frame that is sent must keep. None: the stream is new.
struct HandleState {
  std::uint32_t promised;
  std::uint8_t readable;
  std::uint8_t writable;
};

}  // namespace

StreamConnection::StreamConnection(Stream stream, std::shared_ptr<FrameState[]> states, bool first, bool read_ahead)
    : kind_(stream.kind),
      writable_(stream.writable),
      readable_(stream.readable),
      reads_ahead_(read_ahead),
      in_(std::move(stream.in)),
      out_(std::move(stream.out)),
      states_(std::move(states)),
      outgoing_(states_[first ? 0 : 1]),
      incoming_(states_[first ? 1 : 0]),
      writer_(out(), kind_, outgoing_, gate_),
      reader_(in_.get(), kind_, incoming_, gate_, read_ahead) {
  ignore_sigpipe();
}

std::shared_ptr<FrameState[]> StreamConnection::make_states(bool of_a_pair) {
  return make_inherited<FrameState>(2, [of_a_pair](FrameState* at) {
    new (at) FrameState;
    at->is_common = of_a_pair;
  });
}

std::shared_ptr<FrameState[]> StreamConnection::adopt_states(const Handle& handle, Stream& stream) {
  for (const int descriptor : handle.descriptors) {
    if (descriptor < 0) throw BadArgument("adopt: a negative descriptor");
  }
  auto states = make_states(false);
  if (handle.state.empty()) return states;
  HandleState state = {};
  if (handle.state.size() != sizeof state) throw BadArgument("adopt: not the state of a stream");
  std::memcpy(&state, handle.state.data(), sizeof state);
  if (state.promised < kLeastFrame || state.promised > kLongestPromise) throw BadArgument("adopt: an impossible state");
  stream.readable = state.readable != 0;
  stream.writable = state.writable != 0;
  for (FrameState* direction : {&states[0], &states[1]}) direction->longest = kLeastFrame;
  states[0].promised = state.promised;
  return states;
}

// From now on there may be users who do not share this end's state, so no frame may promise anything.
Handle StreamConnection::handle() const {
  if (closed()) throw Closed("handle");
  if (reads_ahead_) throw Unsupported("handle: the end reads ahead");
  if (reader_.is_inside_message() || outgoing_.is_in_debt()) throw StateError("handle: in the middle of a message");
  for (FrameState* direction : {&outgoing_, &incoming_}) {
    direction->longest = kLeastFrame;
    direction->is_common = false;
  }
  incoming_.expected = kLeastFrame;
  HandleState state = {};
  state.promised = outgoing_.promised;
  state.readable = readable_ ? 1 : 0;
  state.writable = writable_ ? 1 : 0;
  Handle handle;
  for (const Fd* descriptor : {&in_, &out_}) {
    if (*descriptor) handle.descriptors.push_back(descriptor->get());
  }
  const ByteView bytes = std::as_bytes(std::span(&state, 1));
  handle.state.assign(bytes.begin(), bytes.end());
  return handle;
}

void StreamConnection::close() noexcept {
  if (!gate_.close()) return;
  in_.reset();
  out_.reset();
  incoming_.closes.fetch_add(1, std::memory_order_release);  // after the kernel was told
}

int StreamConnection::descriptor() const {
  if (closed()) throw Closed("descriptor");
  if (reads_ahead_) throw Unsupported("descriptor: the end reads ahead");
  return readable_ ? in_.get() : out();
}

bool StreamConnection::begin_wait(pollfd& slot) {
  if (!gate_.enter(Gate::kReceive)) throw Closed("wait");
  if (readable_ && reader_.has_ahead()) {
    gate_.leave(Gate::kReceive);
    return true;
  }
  slot.fd = readable_ ? in_.get() : out();
  slot.events = readable_ ? POLLIN : POLLRDHUP;  // a sender's only news is that its receiver is gone
  return false;
}

bool StreamConnection::end_wait(short revents) {
  gate_.leave(Gate::kReceive);
  return revents != 0;
}

Status StreamConnection::send_bytes(ByteView message, Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (!writable_) return Status::kWrongDirection;
  return writer_.send(message, deadline);
}

Status StreamConnection::send_many(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline) {
  sent = 0;
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (!writable_) return Status::kWrongDirection;
  return writer_.send_many(messages, sent, deadline);
}

Status StreamConnection::recv_bytes(Bytes& message, std::size_t max_length, Deadline deadline) {
  Destination to(message, max_length);
  return receive(to, deadline);
}

Status StreamConnection::recv_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline, Bytes* too_long) {
  Destination to(buffer, received, too_long);
  return receive(to, deadline);
}

Status StreamConnection::wait_readable(Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kReceive);
  if (!pass) return Status::kClosed;
  if (!readable_) return Status::kWrongDirection;
  return reader_.wait_readable(deadline);
}

Status StreamConnection::receive(Destination& to, Deadline deadline) {
  Status status = Status::kOk;
  {
    const Gate::Pass pass(gate_, Gate::kReceive);
    if (!pass) return Status::kClosed;
    if (!readable_) return Status::kWrongDirection;
    status = reader_.receive(to, deadline);
    if (status == Status::kEof || status == Status::kTruncated) writer_.peer_is_gone();
    if (status != Status::kBadLength) return status;
    readable_ = false;
    if (out_) in_.reset();  // its sender learns that nobody will receive; over a socket that cannot be said
  }
  if (!writable_) close();
  return status;
}

}  // namespace crucible
