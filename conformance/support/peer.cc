#include "conformance/support/peer.h"

#include <cxxabi.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <string_view>

#include "api/status.h"
#include "conformance/support/watchdog.h"

namespace crucible::testing {

// Failures travel through memory and not through a descriptor: it survives a kill, and neither shows in the tests'
// counts of descriptors nor waits for a grandchild that holds a copy.
struct Peer::Journal {
  static constexpr std::size_t kSize = 64 * 1024;
  std::atomic<std::size_t> used = 0;
  std::array<char, kSize> text = {};

  void append(std::string_view file, int line, std::string_view message) {
    const std::string entry = std::string(file) + '\0' + std::to_string(line) + '\0' + std::string(message) + '\0';
    const std::size_t at = used.fetch_add(entry.size());
    if (at + entry.size() <= kSize) std::ranges::copy(entry, text.begin() + static_cast<std::ptrdiff_t>(at));
  }
};

namespace {

using Sink = std::function<void(std::string_view file, int line, std::string_view message)>;

// Replaces the child's output listener; one per process, hence the static.
class Forwarder : public ::testing::EmptyTestEventListener {
 public:
  static void install(Sink sink) {
    static Forwarder* installed = nullptr;
    if (installed == nullptr) {
      ::testing::TestEventListeners& listeners = ::testing::UnitTest::GetInstance()->listeners();
      delete listeners.Release(listeners.default_result_printer());
      installed = new Forwarder;
      listeners.Append(installed);
    }
    installed->sink_ = std::move(sink);
  }

 private:
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (!result.failed()) return;
    sink_(result.file_name() == nullptr ? "unknown file" : result.file_name(), result.line_number(), result.message());
  }

  Sink sink_;
};

std::string exception_name() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (type == nullptr) return "an exception";
  int status = 0;
  char* readable = abi::__cxa_demangle(type->name(), nullptr, nullptr, &status);
  std::string name = status == 0 ? readable : type->name();
  std::free(readable);
  return name;
}

}  // namespace

Peer::Peer() {
  void* memory = ::mmap(nullptr, sizeof(Journal), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw_errno("mmap");
  journal_ = new (memory) Journal;
}

bool Peer::fork_child() {
  std::fflush(nullptr);
  std::cout.flush();
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) {
    const int error = errno;
    ::munmap(journal_, sizeof(Journal));
    errno = error;
    throw_errno("fork");
  }
  if (pid_ > 0) return false;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before the line above
  pid_ = ::getpid();
  return true;
}

void Peer::run_child(const std::function<void()>& body) {
  Forwarder::install(
      [this](std::string_view file, int line, std::string_view message) { journal_->append(file, line, message); });
  try {
    body();
  } catch (const std::exception& error) {
    journal_->append("uncaught", 0, exception_name() + ": " + error.what());
  } catch (...) {
    journal_->append("uncaught", 0, exception_name());
  }
  std::fflush(nullptr);
  std::cout.flush();
  ::_exit(0);
}

void Peer::collect() {
  if (collected_) return;
  while (::waitpid(pid_, &status_, 0) < 0) {
    if (errno == EINTR) continue;
    ADD_FAILURE() << "waitpid for peer " << pid_ << ": " << std::strerror(errno);
    break;
  }
  collected_ = true;
  const std::string last_phase = phase();
  const std::size_t used = std::min(journal_->used.load(), Journal::kSize);
  const char* at = journal_->text.data();
  const char* const end = at + used;
  const auto next = [&at, end] {
    const char* const stop = std::find(at, end, '\0');
    std::string field(at, stop);
    at = stop == end ? end : stop + 1;
    return field;
  };
  while (at < end) {
    const std::string file = next();
    const std::string line = next();
    const std::string message = next();
    reported_failures_ = true;
    ADD_FAILURE_AT(file.c_str(), std::atoi(line.c_str()))
        << "in peer " << pid_ << (last_phase.empty() ? "" : " [" + last_phase + "]") << ": " << message;
  }
  watchdog::forget(pid_);
}

int Peer::wait_status() {
  collect();
  joined_ = true;
  return status_;
}

void Peer::join() {
  if (joined_) return;
  const std::string last_phase = phase();
  (void)wait_status();
  if (killed_ || reported_failures_ || (WIFEXITED(status_) && WEXITSTATUS(status_) == 0)) return;
  ADD_FAILURE() << "peer " << pid_ << (last_phase.empty() ? "" : " [" + last_phase + "]") << " ended by "
                << (WIFSIGNALED(status_) ? "signal " : "exit code ")
                << (WIFSIGNALED(status_) ? WTERMSIG(status_) : WEXITSTATUS(status_));
}

void Peer::kill(int signal) {
  if (collected_) return;
  killed_ = true;
  ::kill(pid_, signal);
}

Peer::~Peer() {
  if (!joined_ && (::testing::Test::HasFailure() || std::uncaught_exceptions() > 0)) kill();
  join();
  ::munmap(journal_, sizeof(Journal));
}

std::string Peer::phase() const { return watchdog::note_of(pid_); }

void Peer::set_phase(const char* phase) { watchdog::note(phase); }

}  // namespace crucible::testing
