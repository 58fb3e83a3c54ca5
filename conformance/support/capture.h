// What a child writes to its standard streams.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <string>

#include "api/status.h"
#include "core/fd.h"

namespace crucible::testing {

/// A pipe that a child makes its stdout or stderr; what it holds is all there once the child has ended.
class Capture {
 public:
  Capture() {
    std::array<int, 2> ends = {};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
    read_end_ = Fd(ends[0]);
    write_end_ = Fd(ends[1]);
  }

  /// In the child: from now on `descriptor` leads here.
  void replace(int descriptor) {
    if (::dup2(write_end_.get(), descriptor) < 0) throw_errno("dup2");
    write_end_.reset();
    read_end_.reset();
  }

  /// In the parent: all of it. Waits until every process that writes has ended.
  std::string text() {
    write_end_.reset();
    std::string all;
    std::array<char, 4096> part = {};
    for (ssize_t length = 0; (length = ::read(read_end_.get(), part.data(), part.size())) > 0;) {
      all.append(part.data(), static_cast<std::size_t>(length));
    }
    return all;
  }

 private:
  Fd read_end_;
  Fd write_end_;
};

}  // namespace crucible::testing
