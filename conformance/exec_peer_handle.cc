#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "api/status.h"
#include "conformance/exec_peer.h"

namespace crucible::testing {

ExecPeer::ExecPeer(std::string_view mechanism, const std::string& address) {
  std::array<int, 2> ends = {};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) throw_errno("socketpair");
  wire_ = Fd(ends[0]);
  const Fd theirs(ends[1]);
  const Fd memory(::memfd_create("progress", MFD_CLOEXEC));
  if (!memory || ::ftruncate(memory.get(), sizeof(Progress)) != 0) throw_errno("memfd_create");
  void* const mapped = ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (mapped == MAP_FAILED) throw_errno("mmap");
  progress_ = static_cast<Progress*>(mapped);

  // Its orders are its standard input, its progress is its next free descriptor.
  const Fd wire_out_of_the_way(::fcntl(theirs.get(), F_DUPFD_CLOEXEC, 10));
  const Fd memory_out_of_the_way(::fcntl(memory.get(), F_DUPFD_CLOEXEC, 10));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, wire_out_of_the_way.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, memory_out_of_the_way.get(), 3);
  std::string name(mechanism);
  std::string place = address;
  std::string program = CRUCIBLE_EXEC_PEER;
  const std::array<char*, 4> arguments = {program.data(), name.data(), place.data(), nullptr};
  const int error = ::posix_spawn(&pid_, CRUCIBLE_EXEC_PEER, &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    errno = error;
    throw_errno("posix_spawn");
  }
}

ExecPeer::~ExecPeer() {
  kill(SIGKILL);
  (void)wait_status();
  ::munmap(progress_, sizeof(Progress));
}

void ExecPeer::tell(const std::string& order) {
  if (::send(wire_.get(), order.data(), order.size(), MSG_NOSIGNAL) < 0) throw_errno("send");
}

std::string ExecPeer::hear() {
  std::string answer(1024, '\0');
  ssize_t length = -1;
  while ((length = ::recv(wire_.get(), answer.data(), answer.size(), 0)) < 0 && errno == EINTR) {
  }
  answer.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return answer;
}

int ExecPeer::wait_status() {
  while (!collected_) collected_ = ::waitpid(pid_, &status_, 0) == pid_;
  return status_;
}

void ExecPeer::kill(int signal) {
  if (!collected_) ::kill(pid_, signal);
}

}  // namespace crucible::testing
