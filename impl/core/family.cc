#include "core/family.h"

#include <cxxabi.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <thread>

#include "core/fork_registry.h"
#include "core/random.h"

namespace crucible {
namespace {

constexpr std::size_t kAuthkeyBytes = 32;
constexpr auto kGraceOfDaemons = std::chrono::seconds(1);

void before_fork() {
  Family& family = Family::get();
  if (family.fork_delegate != gettid()) family.mutex.lock();
}

void after_fork_in_parent() {
  Family& family = Family::get();
  if (family.fork_delegate != gettid()) family.mutex.unlock();
}

// The siblings and their sentinels are the parent's affair.
void after_fork_in_child() {
  Family& family = Family::get();
  family.fork_delegate = 0;
  family.mutex.unlock();  // whoever locked it for this fork goes on in the parent only
  family.parent_sentinel = std::move(family.own_sentinel);
  family.abandon_children();
}

}  // namespace

Family::Family() {
  self.name = "MainProcess";
  self.authkey.resize(kAuthkeyBytes);
  fill_randomly({reinterpret_cast<unsigned char*>(self.authkey.data()), self.authkey.size()});
}

Family& Family::get() {
  static Family* const family = [] {
    auto* created = new Family;
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    return created;
  }();
  return *family;
}

void Family::reap() {
  std::erase_if(children, [](Process* child) { return child->collect(); });
}

void Family::forget(const Process* process) {
  const std::lock_guard lock(mutex);
  std::erase(children, process);
}

void Family::become_broker(int first, int second) {
  is_broker = true;
  self.daemon = false;
  parent.reset();
  parent_sentinel.reset();
  close_others(first, second);
}

void close_others(int first, int second) noexcept {
  const auto low = static_cast<unsigned>(std::min(first, second));
  const auto high = static_cast<unsigned>(std::max(first, second));
  constexpr unsigned kFirst = STDERR_FILENO + 1;
  if (low > kFirst) ::close_range(kFirst, low - 1, 0);
  if (high > low + 1) ::close_range(low + 1, high - 1, 0);
  ::close_range(high + 1, ~0U, 0);
  for (void (*const empty)() : fork_registries()) empty();
}

void Family::abandon_children() noexcept {
  for (Process* child : children) child->sentinel_.reset();
  children.clear();
}

void Family::dissolve() {
  std::vector<Process*> left;
  {
    const std::lock_guard lock(mutex);
    reap();
    left = children;
  }
  for (Process* child : left) {
    if (child->daemon()) child->terminate();
  }
  for (Process* child : left) {
    if (child->daemon() && !child->join_for(kGraceOfDaemons)) child->kill();
    child->join();
  }
}

void Family::dissolve_at_exit() {
  if (exit_handler_registered) return;
  std::atexit([] { Family::get().dissolve(); });
  exit_handler_registered = true;
}

namespace {

// Runs jobs, one at a time, on a thread that nobody ends.
class LastingThread {
 public:
  static LastingThread& get() {
    static LastingThread* instance = nullptr;
    static pid_t owner = 0;
    if (owner != getpid()) {  // the thread of a parent does not exist here
      instance = new LastingThread;
      owner = getpid();
    }
    return *instance;
  }

  void run(const std::function<void()>& job) {
    std::unique_lock lock(mutex_);
    job_ = &job;
    changed_.notify_all();
    changed_.wait(lock, [this] { return job_ == nullptr; });
  }

 private:
  LastingThread() {
    std::thread([this] {
      std::unique_lock lock(mutex_);
      while (true) {
        changed_.wait(lock, [this] { return job_ != nullptr; });
        (*job_)();
        job_ = nullptr;
        changed_.notify_all();
      }
    }).detach();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void()>* job_ = nullptr;
};

std::string current_exception_text() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(type != nullptr ? type->name() : "", nullptr, nullptr, &status), &std::free);
  std::string text = name != nullptr ? name.get() : "an exception of unknown type";
  try {
    throw;
  } catch (const std::exception& error) {
    text += std::string(": ") + error.what();
  } catch (...) {  // not a std::exception: the type's name is all there is to say
  }
  return text;
}

}  // namespace

int outcome_of(const std::string& name, const std::function<int()>& body) {
  try {
    return body();
  } catch (...) {
    std::fprintf(stderr, "Process %s: uncaught %s\n", name.c_str(), current_exception_text().c_str());
    return 1;
  }
}

void run_on_lasting_thread(const std::function<void()>& job) { LastingThread::get().run(job); }

pid_t fork_from_lasting_thread(const std::function<void()>& in_child) {
  pid_t pid = -1;
  int error = 0;
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  Family& family = Family::get();
  run_on_lasting_thread([&] {
    family.fork_delegate = gettid();
    pid = fork();
    error = errno;
    if (pid == 0) {
      pthread_sigmask(SIG_SETMASK, &mask, nullptr);
      in_child();
    }
    family.fork_delegate = 0;
  });
  errno = error;
  return pid;
}

}  // namespace crucible
