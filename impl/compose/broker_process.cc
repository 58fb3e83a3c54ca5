#include "compose/broker_process.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <exception>
#include <system_error>
#include <utility>
#include <vector>

#include "api/codec.h"
#include "core/descriptors.h"
#include "core/family.h"
#include "core/gate.h"
#include "core/wait.h"

extern "C" {  // glibc 2.36 declares these functions without it
#include <sys/pidfd.h>
}

namespace crucible {
namespace {

constexpr auto kPatience = std::chrono::seconds(1);
constexpr std::size_t kLongestReport = 4096;
constexpr char kEnd = '!';  // what the creator says, instead of asking

/// What a broker says when it has started, or why it has not.
struct Report {
  pid_t pid = 0;
  std::string address = {};  ///< empty: it failed
  Status status = Status::kOk;
  int error = 0;  ///< of a std::system_error
  std::string what = {};
};

void send_report(int to, const Report& report) {
  const Encoded bytes = encode(std::tuple(static_cast<std::int64_t>(report.pid), report.address,
                                          static_cast<int>(report.status), report.error, report.what));
  const ByteView view = bytes.view();
  while (::send(to, view.data(), std::min(view.size(), kLongestReport), MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

Report receive_report(int from) {
  std::array<std::byte, kLongestReport> bytes;
  ssize_t count = -1;
  while ((count = ::recv(from, bytes.data(), bytes.size(), 0)) < 0 && errno == EINTR) {
  }
  if (count <= 0) throw Broken("the broker process ended at its start");
  auto [pid, address, status, error, what] = decode<std::tuple<std::int64_t, std::string, int, int, std::string>>(
      ByteView(bytes).first(static_cast<std::size_t>(count)));
  return {.pid = static_cast<pid_t>(pid),
          .address = std::move(address),
          .status = static_cast<Status>(status),
          .error = error,
          .what = std::move(what)};
}

Report failure(const std::exception& error) {
  Report report = {.status = Status::kBroken, .what = std::string(error.what()).substr(0, kLongestReport / 2)};
  if (const auto* system = dynamic_cast<const std::system_error*>(&error)) report.error = system->code().value();
  if (dynamic_cast<const BadArgument*>(&error) != nullptr) report.status = Status::kBadArgument;
  if (dynamic_cast<const Exists*>(&error) != nullptr) report.status = Status::kExists;
  return report;
}

// As the broker threw it; the texts begin with what the exception types put there themselves.
[[noreturn]] void rethrow(const Report& report) {
  const std::size_t colon = report.what.find(": ");
  const std::string text = report.what.substr(0, report.error != 0 ? report.what.rfind(": ") : std::string::npos);
  if (report.error != 0) throw std::system_error(report.error, std::generic_category(), text);
  throw_status(report.status, (colon == std::string::npos ? text : text.substr(colon + 2)).c_str());
}

// The application's handlers are no business of the broker's; its creator's terminal is not either.
void reset_signals() {
  for (int signal = 1; signal < NSIG; ++signal) {
    if (signal != wake_signal()) std::signal(signal, SIG_DFL);
  }
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

void close_standard() {
  for (int standard = STDIN_FILENO; standard <= STDERR_FILENO; ++standard) ::close(standard);
  for (int standard = ::open("/dev/null", O_RDWR); standard >= 0 && standard < 2;) standard = ::dup(standard);
}

void raise_descriptor_limit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Fd above_standard(int descriptor) {
  constexpr int kFirst = 3;
  Fd copy(::fcntl(descriptor, F_DUPFD_CLOEXEC, kFirst));
  if (!copy) throw_errno("fcntl(F_DUPFD_CLOEXEC)");
  return copy;
}

[[noreturn]] void run_broker(const char* name, const Fd& family, const Fd& creator,
                             const std::function<void(BrokerProcess::Duty&)>& body) {
  int code = 1;
  try {
    BrokerProcess::Duty duty(above_standard(family.get()), above_standard(creator.get()));
    Family::get().become_broker(duty.family(), duty.creator());  // what is open keeps somebody's end of file away
    close_standard();
    reset_signals();
    raise_descriptor_limit();
    (void)!::chdir("/");
    ::prctl(PR_SET_NAME, name);
    try {
      body(duty);
      code = 0;
    } catch (const std::exception& error) {
      if (!duty.has_reported()) send_report(duty.creator(), failure(error));
    }
    _exit(code);
  } catch (const std::exception& error) {
    send_report(creator.get(), failure(error));
  }
  _exit(code);
}

std::pair<Fd, Fd> socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("socketpair");
  return {Fd(ends[0]), Fd(ends[1])};
}

bool polls_readable(int descriptor) {
  pollfd slot = {.fd = descriptor, .events = POLLIN, .revents = 0};
  return sleep_on({&slot, 1}, Deadline::immediate()) == Wake::kReady;
}

}  // namespace

BrokerProcess::BrokerProcess(const char* name, const std::function<void(Duty&)>& body) {
  auto [family, brokers_family] = socket_pair();
  auto [broker, brokers_creator] = socket_pair();
  sigset_t all;
  sigset_t mask;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &mask);  // no handler of the application's runs in the broker
  const pid_t child = ::fork();
  if (child == 0) {
    const pid_t grandchild = ::fork();
    if (grandchild == 0) run_broker(name, brokers_family, brokers_creator, body);
    if (grandchild < 0) {
      send_report(brokers_creator.get(), failure(std::system_error(errno, std::generic_category(), "fork")));
    }
    _exit(0);
  }
  const int error = errno;
  if (child > 0) {
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  errno = error;
  if (child < 0) throw_errno("fork");
  brokers_creator.reset();
  Report report = receive_report(broker.get());
  if (report.address.empty()) rethrow(report);
  process_ = Fd(::pidfd_open(report.pid, 0));
  if (!process_ && errno != ESRCH) throw_errno("pidfd_open");
  pid_ = report.pid;
  address_ = std::move(report.address);
  broker_ = std::move(broker);
  family_ = std::move(family);
}

bool BrokerProcess::tell(ByteView word, int descriptor) noexcept {
  std::array<iovec, 1> part = {{{const_cast<std::byte*>(word.data()), word.size()}}};
  return family_ && send_with_descriptors(family_.get(), part, {&descriptor, 1}, MSG_DONTWAIT) >= 0;
}

bool BrokerProcess::is_gone() const { return !family_ || polls_readable(family_.get()); }

void BrokerProcess::let_go() noexcept {
  family_.reset();
  const Fd broker = std::move(broker_);
  const Fd process = std::move(process_);
  if (!broker || !process) return;
  const Deadline deadline = Deadline::after(kPatience);
  const char question = '?';
  char reply = 0;
  (void)!::send(broker.get(), &question, sizeof question, MSG_NOSIGNAL | MSG_DONTWAIT);
  try {
    for (const int descriptor : {broker.get(), process.get()}) {
      pollfd slot = {.fd = descriptor, .events = POLLIN, .revents = 0};
      while (sleep_on({&slot, 1}, deadline) != Wake::kReady) {
        if (deadline.has_passed()) return;
      }
      if (descriptor == broker.get() && ::recv(descriptor, &reply, sizeof reply, MSG_DONTWAIT) > 0) return;
    }
  } catch (const std::system_error&) {
    return;
  }
  // It is this process's child after all where orphans are.
  ::waitid(P_PIDFD, static_cast<id_t>(process.get()), nullptr, WEXITED | WNOHANG);
}

void BrokerProcess::end(std::chrono::milliseconds patience) noexcept {
  family_.reset();
  const Fd broker = std::move(broker_);
  const Fd process = std::move(process_);
  if (!broker || !process) return;
  (void)!::send(broker.get(), &kEnd, sizeof kEnd, MSG_NOSIGNAL | MSG_DONTWAIT);
  const auto has_ended = [&process](Deadline deadline) {
    pollfd slot = {.fd = process.get(), .events = POLLIN, .revents = 0};
    try {
      while (sleep_on({&slot, 1}, deadline) != Wake::kReady) {
        if (deadline.has_passed()) return false;
      }
    } catch (const std::system_error&) {
      return false;
    }
    return true;
  };
  for (const int signal : {SIGTERM, SIGKILL}) {
    if (has_ended(Deadline::after(patience))) break;
    (void)::pidfd_send_signal(process.get(), signal, nullptr, 0);
  }
  (void)has_ended(Deadline::after(patience));
  // It is this process's child after all where orphans are.
  ::waitid(P_PIDFD, static_cast<id_t>(process.get()), nullptr, WEXITED | WNOHANG);
}

void BrokerProcess::become_copy() noexcept {
  broker_.reset();
  process_.reset();
}

void BrokerProcess::Duty::report(const std::string& address) {
  has_reported_ = true;
  send_report(creator_.get(), {.pid = ::getpid(), .address = address});
}

bool BrokerProcess::Duty::has_family() const {
  char word = 0;
  const ssize_t count = ::recv(family_.get(), &word, sizeof word, MSG_PEEK | MSG_DONTWAIT);
  return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

bool BrokerProcess::Duty::hear(Bytes& word, Fd& descriptor) {
  word.resize(kLongestWord);
  std::array<iovec, 1> part = {{{word.data(), word.size()}}};
  std::vector<int> descriptors;
  const ssize_t count = receive_with_descriptors(family_.get(), part, descriptors, MSG_DONTWAIT);
  for (const int received : descriptors) descriptor = Fd(received);
  if (count <= 0) return count < 0 && errno != EAGAIN && errno != ECONNRESET && hear(word, descriptor);
  word.resize(static_cast<std::size_t>(count));
  return true;
}

bool BrokerProcess::Duty::answer(bool stays) noexcept {
  char question = 0;
  if (::recv(creator_.get(), &question, sizeof question, MSG_DONTWAIT) <= 0) return false;
  is_told_to_end_ = is_told_to_end_ || question == kEnd;
  if (stays) (void)!::send(creator_.get(), &question, sizeof question, MSG_NOSIGNAL | MSG_DONTWAIT);
  return true;
}

}  // namespace crucible
