// A benchmark program: options, Google Benchmark, the records file.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "support/case.h"

namespace crucible::bench {

/// What a program adds to Google Benchmark's own options.
struct Options {
  std::vector<std::size_t> sizes = {8, 64, 1024, 4096, 16384, 65536, 1U << 20U, 16U << 20U};
  static constexpr std::size_t kLargest = 1U << 30U;
  std::string listen, connect;  ///< addresses: serve another host, or measure over a connection to it
  std::string key;              ///< that both sides know; empty: none
  std::string records;          ///< file to which a JSON line is appended per measured case and repetition
};

/// Whether a program also knows --crucible_listen and --crucible_connect.
enum class Program { kOneHost, kTwoHosts };

/// The main function of every benchmark program. `cases` is asked once for the cells of a run. Returns 0, 1 (an error,
/// said on stderr), 2 (usage), kVerificationStatus (wrong bytes).
int run_benchmarks(int argc, char** argv, const std::function<std::vector<Case>(const Options&)>& cases,
                   Program program = Program::kOneHost);

}  // namespace crucible::bench
