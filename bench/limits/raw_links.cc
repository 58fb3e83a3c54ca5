// How the links of the bare loops are made: what is settled before the clock starts.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <cerrno>
#include <set>

#include "limits/pipe_raw.h"
#include "limits/tcp_raw.h"
#include "limits/unix_raw.h"

namespace crucible::bench {

namespace {

std::pair<Fd, Fd> make_pipe(const RawSetting& setting) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe2");
  // EPERM: the user's share of pipe pages is used up; the capacity read back says what the loop had.
  if (setting.buffer_bytes > 0 && fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(setting.buffer_bytes)) < 0 &&
      errno != EPERM) {
    throw_errno("fcntl F_SETPIPE_SZ");
  }
  return {Fd(ends[0]), Fd(ends[1])};
}

}  // namespace

Link<PipeRaw> PipeRaw::make(const RawSetting& setting) {
  auto [in_here, out_there] = make_pipe(setting);
  auto [in_there, out_here] = make_pipe(setting);
  const int capacity = fcntl(out_here.get(), F_GETPIPE_SZ);
  return {PipeRaw{std::move(in_here), std::move(out_here), setting.chunk_bytes},
          PipeRaw{std::move(in_there), std::move(out_there), setting.chunk_bytes},
          {{"kernel_buffer_bytes", capacity}, {"chunk_bytes", setting.chunk_bytes}}};
}

std::vector<RawSetting> PipeRaw::settings(std::size_t message_bytes, std::size_t /*subject_buffer*/) {
  std::vector<RawSetting> settings;
  for (const std::size_t buffer : {0U, 256U << 10U, 1U << 20U}) {
    for (const std::size_t chunk : std::set<std::size_t>{message_bytes, 64U << 10U, 256U << 10U}) {
      if (chunk <= message_bytes) settings.push_back({.buffer_bytes = buffer, .chunk_bytes = chunk});
    }
  }
  return settings;
}

Link<UnixRaw> UnixRaw::make(const RawSetting& setting) {
  std::array<int, 2> ends{};
  const int type = (setting.stream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC;
  if (socketpair(AF_UNIX, type, 0, ends.data()) != 0) throw_errno("socketpair");
  int buffer = 0;
  for (const int end : ends) {
    const int wanted = static_cast<int>(setting.buffer_bytes);
    if (wanted > 0 && setsockopt(end, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted) != 0) throw_errno("setsockopt");
    socklen_t length = sizeof buffer;
    if (getsockopt(end, SOL_SOCKET, SO_SNDBUF, &buffer, &length) != 0) throw_errno("getsockopt");
  }
  return {UnixRaw{Fd(ends[0]), setting.chunk_bytes},
          UnixRaw{Fd(ends[1]), setting.chunk_bytes},
          {{"kernel_buffer_bytes", buffer},
           {"chunk_bytes", setting.chunk_bytes},
           {"socket", setting.stream ? "SOCK_STREAM" : "SOCK_SEQPACKET"}}};
}

std::vector<RawSetting> UnixRaw::settings(std::size_t message_bytes, std::size_t subject_buffer) {
  constexpr std::size_t kLargestPacket = 64U << 10U;  // fits every system's default buffer
  constexpr std::size_t kLargeBuffer = 2U << 20U;
  std::vector<RawSetting> settings;
  // The kernel doubles what it is asked for and reports the double.
  for (const std::size_t buffer : {std::size_t{0}, std::max(subject_buffer / 2, kLargeBuffer)}) {
    settings.push_back({.buffer_bytes = buffer, .chunk_bytes = std::min(message_bytes, kLargestPacket)});
    if (message_bytes <= kLargestPacket / 2) continue;
    settings.push_back({.buffer_bytes = buffer, .chunk_bytes = kLargestPacket / 2});
    for (const std::size_t chunk : std::set<std::size_t>{message_bytes, 64U << 10U, 256U << 10U}) {
      if (chunk <= message_bytes) settings.push_back({.buffer_bytes = buffer, .chunk_bytes = chunk, .stream = true});
    }
  }
  return settings;
}

namespace {

void set_socket(const Fd& socket, int level, int option, int value) {
  if (setsockopt(socket.get(), level, option, &value, sizeof value) != 0) throw_errno("setsockopt");
}

Fd tcp_socket(std::size_t buffer) {
  Fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!made) throw_errno("socket");
  if (buffer > 0) {
    set_socket(made, SOL_SOCKET, SO_SNDBUF, static_cast<int>(buffer));
    set_socket(made, SOL_SOCKET, SO_RCVBUF, static_cast<int>(buffer));
  }
  return made;
}

}  // namespace

Link<TcpRaw> TcpRaw::make(const RawSetting& setting) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof address;
  const Fd listener = tcp_socket(setting.buffer_bytes);
  if (bind(listener.get(), name, length) != 0 || listen(listener.get(), 1) != 0 ||
      getsockname(listener.get(), name, &length) != 0) {
    throw_errno("listen");
  }
  Fd here = tcp_socket(setting.buffer_bytes);
  if (connect(here.get(), name, length) != 0) throw_errno("connect");
  Fd there(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!there) throw_errno("accept4");
  for (const Fd* end : {&here, &there}) set_socket(*end, IPPROTO_TCP, TCP_NODELAY, 1);
  int buffer = 0;
  length = sizeof buffer;
  if (getsockopt(here.get(), SOL_SOCKET, SO_SNDBUF, &buffer, &length) != 0) throw_errno("getsockopt");
  return {TcpRaw{std::move(here), setting.chunk_bytes},
          TcpRaw{std::move(there), setting.chunk_bytes},
          {{"kernel_buffer_bytes", buffer},
           {"buffers", setting.buffer_bytes == 0 ? "sized by the kernel" : "fixed"},
           {"chunk_bytes", setting.chunk_bytes}}};
}

std::vector<RawSetting> TcpRaw::settings(std::size_t message_bytes, std::size_t /*subject_buffer*/) {
  std::vector<RawSetting> settings;
  for (const std::size_t buffer : {0U, 256U << 10U, 1U << 20U, 4U << 20U}) {
    for (const std::size_t chunk : std::set<std::size_t>{message_bytes, 64U << 10U, 256U << 10U}) {
      if (chunk <= message_bytes) settings.push_back({.buffer_bytes = buffer, .chunk_bytes = chunk});
    }
  }
  return settings;
}

}  // namespace crucible::bench
