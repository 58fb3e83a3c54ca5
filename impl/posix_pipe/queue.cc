#include "posix_pipe/queue.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <climits>
#include <cstring>

#include "core/io.h"

namespace crucible {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMostPages = 256;  // unless more is asked for; by default the system lets only root have more

struct Ends {
  Fd reader;
  Fd writer;
};

Ends make_pipe(int flags) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | flags) != 0) throw_errno("pipe2");
  return {Fd(ends[0]), Fd(ends[1])};
}

// Each packet takes a page. A second pipe of the same size is for looking at what is in the first.
void set_pages(const Ends& queue, const Ends& looking, const QueueOptions& options) {
  constexpr std::size_t kPayload = 64;  // of a packet at least, when storage is asked for in bytes
  const auto resize = [&](std::size_t pages) {
    if (pages > INT_MAX / kPage) return false;
    const int bytes = static_cast<int>(pages * kPage);
    return fcntl(queue.writer.get(), F_SETPIPE_SZ, bytes) >= bytes &&
           fcntl(looking.writer.get(), F_SETPIPE_SZ, bytes) >= bytes;
  };
  if (options.storage_bytes != 0) {
    if (!resize(options.storage_bytes / kPayload + 1)) {
      throw BadArgument("queue: the system refuses storage for " + std::to_string(options.storage_bytes) + " bytes");
    }
    return;
  }
  // As many messages as were asked for, if the system lets a pipe be so long.
  if (options.maxsize > kMostPages && resize(options.maxsize)) return;
  for (std::size_t pages = kMostPages; pages > 1 && !resize(pages); pages /= 2) {
  }
}

Fd open_again(const Fd& descriptor, int flags) {
  const std::string path = "/proc/self/fd/" + std::to_string(descriptor.get());
  Fd opened(::open(path.c_str(), flags | O_CLOEXEC));
  if (!opened) throw_errno("open(/proc/self/fd)");
  return opened;
}

void set_flags(const Fd& descriptor, int flags) {
  if (fcntl(descriptor.get(), F_SETFL, flags) != 0) throw_errno("fcntl(F_SETFL)");
}

}  // namespace

std::unique_ptr<PosixPipeQueue> PosixPipeQueue::create(const std::string& address, const QueueOptions& options) {
  ignore_sigpipe();
  Ends queue = make_pipe(O_DIRECT);
  Ends looking = make_pipe(O_DIRECT | O_NONBLOCK);
  set_pages(queue, looking, options);
  set_flags(queue.writer, O_DIRECT | O_NONBLOCK);
  Fd beside(::memfd_create("crucible", MFD_CLOEXEC));
  if (!beside) throw_errno("memfd_create");
  std::vector<Fd> descriptors;
  descriptors.resize(kLookingOut + 1);
  descriptors[kReading] = open_again(queue.reader, O_RDONLY | O_NONBLOCK);
  descriptors[kWaiting] = std::move(queue.reader);
  descriptors[kWriting] = std::move(queue.writer);
  descriptors[kBesideFile] = std::move(beside);
  descriptors[kLookingIn] = std::move(looking.writer);
  descriptors[kLookingOut] = std::move(looking.reader);
  std::unique_ptr<PosixPipeQueue> made(new PosixPipeQueue(make_page(options), std::move(descriptors), {}));
  made->open_door(kDoor, address, options.door);
  return made;
}

std::unique_ptr<PosixPipeQueue> PosixPipeQueue::open(const std::string& address, const QueueOptions& options,
                                                     Deadline deadline) {
  std::optional<Opened> opened = enter_door(kDoor, address, options.door, deadline);
  if (!opened) return nullptr;
  return std::unique_ptr<PosixPipeQueue>(
      new PosixPipeQueue(std::move(opened->page), std::move(opened->descriptors), address));
}

// --- Writing -----------------------------------------------------------------------------------------------------

bool PosixPipeQueue::send_packet(const Header& header, ByteView payload) {
  // One flat copy is cheaper than gathering so few bytes.
  std::array<std::byte, kPacket> flat;
  std::memcpy(flat.data(), &header, kHeader);
  if (!payload.empty()) std::memcpy(flat.data() + kHeader, payload.data(), payload.size());
  while (::write(descriptor(kWriting), flat.data(), kHeader + payload.size()) < 0) {
    if (errno == EAGAIN) return false;
    if (errno != EINTR) throw_errno("write");
  }
  return true;
}

std::size_t PosixPipeQueue::send_packets(std::span<const Header> headers, std::span<const ByteView> payloads) {
  std::size_t sent = 0;
  while (sent < headers.size() && send_packet(headers[sent], payloads[sent])) ++sent;
  return sent;
}

Fd PosixPipeQueue::prepare_beside(ByteView /*message*/) { return {}; }

// Where a message lies in the file. Fresh pages cost several times as much as the message's two copies.
std::uint64_t PosixPipeQueue::take_place(ByteView message, std::uint64_t beside) {
  const std::uint32_t taken = places().load(std::memory_order_relaxed);
  const auto free = static_cast<unsigned>(std::countr_one(taken));
  if (message.size() > kPlace || free >= kPlaces) return kPlaces * kPlace + beside;
  places().fetch_or(1U << free, std::memory_order_acquire);  // only who has the lock takes one
  return free * kPlace;
}

void PosixPipeQueue::leave_place(std::uint64_t at, std::uint64_t bytes) {
  if (at < kPlaces * kPlace) {
    places().fetch_and(~(1U << (at / kPlace)), std::memory_order_release);
  } else {
    drop_beside(at - kPlaces * kPlace, bytes);
  }
}

// Until its packet is sent nobody knows of the bytes.
bool PosixPipeQueue::send_beside(const Header& header, ByteView message, const Fd& /*prepared*/) {
  if (is_full()) return false;
  const std::uint64_t at = take_place(message, header.beside);
  std::size_t done = 0;
  while (done < message.size()) {
    const ssize_t count =
        ::pwrite(descriptor(kBesideFile), message.data() + done, message.size() - done, static_cast<off_t>(at + done));
    if (count >= 0) {
      done += static_cast<std::size_t>(count);
    } else if (errno != EINTR) {
      const int error = errno;
      leave_place(at, bytes_beside(message.size()));
      errno = error;
      throw_errno("pwrite(memfd)");
    }
  }
  // Only who has the lock adds packets: what was not full still is not.
  return send_packet(header, std::as_bytes(std::span(&at, 1)));
}

bool PosixPipeQueue::is_full() {
  pollfd slot = {.fd = descriptor(kWriting), .events = POLLOUT, .revents = 0};
  return sleep_on({&slot, 1}, Deadline::immediate()) != Wake::kReady;
}

Status PosixPipeQueue::await_storage(Deadline deadline) {
  return await_events(descriptor(kWriting), POLLOUT, deadline, gate_);
}

// --- Reading -----------------------------------------------------------------------------------------------------

PosixPipeQueue::Received PosixPipeQueue::receive(int from, Packet& packet, ByteSpan direct, ByteSpan spill) const {
  iovec parts[] = {
      {spill.data(), kHeader}, {direct.data(), direct.size()}, {spill.data() + kHeader, spill.size() - kHeader}};
  const ssize_t count =
      direct.empty() ? ::read(from, spill.data(), spill.size()) : ::readv(from, parts, std::size(parts));
  if (count < 0 && errno == EAGAIN) return Received::kNothing;
  if (count < 0 && errno == EINTR) return Received::kInterrupted;
  const auto size = static_cast<std::size_t>(std::max<ssize_t>(count, 0));
  if (count >= 0 && size < kHeader) errno = EPROTO;
  if (size < kHeader) throw_errno("read");
  std::memcpy(&packet.header, spill.data(), kHeader);
  packet.direct = std::min(size - kHeader, direct.size());
  packet.spilled = ByteView(spill).subspan(kHeader, size - kHeader - packet.direct);
  if ((packet.header.length & kBeside) != 0 && packet.direct > 0) {  // where it lies, and nothing for the caller
    std::memcpy(spill.data() + kHeader, direct.data(), packet.direct);
    packet.spilled = ByteView(spill).subspan(kHeader, std::exchange(packet.direct, 0));
  }
  return Received::kPacket;
}

PosixPipeQueue::Received PosixPipeQueue::receive_packet(Packet& packet, ByteSpan direct, bool wait) {
  return receive(descriptor(wait ? kWaiting : kReading), packet, direct, scratch(kPacket));
}

std::size_t PosixPipeQueue::receive_packets(std::span<Packet> packets) {
  const ByteSpan spill = scratch(packets.size() * kPacket);
  std::size_t count = 0;
  while (count < packets.size() && receive(descriptor(kReading), packets[count], {},
                                           spill.subspan(count * kPacket, kPacket)) == Received::kPacket) {
    ++count;
  }
  return count;
}

void PosixPipeQueue::take_beside(const Packet& packet, ByteSpan to) {
  std::uint64_t at = 0;
  if (packet.spilled.size() != sizeof at) {
    errno = EPROTO;
    throw_errno("read");
  }
  std::memcpy(&at, packet.spilled.data(), sizeof at);
  std::size_t done = 0;
  while (done < to.size()) {
    const ssize_t count =
        ::pread(descriptor(kBesideFile), to.data() + done, to.size() - done, static_cast<off_t>(at + done));
    if (count == 0) errno = EPROTO;
    if (count > 0) {
      done += static_cast<std::size_t>(count);
    } else if (count == 0 || errno != EINTR) {
      throw_errno("pread(memfd)");
    }
  }
  leave_place(at, bytes_beside(to.size()));
}

void PosixPipeQueue::drop_beside(std::uint64_t beside, std::uint64_t bytes) {
  while (fallocate(descriptor(kBesideFile), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                   static_cast<off_t>(kPlaces * kPlace + beside), static_cast<off_t>(bytes)) != 0) {
    if (errno != EINTR) throw_errno("fallocate(FALLOC_FL_PUNCH_HOLE)");
  }
}

Status PosixPipeQueue::await_packet(Deadline deadline) {
  return await_events(descriptor(kReading), POLLIN, deadline, gate_);
}

// --- Looking: tee(2) copies packets to the other pipe and leaves them where they are ---------------------------------

// The next header in the pipe for looking; false: there is none.
bool PosixPipeQueue::look(Header& header) const {
  std::array<std::byte, kPacket> packet;
  while (true) {
    const ssize_t count = ::read(descriptor(kLookingOut), packet.data(), packet.size());
    if (count >= static_cast<ssize_t>(kHeader)) {
      std::memcpy(&header, packet.data(), kHeader);
      return true;
    }
    if (count < 0 && errno == EAGAIN) return false;
    if (count >= 0) errno = EPROTO;
    if (errno != EINTR) throw_errno("read");
  }
}

bool PosixPipeQueue::peek_first(Header& header) {
  while (::tee(descriptor(kReading), descriptor(kLookingIn), kHeader, SPLICE_F_NONBLOCK) < 0) {
    if (errno == EAGAIN) return false;
    if (errno != EINTR) throw_errno("tee");
  }
  return look(header);
}

bool PosixPipeQueue::peek_last(Header& header) {
  while (look(header)) {  // what a killed one was looking at
  }
  while (::tee(descriptor(kReading), descriptor(kLookingIn), INT_MAX, SPLICE_F_NONBLOCK) < 0) {
    if (errno == EAGAIN) return false;
    if (errno != EINTR) throw_errno("tee");
  }
  bool any = false;
  while (look(header)) any = true;
  return any;
}

}  // namespace crucible
