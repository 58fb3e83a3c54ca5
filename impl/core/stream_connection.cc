#include "core/stream_connection.h"

#include "core/io.h"

namespace crucible {
namespace {

constexpr std::size_t kPageBytes = 2 * sizeof(FrameState);

// A handle's state.
constexpr unsigned kFirst = 1;
constexpr unsigned kReads = 2;
constexpr unsigned kWrites = 4;

}  // namespace

StreamConnection::StreamConnection(Stream stream, bool read_ahead)
    : kind_(stream.kind),
      writable_(stream.writable),
      readable_(stream.readable),
      reads_ahead_(read_ahead),
      in_(std::move(stream.in)),
      out_(std::move(stream.out)),
      page_(std::move(stream.page)),
      first_(stream.first),
      outgoing_(page_->objects<FrameState>()[first_ ? 0 : 1]),
      incoming_(page_->objects<FrameState>()[first_ ? 1 : 0]),
      writer_(out(), kind_, outgoing_, gate_),
      reader_(in_.get(), kind_, incoming_, gate_, read_ahead) {
  ignore_sigpipe();
}

std::shared_ptr<SealedMemory> StreamConnection::make_page(bool of_a_pair) {
  auto page = SealedMemory::make(kPageBytes);
  for (FrameState& state : std::span(page->objects<FrameState>(), 2)) state.is_common = of_a_pair ? 1 : 0;
  return page;
}

StreamConnection::Stream StreamConnection::adopt_stream(StreamKind kind, const Handle& handle) {
  const std::vector<int>& descriptors = handle.descriptors;
  const bool is_foreign = handle.state.empty();
  const unsigned flags = is_foreign ? kFirst | kReads | kWrites : std::to_integer<unsigned>(handle.state[0]);
  Stream stream = {.kind = kind,
                   .readable = (flags & kReads) != 0,
                   .writable = (flags & kWrites) != 0,
                   .first = (flags & kFirst) != 0};
  if (handle.state.size() > 1 || flags >= 2 * kWrites || (!stream.readable && !stream.writable)) {
    throw BadArgument("adopt: no state of this mechanism's");
  }
  const bool is_one = kind == StreamKind::kSocket || !stream.readable || !stream.writable;
  if (descriptors.size() != (is_one ? 1U : 2U) + (is_foreign ? 0U : 1U)) {
    throw BadArgument("adopt: a wrong number of descriptors");
  }
  for (const int descriptor : descriptors) {
    if (descriptor < 0) throw BadArgument("adopt: a negative descriptor");
  }
  // Without a page nothing is promised and nothing assumed.
  stream.page = is_foreign ? make_page(false) : SealedMemory::adopt(descriptors.back(), kPageBytes);
  if (kind == StreamKind::kSocket) {
    stream.in = Fd(descriptors[0]);
  } else {
    if (stream.readable) stream.in = Fd(descriptors[is_foreign || !stream.writable ? 0 : 1]);
    if (stream.writable) stream.out = Fd(descriptors[is_foreign ? 1 : 0]);
  }
  return stream;
}

Handle StreamConnection::handle() const {
  if (closed()) throw Closed("handle");
  if (reads_ahead_) throw Unsupported("handle: the end reads ahead");
  if (reader_.is_inside_message()) throw StateError("handle: the end is in the middle of a message");
  // The order of a pair(): of a process that is killed Linux closes the highest descriptor first, so that whoever sees
  // end of file cannot send either.
  Handle handle;
  if (out_) handle.descriptors.push_back(out_.get());
  if (in_) handle.descriptors.push_back(in_.get());
  handle.descriptors.push_back(page_->descriptor());
  const unsigned flags = (first_ ? kFirst : 0) | (readable_ ? kReads : 0) | (writable_ ? kWrites : 0);
  handle.state.push_back(static_cast<std::byte>(flags));
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
