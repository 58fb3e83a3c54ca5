#include "support/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include "api/status.h"
#include "support/payload.h"
#include "support/placement.h"

namespace crucible::bench {
namespace {

std::pair<Fd, Fd> control_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe2");
  return {Fd(ends[0]), Fd(ends[1])};
}

/// False at end of file. What is smaller than PIPE_BUF travels whole.
template <class T>
bool read_whole(int descriptor, T& value) {
  ssize_t got;
  do {
    got = read(descriptor, &value, sizeof value);
  } while (got < 0 && errno == EINTR);
  if (got < 0) throw_errno("read");
  return got == sizeof value;
}

template <class T>
bool write_whole(int descriptor, const T& value) {
  return write(descriptor, &value, sizeof value) == sizeof value;
}

[[noreturn]] void run_worker(pid_t parent, std::optional<int> cpu, Post post, const std::function<void(Post&)>& serve) {
  int status = EXIT_SUCCESS;
  try {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(EXIT_FAILURE);
    if (cpu) pin(*cpu);
    serve(post);
  } catch (const VerificationError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    status = kVerificationStatus;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "benchmark worker: %s\n", error.what());
    status = EXIT_FAILURE;
  }
  _exit(status);
}

}  // namespace

std::uint64_t Post::next_block() {
  std::uint64_t operations = 0;
  return read_whole(orders_, operations) ? operations : 0;
}

void Post::answer(const Answer& answer) {
  if (!write_whole(answers_, answer)) throw_errno("write");
}

Worker::Worker(std::optional<int> cpu, const std::function<void(Post&)>& serve) {
  std::signal(SIGPIPE, SIG_IGN);  // a dead worker is an error to report, not the end of this process
  auto [order_source, order_sink] = control_pipe();
  auto [answer_source, answer_sink] = control_pipe();
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) throw_errno("fork");
  if (pid_ == 0) {
    order_sink.reset();
    answer_source.reset();
    run_worker(parent, cpu, Post(order_source.get(), answer_sink.get()), serve);
  }
  orders_ = std::move(order_sink);
  answers_ = std::move(answer_source);
}

Worker::~Worker() {
  if (pid_ < 0) return;
  const std::uint64_t end = 0;
  if (!write_whole(orders_.get(), end) || !hangs_up()) kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Worker::order(std::uint64_t operations) {
  if (!write_whole(orders_.get(), operations)) report_death();
}

Answer Worker::await() {
  Answer answer;
  if (!read_whole(answers_.get(), answer)) report_death();
  return answer;
}

void Worker::abandon() noexcept {
  if (pid_ >= 0) kill(pid_, SIGKILL);
}

std::int64_t Worker::cpu_ns() const {
  clockid_t clock = {};
  if (const int error = clock_getcpuclockid(pid_, &clock); error != 0) {
    errno = error;
    throw_errno("clock_getcpuclockid");
  }
  return clock_ns(clock);
}

void Worker::blame() {
  if (pid_ >= 0 && hangs_up()) report_death();
}

bool Worker::hangs_up() const {
  constexpr int kPatienceMs = 1000;
  pollfd slot{.fd = answers_.get(), .events = 0, .revents = 0};
  return poll(&slot, 1, kPatienceMs) == 1;
}

void Worker::report_death() {
  int status = 0;
  waitpid(std::exchange(pid_, -1), &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kVerificationStatus) {
    throw VerificationError("verification failed in the worker process");
  }
  throw std::runtime_error("the worker process ended with wait status " + std::to_string(status));
}

}  // namespace crucible::bench
