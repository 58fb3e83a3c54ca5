#include "core/zygote.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "api/status.h"
#include "core/family.h"
#include "core/gate.h"
#include "core/wait.h"

extern "C" {  // glibc 2.36 declares these functions without it
#include <sys/pidfd.h>
}

namespace crucible {
namespace {

constexpr auto kPatience = std::chrono::seconds(2);

// The application's handlers are no business of tasks; the terminal's interrupt is the owner's alone.
void reset_signals() {
  for (int signal = 1; signal < NSIG; ++signal) {
    if (signal != wake_signal()) std::signal(signal, SIG_DFL);
  }
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
}

bool sleep_until_ready(int descriptor, Deadline deadline) {
  pollfd slot = {.fd = descriptor, .events = POLLIN, .revents = 0};
  while (sleep_on({&slot, 1}, deadline) != Wake::kReady) {
    if (deadline.has_passed()) return false;
  }
  return true;
}

}  // namespace

// The zygote's own side.
class Zygote::Duty {
 public:
  Duty(Fd socket, std::string child, const Body& body)
      : socket_(std::move(socket)), child_(std::move(child)), body_(body) {}

  [[noreturn]] void serve() {
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGCHLD);
    pthread_sigmask(SIG_SETMASK, &ends, nullptr);
    ends_ = Fd(::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK));
    const int owner = parent_process()->sentinel();
    while (ends_) {
      pollfd slots[] = {{.fd = socket_.get(), .events = POLLIN, .revents = 0},
                        {.fd = ends_.get(), .events = POLLIN, .revents = 0},
                        {.fd = owner, .events = POLLIN, .revents = 0}};
      if (sleep_on(slots, Deadline::never()) != Wake::kReady) continue;
      if (slots[2].revents != 0) break;
      if (slots[1].revents != 0) report_ends();
      if (slots[0].revents != 0 && !obey()) break;
    }
    for (const auto& [pid, id] : children_) ::kill(pid, SIGKILL);
    for (const auto& [pid, id] : children_) {
      while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    _exit(0);
  }

 private:
  void report(const News& news) const {
    while (::send(socket_.get(), &news, sizeof news, MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
  }

  // False: the owner wants no more of it.
  bool obey() {
    Order order;
    const ssize_t got = ::recv(socket_.get(), &order, sizeof order, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got != sizeof order) return false;
    if (order.kind == kStart) {
      start(order.id);
    } else {
      for (const auto& [pid, id] : children_) {
        if (id == order.id) ::kill(pid, order.signal);
      }
    }
    return true;
  }

  void start(std::uint64_t id) {
    const pid_t zygote = ::getpid();
    const pid_t pid = ::fork();
    if (pid == 0) run_child(zygote, id);
    if (pid < 0) {
      report({.kind = News::kNotStarted, .id = id, .number = errno});
      return;
    }
    children_[pid] = id;
    report({.kind = News::kStarted, .id = id, .number = pid});
  }

  [[noreturn]] void run_child(pid_t zygote, std::uint64_t id) {
    die_with(zygote);
    socket_.reset();
    ends_.reset();
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    Family& family = Family::get();
    family.self.name = child_ + "-" + std::to_string(id);
    family.identity += std::to_string(id) + ":";
    family.constructed = 0;
    ::prctl(PR_SET_NAME, child_.c_str());
    live_as_child([&] { return body_(id); });
  }

  void report_ends() {
    signalfd_siginfo ignored;
    while (::read(ends_.get(), &ignored, sizeof ignored) > 0) {
    }
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      const auto found = children_.find(pid);
      if (found == children_.end()) continue;  // adopted: a child of a child, where this process is asked to
      const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
      report({.kind = News::kEnded, .id = found->second, .number = code});
      children_.erase(found);
    }
  }

  Fd socket_;
  Fd ends_;  // readable when a child has ended
  std::string child_;
  const Body& body_;
  std::unordered_map<pid_t, std::uint64_t> children_;
};

namespace {

std::pair<Fd, Fd> socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("socketpair");
  return {Fd(ends[0]), Fd(ends[1])};
}

}  // namespace

void Zygote::serve(Fd socket, const char* name, std::string child, const Body& body) {
  reset_signals();
  ::prctl(PR_SET_NAME, name);
  Duty(std::move(socket), std::move(child), body).serve();
}

Zygote::Zygote(const Start& start) {
  auto [own, zygotes] = socket_pair();
  spawned_ = start(std::move(zygotes));
  socket_ = std::move(own);
  pid_ = spawned_->pid().value_or(0);
  process_ = Fd(::fcntl(spawned_->sentinel(), F_DUPFD_CLOEXEC, 0));
  if (!process_) throw_errno("fcntl(F_DUPFD_CLOEXEC)");
}

Zygote::Zygote(const char* name, std::string child, const std::function<void()>& let_go, Body body) {
  Family& family = Family::get();
  const std::lock_guard lock(family.mutex);
  if (family.self.daemon) throw StateError("a daemon may not have children");
  if (runs_before_init()) throw StateError("main() of a spawned process did not begin with crucible::init()");
  if (!family.own_sentinel) {
    family.own_sentinel = Fd(::pidfd_open(::getpid(), 0));
    if (!family.own_sentinel) throw_errno("pidfd_open");
  }
  auto [own_socket, zygotes_socket] = socket_pair();
  socket_ = std::move(own_socket);
  Fd zygotes = std::move(zygotes_socket);
  // Set aside, lest there be a zygote that could not be watched.
  Fd reserved(::fcntl(socket_.get(), F_DUPFD_CLOEXEC, 0));
  if (!reserved) throw_errno("fcntl(F_DUPFD_CLOEXEC)");
  flush_standard_streams();

  const pid_t owner = ::getpid();
  sigset_t all;
  sigset_t mask;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &mask);  // no handler of the application's runs in the zygote
  const auto live = [&] {
    die_with(owner);
    socket_.reset();
    reserved.reset();
    Family& own = Family::get();
    own.parent.emplace(owner, own.self.name, std::move(own.parent_sentinel));
    own.self.daemon = true;
    own.self.start_method = "fork";
    let_go();
    if (own.is_broker) close_others(zygotes.get(), own.parent->sentinel());
    serve(std::move(zygotes), name, std::move(child), body);
  };
  if (::gettid() != owner) {
    pid_ = fork_from_lasting_thread(live);
  } else {
    family.fork_delegate = ::gettid();
    pid_ = ::fork();
    if (pid_ == 0) live();
    family.fork_delegate = 0;
  }
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  errno = error;
  if (pid_ < 0) throw_errno("fork");
  reserved.reset();
  process_ = Fd(::pidfd_open(pid_, 0));
  if (!process_) gone_ = true;  // ended, and reaped by somebody else
}

void Zygote::ask(const Order& order) {
  unsent_.push_back(order);
  flush_orders();
}

void Zygote::flush_orders() {
  while (!unsent_.empty() && socket_) {
    const ssize_t sent = ::send(socket_.get(), &unsent_.front(), sizeof(Order), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) gone_ = true;
    unsent_.pop_front();
  }
}

std::optional<Zygote::News> Zygote::next() {
  flush_orders();
  News news = {};
  while (socket_) {
    const ssize_t got = ::recv(socket_.get(), &news, sizeof news, MSG_DONTWAIT);
    if (got == sizeof news) return news;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return std::nullopt;
    break;
  }
  gone_ = true;
  return std::nullopt;
}

void Zygote::end() noexcept {
  if (!process_) return;
  ::shutdown(socket_.get(), SHUT_RDWR);
  try {
    if (!sleep_until_ready(process_.get(), Deadline::after(kPatience))) {
      ::pidfd_send_signal(process_.get(), SIGKILL, nullptr, 0);
      (void)sleep_until_ready(process_.get(), Deadline::never());
    }
  } catch (const std::exception&) {  // poll(2) fails for want of memory only; then nobody waits
  }
  ::waitid(P_PIDFD, static_cast<id_t>(process_.get()), nullptr, WEXITED);
  spawned_.reset();
  gone_ = true;
  process_.reset();
  socket_.reset();
}

void Zygote::become_copy() noexcept {
  gone_ = true;
  std::ignore = spawned_.release();  // another process's
  process_.reset();
  socket_.reset();
}

bool Zygote::begin_wait(pollfd& slot) {
  if (!socket_) throw Closed("wait");
  slot.fd = socket_.get();
  slot.events = POLLIN;
  return false;
}

}  // namespace crucible
