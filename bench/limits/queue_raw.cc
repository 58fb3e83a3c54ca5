#include "limits/queue_raw.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <utility>

namespace crucible::bench {

std::vector<RawSetting> UnixQueueRaw::settings(std::size_t message_bytes) {
  constexpr std::size_t kLargestPacket = 64U << 10U;
  constexpr std::size_t kLargeBuffer = 2U << 20U;
  std::vector<RawSetting> settings;
  for (const std::size_t buffer : {std::size_t{0}, kLargeBuffer}) {
    settings.push_back({.buffer_bytes = buffer, .chunk_bytes = std::min(message_bytes, kLargestPacket)});
    if (message_bytes > kLargestPacket) settings.push_back({.buffer_bytes = buffer, .chunk_bytes = kLargestPacket / 2});
  }
  return settings;
}

UnixQueueRaw UnixQueueRaw::make(std::size_t /*message_bytes*/, const RawSetting& setting) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) throw_errno("socketpair");
  UnixQueueRaw made = {.in = std::make_shared<Fd>(ends[0]),
                       .out = std::make_shared<Fd>(ends[1]),
                       .locks = make_queue_locks(),
                       .chunk = setting.chunk_bytes,
                       .fairness = {}};
  const int wanted = static_cast<int>(setting.buffer_bytes);
  if (wanted > 0 && setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted) != 0) throw_errno("setsockopt");
  int buffer = 0;
  socklen_t length = sizeof buffer;
  if (getsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &buffer, &length) != 0) throw_errno("getsockopt");
  made.fairness = {{"kernel_buffer_bytes", buffer}, {"chunk_bytes", setting.chunk_bytes}};
  return made;
}

std::vector<RawSetting> PipeQueueRaw::settings(std::size_t /*message_bytes*/) {
  return {{.buffer_bytes = 0}, {.buffer_bytes = 1U << 20U}};
}

PipeQueueRaw PipeQueueRaw::make(std::size_t /*message_bytes*/, const RawSetting& setting) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
  PipeQueueRaw made = {.in = std::make_shared<Fd>(ends[0]),
                       .out = std::make_shared<Fd>(ends[1]),
                       .locks = make_queue_locks(),
                       .fairness = {}};
  // EPERM: the user's share of pipe pages is used up; the capacity read back says what the loop had.
  if (setting.buffer_bytes > 0 && fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(setting.buffer_bytes)) < 0 &&
      errno != EPERM) {
    throw_errno("fcntl F_SETPIPE_SZ");
  }
  made.fairness = {{"kernel_buffer_bytes", fcntl(ends[1], F_GETPIPE_SZ)}};
  return made;
}

void PipeQueueRaw::write_all(ByteView message) const {
  auto length = static_cast<std::uint32_t>(message.size());
  const std::array<iovec, 2> whole = {
      {{.iov_base = &length, .iov_len = sizeof length},
       {.iov_base = const_cast<std::byte*>(message.data()), .iov_len = message.size()}}};
  ssize_t sent = writev(out->get(), whole.data(), static_cast<int>(whole.size()));
  if (sent < 0) throw_errno("writev");
  // Under the lock, the length is always part of what the first call has written: it leaves nothing less than a page.
  message = message.subspan(static_cast<std::size_t>(sent) - sizeof length);
  while (!message.empty()) {
    sent = ::write(out->get(), message.data(), message.size());
    if (sent < 0) throw_errno("write");
    message = message.subspan(static_cast<std::size_t>(sent));
  }
}

void PipeQueueRaw::read_all(ByteSpan buffer) const {
  while (!buffer.empty()) {
    const ssize_t got = ::read(in->get(), buffer.data(), buffer.size());
    if (got <= 0) throw_errno("read");
    buffer = buffer.subspan(static_cast<std::size_t>(got));
  }
}

std::vector<RawSetting> BoostQueueRaw::settings(std::size_t message_bytes) {
  constexpr std::size_t kMemory = 8U << 20U;
  std::vector<RawSetting> settings;
  for (const std::size_t depth : {std::size_t{32}, std::size_t{1024}}) {
    const std::size_t fits = std::clamp<std::size_t>(kMemory / message_bytes, 2, depth);
    if (settings.empty() || settings.back().buffer_bytes != fits) settings.push_back({.buffer_bytes = fits});
  }
  return settings;
}

BoostQueueRaw BoostQueueRaw::make(std::size_t message_bytes, const RawSetting& setting) {
  return {.queue = make_boost_queue(setting.buffer_bytes, message_bytes),
          .fairness = {{"depth", setting.buffer_bytes}, {"max_message_bytes", message_bytes}}};
}

}  // namespace crucible::bench
