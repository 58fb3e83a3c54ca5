// What a process holds, and processes without descriptors.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <vector>

#include "conformance/support/proc.h"
#include "core/fd.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CRUCIBLE_SANITIZED 1
#else
#define CRUCIBLE_SANITIZED 0
#endif

namespace crucible::testing {

/// Leaves this process exactly `count` descriptors to open.
class Exhaustion {
 public:
  explicit Exhaustion(std::size_t count) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit few = {.rlim_cur = 256, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
    for (int copy = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0); copy >= 0;
         copy = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) {
      held_.emplace_back(copy);
    }
    held_.resize(held_.size() - count);
  }
  Exhaustion(const Exhaustion&) = delete;
  Exhaustion& operator=(const Exhaustion&) = delete;
  ~Exhaustion() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_ = {};
  std::vector<Fd> held_;
};

inline std::size_t open_descriptors() { return proc::list_directory("/proc/self/fd").size(); }

struct Resources {
  std::size_t descriptors;
  std::size_t threads;
  long resident_kib;

  static Resources now() {
    const std::string status = proc::read_file("/proc/self/status");
    const std::size_t at = status.find("VmRSS:");
    return {open_descriptors(), proc::threads_of(::getpid()).size(), std::stol(status.substr(at + 6))};
  }
};

inline void expect_no_growth(const Resources& first, const Resources& second) {
  EXPECT_EQ(second.descriptors, first.descriptors);
  EXPECT_EQ(second.threads, first.threads);
  constexpr long kSlackKib = CRUCIBLE_SANITIZED ? 65'536 : 1'024;
  EXPECT_LT(second.resident_kib, first.resident_kib + kSlackKib);
}

}  // namespace crucible::testing
