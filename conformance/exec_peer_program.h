// What the programs of ExecPeer share.
#pragma once

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <string>

#include "api/status.h"
#include "conformance/exec_peer.h"

namespace crucible::testing {

/// What the test reads as ExecPeer::progress().
inline ExecPeer::Progress* map_progress() {
  void* const mapped = ::mmap(nullptr, sizeof(ExecPeer::Progress), PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
  if (mapped == MAP_FAILED) throw_errno("mmap");
  ::close(3);
  return static_cast<ExecPeer::Progress*>(mapped);
}

/// Makes a Program of the mechanism and address that the arguments name, and lets it obey() orders until there are no
/// more.
template <class Program>
int serve(int argc, char** argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (argc != 3) return 2;
  Program program(argv[1], argv[2]);
  for (;;) {
    std::string order(1024, '\0');
    ssize_t length = -1;
    while ((length = ::recv(STDIN_FILENO, order.data(), order.size(), 0)) < 0 && errno == EINTR) {
    }
    if (length <= 0) return 0;  // also if the test was gone before the death signal was asked for
    order.resize(static_cast<std::size_t>(length));
    std::string answer;
    try {
      answer = program.obey(order);
    } catch (const std::exception& error) {
      answer = error.what();
    }
    if (::send(STDIN_FILENO, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return 2;
  }
}

}  // namespace crucible::testing
