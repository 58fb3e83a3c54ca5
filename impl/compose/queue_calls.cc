// ComposedQueue: the calls, each over a link of its thread's for as long as it takes.
#include "compose/queue.h"
#include "core/destination.h"

namespace crucible {

template <class Call>
Status ComposedQueue::with_link(Deadline deadline, const Call& call) {
  std::unique_ptr<QueueLink> link;
  Status status = take_link(link, deadline);
  if (status != Status::kOk) return status;
  try {
    status = call(*link);
  } catch (...) {
    give_back(std::move(link), false);
    throw;
  }
  if (status == Status::kBroken) broken_ = true;
  const bool is_well = status != Status::kBroken && status != Status::kClosed;
  give_back(std::move(link), is_well);
  return status == Status::kTimeout && closed_ ? Status::kClosed : status;
}

Status ComposedQueue::put_bytes(ByteView message, Deadline deadline) {
  if (message.size() > longest_) return Status::kBadLength;
  return with_link(deadline, [&](QueueLink& link) { return link.put(message, deadline); });
}

Status ComposedQueue::put_many(std::span<const ByteView> messages, std::size_t& put, Deadline deadline) {
  put = 0;
  return with_link(deadline, [&](QueueLink& link) {
    while (put < messages.size()) {
      if (messages[put].size() > longest_) return Status::kBadLength;
      std::size_t some = 0;
      const Status status = link.put_some(messages.subspan(put), some, deadline);
      put += some;
      if (status != Status::kOk) return status;
      if (closed_) return Status::kTimeout;
    }
    return Status::kOk;
  });
}

Status ComposedQueue::get_bytes(Bytes& message, Deadline deadline) {
  Destination to(message, Connection::kNoLimit);
  return with_link(deadline, [&](QueueLink& link) { return link.get(to, deadline); });
}

Status ComposedQueue::get_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline, Bytes* too_long) {
  Destination to(buffer, received, too_long);
  return with_link(deadline, [&](QueueLink& link) { return link.get(to, deadline); });
}

Status ComposedQueue::get_many(std::vector<Bytes>& messages, std::size_t most, Deadline deadline) {
  if (most == 0) return Status::kBadArgument;
  return with_link(deadline, [&](QueueLink& link) { return link.get_many(messages, most, deadline); });
}

Status ComposedQueue::ask(wire::Request request, std::uint64_t& number) {
  return with_link(Deadline::never(), [&](QueueLink& link) { return link.ask(request, number); });
}

Status ComposedQueue::count(std::size_t& count) {
  std::uint64_t number = 0;
  const Status status = ask(wire::Request::kCount, number);
  if (status == Status::kOk) count = static_cast<std::size_t>(number);
  return status;
}

Status ComposedQueue::check_full(bool& is_full) {
  std::uint64_t number = 0;
  const Status status = ask(wire::Request::kFull, number);
  if (status == Status::kOk) is_full = number != 0;
  return status;
}

Status ComposedQueue::task_done() {
  if (closed_) return Status::kClosed;
  if (!bounds_.joinable) return Status::kState;
  std::uint64_t number = 0;
  return ask(wire::Request::kTaskDone, number);
}

Status ComposedQueue::join_until(Deadline deadline) {
  if (closed_) return Status::kClosed;
  if (!bounds_.joinable) return Status::kState;
  return with_link(deadline, [&](QueueLink& link) { return link.join(deadline); });
}

}  // namespace crucible
