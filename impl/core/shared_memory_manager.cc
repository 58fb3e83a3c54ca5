#include "core/shared_memory_manager.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

#include "api/codec.h"
#include "core/descriptors.h"
#include "core/shared_name.h"
#include "core/wait.h"

namespace crucible {

namespace {

constexpr std::size_t kLongestRequest = 512;  // two short texts

std::pair<Fd, Fd> socket_pair() {
  std::array<int, 2> ends = {};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) throw_errno("socketpair");
  return {Fd(ends[0]), Fd(ends[1])};
}

// Waits until one of two descriptors shows something. Whether it is the first.
bool first_is_ready(int first, short events, int second) {
  while (true) {
    std::array<pollfd, 2> slots = {{{first, events, 0}, {second, POLLIN, 0}}};
    if (sleep_on(slots, Deadline::never()) == Wake::kReady) return slots[0].revents != 0;
  }
}

// What the server inherited and does not need would keep alive whatever its parent gives up.
void close_all_but(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned first = STDERR_FILENO + 1;
  for (const int descriptor : kept) {
    const auto number = static_cast<unsigned>(descriptor);
    if (number > first) ::close_range(first, number - 1, 0);
    first = std::max(first, number + 1);
  }
  ::close_range(first, ~0U, 0);
}

class Server {
 public:
  explicit Server(Fd channel) : channel_(std::move(channel)) {
    std::signal(SIGINT, SIG_IGN);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigset_t asked_to_end;
    ::sigemptyset(&asked_to_end);
    ::sigaddset(&asked_to_end, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &asked_to_end, nullptr);
    close_all_but({channel_.get(), parent_process()->sentinel()});
    end_ = Fd(::signalfd(-1, &asked_to_end, SFD_CLOEXEC));
    if (!end_) throw_errno("signalfd");
  }

  void serve() {
    while (parent_process()->is_alive() && first_is_ready(channel_.get(), POLLIN, end_.get()) && answer_one()) {
    }
    for (const auto& segment : kept_) {
      try {
        segment->unlink();
      } catch (const NotFound&) {  // somebody did it before
      }
    }
  }

 private:
  // Whether there may be more.
  bool answer_one() {
    std::array<std::byte, kLongestRequest> buffer = {};
    std::array<iovec, 1> part = {{{buffer.data(), buffer.size()}}};
    std::vector<int> descriptors;
    const ssize_t length = receive_with_descriptors(channel_.get(), part, descriptors, MSG_DONTWAIT);
    if (length == 0) return false;  // nobody is left who could ask
    if (length < 0) return true;    // what could not be received is answered by the end of its socket
    std::vector<Fd> answers;
    for (const int descriptor : descriptors) answers.emplace_back(descriptor);
    if (answers.size() != 1) return true;
    const int error = keep(decode<SharedMemory::Handle>(ByteView(buffer).first(static_cast<std::size_t>(length))));
    (void)!::send(answers.front().get(), &error, sizeof error, MSG_NOSIGNAL);
    return true;
  }

  int keep(const SharedMemory::Handle& segment) {
    try {
      kept_.push_back(SharedName::open(segment.name, false, segment.id));
      return 0;
    } catch (const std::system_error& error) {
      return error.code().value();
    } catch (const Error&) {
      return ENOENT;
    }
  }

  Fd channel_;
  Fd end_;
  std::vector<std::unique_ptr<SharedName>> kept_;
};

}  // namespace

void SharedMemoryManager::start() {
  const std::lock_guard lock(mutex_);
  if (starter_ != 0) throw StateError("start: it was started before");
  auto [here, there] = socket_pair();
  auto server = std::make_unique<Process>([end = there.get()] { Server(Fd(end)).serve(); });
  server->set_name("SharedMemoryManager");
  server->set_daemon(true);
  server->set_start_method("fork");
  server->start();
  there.reset();
  Fd lifetime(::fcntl(server->sentinel(), F_DUPFD_CLOEXEC, 0));
  if (!lifetime) {
    server->kill();
    throw_errno("fcntl(F_DUPFD_CLOEXEC)");
  }
  server_ = std::move(server);
  channel_ = std::move(here);
  lifetime_ = std::move(lifetime);
  starter_ = ::getpid();
}

void SharedMemoryManager::require_running() const {
  if (starter_ == 0) throw StateError("a shared memory manager: start() comes first");
  if (ended_) throw Closed("a shared memory manager");
}

void SharedMemoryManager::keep(const SharedMemory::Handle& handle) {
  const auto ended = [] { throw Broken("the server of a shared memory manager has ended"); };
  auto [answer, question] = socket_pair();
  const Encoded packet = encode(handle);
  std::array<iovec, 1> part = {{{const_cast<std::byte*>(packet.view().data()), packet.view().size()}}};
  const int descriptor = question.get();
  while (send_with_descriptors(channel_.get(), part, {&descriptor, 1}, MSG_DONTWAIT) < 0) {
    if (errno == EPIPE || errno == ECONNRESET) ended();
    if (errno != EAGAIN && errno != EINTR) throw_errno("sendmsg");
    if (!first_is_ready(channel_.get(), POLLOUT, lifetime_.get())) ended();
  }
  question.reset();
  (void)first_is_ready(answer.get(), POLLIN, lifetime_.get());
  int error = 0;  // also when the server has ended: its last word may be there
  if (::recv(answer.get(), &error, sizeof error, MSG_DONTWAIT) != sizeof error) ended();
  if (error != 0) throw std::system_error(error, std::generic_category(), "the server of a shared memory manager");
}

std::unique_ptr<SharedMemory> SharedMemoryManager::shared_memory(std::size_t bytes) {
  require_running();
  std::unique_ptr<SharedMemory> made(new SharedMemory(SharedMemory::create(bytes)));
  keep(made->handle());
  return made;
}

std::unique_ptr<ShareableList> SharedMemoryManager::shareable_list(std::span<const Object> items) {
  require_running();
  std::unique_ptr<ShareableList> made(new ShareableList(ShareableList::create(items)));
  keep(made->handle());
  return made;
}

void SharedMemoryManager::shutdown() {
  if (starter_ != ::getpid()) throw StateError("shutdown: of the process that started it");
  const std::lock_guard lock(mutex_);
  if (ended_.exchange(true)) return;
  server_->terminate();
  if (!server_->join_for(kPatience)) server_->kill();
  server_->join();
  if (server_->exit_code() != 0) SharedName::sweep();
  server_->close();
}

SharedMemoryManager::~SharedMemoryManager() {
  if (starter_ == ::getpid()) shutdown();
}

std::optional<pid_t> SharedMemoryManager::pid() const {
  const std::lock_guard lock(mutex_);
  return server_ == nullptr || ended_ ? std::nullopt : server_->pid();
}

}  // namespace crucible
