// CPython's multiprocessing, which runs as a program of its own and does blocks as it is asked to (the folder cpython).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/side.h"
#include "support/transfer.h"

namespace crucible::bench {

/// What it is to do; cpython/__main__.py says more.
struct PythonTask {
  std::string workload, object;
  std::size_t first = 1, second = 1, bytes = 0;
};

class PythonSide final : public Side {
 public:
  static constexpr std::string_view kName = "cpython";

  /// Throws UnsupportedCell: there is no python3 here, or none that can do this.
  PythonSide(const PythonTask& task, const Cpus& cpus);
  ~PythonSide() override;

  Block run(std::uint64_t operations) override;
  nlohmann::json fairness() const override { return fairness_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Close>;

  void start(const std::vector<std::string>& words);
  /// A line of its output as JSON; null at its end.
  nlohmann::json line();

  pid_t pid_ = -1;
  File orders_, answers_;
  nlohmann::json fairness_;
  std::vector<std::int64_t> latencies_;
};

}  // namespace crucible::bench
