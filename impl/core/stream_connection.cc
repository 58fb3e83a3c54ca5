#include "core/stream_connection.h"

#include <cstring>

#include "core/inherited.h"
#include "core/io.h"
#include "core/sealed_memory.h"

namespace crucible {
namespace {

constexpr std::size_t kPageBytes = 2 * sizeof(FrameState);

std::shared_ptr<FrameState[]> states_in(const std::shared_ptr<SealedMemory>& page) {
  return {page, page->objects<FrameState>()};
}

// A handle's state.
struct HandleState {
  std::uint32_t flags;
  std::uint32_t promised;  ///< what the next frame sent must keep, where the states themselves are not shared
};
constexpr std::uint32_t kFirst = 1;
constexpr std::uint32_t kReads = 2;
constexpr std::uint32_t kWrites = 4;

}  // namespace

StreamConnection::StreamConnection(Stream stream, bool read_ahead)
    : kind_(stream.kind),
      writable_(stream.writable),
      readable_(stream.readable),
      reads_ahead_(read_ahead),
      in_(std::move(stream.in)),
      out_(std::move(stream.out)),
      states_(std::move(stream.states)),
      page_(stream.page),
      first_(stream.first),
      outgoing_(states_[first_ ? 0 : 1]),
      incoming_(states_[first_ ? 1 : 0]),
      writer_(out(), kind_, outgoing_, gate_),
      reader_(in_.get(), kind_, incoming_, gate_, read_ahead) {
  ignore_sigpipe();
}

void StreamConnection::share_states(Stream& first, Stream& second) {
  const auto page = SealedMemory::make(kPageBytes);
  for (Stream* end : {&first, &second}) {
    end->states = states_in(page);
    end->page = page->descriptor();
    end->first = end == &first;
  }
  for (const std::ptrdiff_t direction : {0, 1}) first.states[direction].is_common = 1;
}

std::shared_ptr<FrameState[]> StreamConnection::make_states(bool of_a_pair) {
  return make_inherited<FrameState>(2, [of_a_pair](FrameState* at) {
    new (at) FrameState{};
    at->is_common = of_a_pair ? 1 : 0;
  });
}

StreamConnection::Stream StreamConnection::adopt_stream(StreamKind kind, const Handle& handle) {
  const std::vector<int>& descriptors = handle.descriptors;
  const bool is_socket = kind == StreamKind::kSocket;
  const bool is_foreign = handle.state.empty();
  HandleState state = {.flags = kFirst | kReads | kWrites, .promised = 0};
  if (!is_foreign && handle.state.size() != sizeof state) throw BadArgument("adopt: no state of this mechanism's");
  if (!is_foreign) std::memcpy(&state, handle.state.data(), sizeof state);
  const bool reads = (state.flags & kReads) != 0;
  const bool writes = (state.flags & kWrites) != 0;
  if (state.flags >= 2 * kWrites || (!reads && !writes)) throw BadArgument("adopt: no state of this mechanism's");
  const std::size_t expected = is_socket ? 1 : (reads ? 1U : 0U) + (writes ? 1U : 0U) + (is_foreign ? 0U : 1U);
  if (descriptors.size() != expected) throw BadArgument("adopt: a wrong number of descriptors");
  for (const int descriptor : descriptors) {
    if (descriptor < 0) throw BadArgument("adopt: a negative descriptor");
  }
  Stream stream = {
      .kind = kind, .readable = reads, .writable = writes, .states = {}, .first = (state.flags & kFirst) != 0};
  if (is_socket || is_foreign) {
    stream.states = make_states(false);
    for (const std::ptrdiff_t direction : {0, 1}) stream.states[direction].is_vague = is_foreign ? 0 : 1;
    stream.states[stream.first ? 0 : 1].promised = state.promised;
  } else {
    stream.page = descriptors.back();
    stream.states = states_in(SealedMemory::adopt(stream.page, kPageBytes));
  }
  if (is_socket) {
    stream.in = Fd(descriptors[0]);
  } else {
    if (reads) stream.in = Fd(descriptors[is_foreign || !writes ? 0 : 1]);
    if (writes) stream.out = Fd(descriptors[is_foreign ? 1 : 0]);
  }
  return stream;
}

Handle StreamConnection::handle() const {
  if (closed()) throw Closed("handle");
  if (reads_ahead_) throw Unsupported("handle: the end reads ahead");
  const bool is_shared = page_ >= 0;
  if (reader_.is_inside_message() || (!is_shared && outgoing_.is_in_debt())) {
    throw StateError("handle: the end is in the middle of a message");
  }
  // The order of a pair(): of a process that is killed Linux closes the highest descriptor first, so that whoever sees
  // end of file cannot send either.
  Handle handle;
  if (out_) handle.descriptors.push_back(out_.get());
  if (in_) handle.descriptors.push_back(in_.get());
  if (is_shared) {
    handle.descriptors.push_back(page_);
  } else {
    for (FrameState* direction : {&outgoing_, &incoming_}) {
      direction->is_vague = 1;
      direction->is_common = 0;
    }
    incoming_.expected = kLeastFrame;
  }
  const HandleState state = {.flags = (first_ ? kFirst : 0) | (readable_ ? kReads : 0) | (writable_ ? kWrites : 0),
                             .promised = outgoing_.promised};
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
