#include "boost_ipc/connection.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "boost_ipc/naps.h"
#include "core/door.h"
#include "core/sealed_memory.h"
#include "core/wait.h"

namespace crucible {

/// What both ends of a pair are made of.
struct BoostIpcConnection::Parts {
  std::shared_ptr<Shared> shared;
  std::shared_ptr<BoostIpcQueue> to_first;
  std::shared_ptr<BoostIpcQueue> to_second;
};

namespace {

using boost_ipc::kFirstNap;
using boost_ipc::kNap;
using boost_ipc::nap;
using std::chrono::nanoseconds;

// Asking the kernel whether the peer lives costs as much as sending a message; a death that is younger than this may
// therefore go unnoticed by a sender that asked just before. Orderly closes are announced and noticed at once.
constexpr std::int64_t kLookEveryNs = 200'000;

std::size_t part_of(const std::shared_ptr<BoostIpcQueue>& one, const std::shared_ptr<BoostIpcQueue>& other) {
  return (one != nullptr ? one : other)->part();
}

BoostIpcShape shape_of(const PipeOptions& options) {
  if (options.wait) throw BadArgument("boost_ipc: how its ends wait is up to Boost");
  return BoostIpcShape::of(options.capacity_bytes);
}

}  // namespace

BoostIpcConnection::BoostIpcConnection(Fd socket, const Parts& parts, bool first, std::unique_ptr<BoostIpcNames> names)
    : socket_(std::move(socket)),
      shared_(parts.shared),
      in_(first ? parts.to_first : parts.to_second),
      out_(first ? parts.to_second : parts.to_first),
      incoming_(first ? shared_->to_first : shared_->to_second),
      outgoing_(first ? shared_->to_second : shared_->to_first),
      part_(part_of(in_, out_)),
      writable_(out_ != nullptr),
      readable_(in_ != nullptr),
      names_(std::move(names)) {}

// Without a descriptor for those who inherit it.
std::shared_ptr<BoostIpcConnection::Shared> BoostIpcConnection::map_shared(int descriptor) {
  const int flags = MAP_SHARED | (descriptor < 0 ? MAP_ANONYMOUS : 0);
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, flags, descriptor, 0);
  if (memory == MAP_FAILED) throw_errno("mmap");
  return {static_cast<Shared*>(memory), [](Shared* mapped) { munmap(mapped, sizeof(Shared)); }};
}

std::pair<std::unique_ptr<BoostIpcConnection>, std::unique_ptr<BoostIpcConnection>> BoostIpcConnection::pair(
    const PipeOptions& options) {
  const BoostIpcShape shape = shape_of(options);
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("socketpair");
  Fd first(ends[0]);
  Fd second(ends[1]);
  const BoostIpcNames names(shape);  // gone when both ends are made
  const Parts parts = {map_shared(-1), names.create(0), options.duplex ? names.create(1) : nullptr};
  return {std::unique_ptr<BoostIpcConnection>(new BoostIpcConnection(std::move(first), parts, true, nullptr)),
          std::unique_ptr<BoostIpcConnection>(new BoostIpcConnection(std::move(second), parts, false, nullptr))};
}

std::unique_ptr<Connection> BoostIpcConnection::admit(Fd socket, const PipeOptions& options) {
  auto names = std::make_unique<BoostIpcNames>(shape_of(options));
  const std::shared_ptr<SealedMemory> memory = SealedMemory::make(sizeof(Shared));
  const Parts parts = {map_shared(memory->descriptor()), names->create(0), names->create(1)};
  const ByteView id = as_bytes(names->id());
  pass(socket, {.descriptors = {memory->descriptor(), names->lock()}, .state = Bytes(id.begin(), id.end())});
  return std::unique_ptr<Connection>(new BoostIpcConnection(std::move(socket), parts, true, std::move(names)));
}

std::unique_ptr<Connection> BoostIpcConnection::enter(Fd socket, const PipeOptions& options, Deadline deadline) {
  (void)shape_of(options);
  Handle handle;
  const Status status = take(socket, 2, handle, deadline);
  if (status == Status::kTimeout) return nullptr;
  if (status != Status::kOk) throw_status(status, "connect");
  Fd descriptor(handle.descriptors[0]);
  const Fd lock(handle.descriptors[1]);
  const std::shared_ptr<SealedMemory> memory = SealedMemory::adopt(descriptor.get(), sizeof(Shared));
  (void)descriptor.release();
  const std::string_view id = as_text(handle.state);
  const Parts parts = {map_shared(memory->descriptor()), BoostIpcNames::open(id, 0), BoostIpcNames::open(id, 1)};
  BoostIpcNames::remove(id);
  return std::unique_ptr<Connection>(new BoostIpcConnection(std::move(socket), parts, false, nullptr));
}

void BoostIpcConnection::close() noexcept {
  if (!gate_.close()) return;
  // A peer that has not come to open the queues yet shall find them, and what was sent, and removes their names itself.
  pollfd slot = {.fd = socket_.get(), .events = 0, .revents = 0};
  if (names_ != nullptr && ::poll(&slot, 1, 0) == 0) names_->leave();
  names_.reset();
  in_.reset();
  out_.reset();
  socket_.reset();
  incoming_.news.fetch_add(1, std::memory_order_release);
  outgoing_.news.fetch_add(1, std::memory_order_release);
}

bool BoostIpcConnection::begin_wait(pollfd& slot) {
  if (!gate_.enter(Gate::kReceive)) throw Closed("wait");
  slot.fd = socket_.get();
  slot.events = 0;  // a sender's only news is that its receiver is gone, which the kernel always reports
  if (!readable_) return false;
  slot.events = POLLIN;
  // Announced before the queue is looked at, both under the queue's mutex: whoever sends a part later sees it.
  incoming_.waiting.store(1, std::memory_order_relaxed);
  if (in_->empty()) return false;
  incoming_.waiting.store(0, std::memory_order_relaxed);
  gate_.leave(Gate::kReceive);
  return true;
}

bool BoostIpcConnection::end_wait(short revents) {
  bool ready = (revents & ~POLLIN) != 0;
  if (readable_) {
    incoming_.waiting.store(0, std::memory_order_relaxed);
    if ((revents & POLLIN) != 0) take_rings();
    ready = ready || !in_->empty();
  }
  gate_.leave(Gate::kReceive);
  return ready;
}

void BoostIpcConnection::take_rings() {
  std::array<std::byte, 16> bytes;
  while (::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
  }
}

void BoostIpcConnection::ring() {
  constexpr std::byte kRing{};
  if (outgoing_.waiting.exchange(0, std::memory_order_relaxed) == 0) return;
  // Where it does not fit, enough bytes to wake whoever sleeps are there already.
  (void)::send(socket_.get(), &kRing, sizeof kRing, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// --- The other side ------------------------------------------------------------------------------------------

bool BoostIpcConnection::nobody_for(Gate::Direction direction) const {
  return gone_.load(std::memory_order_relaxed) ||
         (direction == Gate::kSend && outgoing_.deaf.load(std::memory_order_relaxed) != 0);
}

bool BoostIpcConnection::look_for_peer(Gate::Direction direction) {
  Outlook& outlook = outlooks_[direction];
  outlook.news = (direction == Gate::kSend ? outgoing_ : incoming_).news.load(std::memory_order_acquire);
  outlook.looked_at_ns = Deadline::now_ns();
  pollfd slot = {.fd = socket_.get(), .events = 0, .revents = 0};
  if (sleep_on({&slot, 1}, Deadline::immediate()) == Wake::kReady) gone_.store(true, std::memory_order_relaxed);
  return nobody_for(direction);
}

bool BoostIpcConnection::receiver_is_gone() {
  const Outlook& outlook = outlooks_[Gate::kSend];
  const bool fresh = outgoing_.news.load(std::memory_order_acquire) == outlook.news &&
                     Deadline::now_ns() - outlook.looked_at_ns < kLookEveryNs;
  return fresh ? nobody_for(Gate::kSend) : look_for_peer(Gate::kSend);
}

// --- Sending -------------------------------------------------------------------------------------------------

Status BoostIpcConnection::send_bytes(ByteView message, Deadline deadline) {
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (!writable_) return Status::kWrongDirection;
  return send_message(message, deadline);
}

// There is nothing to coalesce: no part costs a system call unless somebody sleeps.
Status BoostIpcConnection::send_many(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline) {
  sent = 0;
  const Gate::Pass pass(gate_, Gate::kSend);
  if (!pass) return Status::kClosed;
  if (!writable_) return Status::kWrongDirection;
  for (; sent < messages.size(); ++sent) {
    if (const Status status = send_message(messages[sent], deadline); status != Status::kOk) return status;
  }
  return Status::kOk;
}

// What makes up no full part goes first, behind headers. The rest is full parts, straight from the caller's memory: no
// part with a header is so long, and between two such parts they belong to the message that was begun last.
Status BoostIpcConnection::send_message(ByteView message, Deadline deadline) {
  if (message.size() > kMaxMessage) return Status::kBadLength;
  if (receiver_is_gone()) return Status::kBrokenPipe;
  const std::size_t room = part_ - 1 - kHeader;
  const std::size_t headed = message.size() <= room ? message.size() : message.size() % part_;
  Header header = {.length = message.size(), .offset = 0, .may_be_given_up = deadline.is_never() ? 0U : 1U};
  thread_local std::array<std::byte, BoostIpcShape::kLargestPart> staged;
  std::size_t offset = 0;
  bool begun = false;
  do {
    const bool in_full = begun && offset >= headed;
    const std::size_t size = in_full ? part_ : std::min(room, headed - offset);
    ByteView part = message.subspan(offset, size);
    if (!in_full) {
      header.offset = static_cast<std::uint32_t>(offset);
      std::memcpy(staged.data(), &header, kHeader);
      if (size > 0) std::memcpy(staged.data() + kHeader, part.data(), size);
      part = ByteView(staged).first(kHeader + size);
    }
    if (const Status status = send_part(part, deadline); status != Status::kOk) {
      if (begun) outgoing_.given_up.store(1, std::memory_order_relaxed);
      return status;
    }
    if (outgoing_.given_up.load(std::memory_order_relaxed) != 0) outgoing_.given_up.store(0, std::memory_order_relaxed);
    begun = true;
    offset += size;
  } while (offset < message.size());
  return Status::kOk;
}

Status BoostIpcConnection::send_part(ByteView part, Deadline deadline) {
  bool sent = out_->try_send(part);
  for (nanoseconds most = kFirstNap; !sent; most = kNap) {
    if (gate_.closed()) return Status::kClosed;
    if (receiver_is_gone()) return Status::kBrokenPipe;
    if (deadline.has_passed()) return Status::kTimeout;
    sent = out_->send_within(part, nap(most, deadline));
  }
  if (outgoing_.waiting.load(std::memory_order_relaxed) != 0) [[unlikely]]
    ring();
  return Status::kOk;
}

}  // namespace crucible
