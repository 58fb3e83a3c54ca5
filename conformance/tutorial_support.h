// What the tests of the tutorial programs share.
#pragma once

#include <unistd.h>

#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "conformance/support/capture.h"
#include "conformance/support/peer.h"

namespace crucible::testing {

/// What `program`, as a process of its own, writes to stdout.
inline std::string output_of(const std::function<void()>& program) {
  Capture capture;
  Peer running([&] {
    capture.replace(STDOUT_FILENO);
    program();
  });
  std::string text = capture.text();
  running.join();
  return text;
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace crucible::testing
