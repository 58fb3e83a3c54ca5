#include "support/runner.h"

#include <benchmark/benchmark.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "support/payload.h"

namespace crucible::bench {
namespace {

constexpr int kPairsAtOnce = 20;  // no interval without at least so many

void describe(CLI::App& app, Options& options, Program program) {
  app.set_help_flag();  // --help is answered by Google Benchmark, which reads the arguments first
  app.add_option("--crucible_sizes", options.sizes, "message sizes in bytes, instead of the default ones")
      ->delimiter(',')
      ->check(CLI::Range(std::size_t{1}, Options::kLargest));
  app.add_option("--crucible_records", options.records, "file to append one JSON line per measured case to");
  if (program == Program::kOneHost) return;
  CLI::Option* listen = app.add_option("--crucible_listen", options.listen,
                                       "serve at this address, e.g. tcp:0.0.0.0:9000, until SIGTERM");
  app.add_option("--crucible_connect", options.connect, "measure over a connection to who serves at this address")
      ->excludes(listen);
  app.add_option("--crucible_key", options.key, "what both must know, if anything");
}

template <Program kProgram>
void print_help() {
  benchmark::PrintDefaultHelp();
  Options options;
  CLI::App app("Of this program itself, in the form --option=value:");
  describe(app, options, kProgram);
  std::cout << app.help();
}

/// A case with its two sides; kept while Google Benchmark looks for the number of iterations.
class Session {
 public:
  explicit Session(const Case& cell) : cell_(cell), cpus_(cpus_for(cell.placement)) {
    if (cpus_) pin(cpus_->first);
    if (cell.make) duel_ = cell.make(cpus_);
  }
  const Case& cell() const noexcept { return cell_; }

  Json run(benchmark::State& state) { return duel_ ? run_duel(state) : run_study(state); }

 private:
  Json run_duel(benchmark::State& state) {
    Outcome outcome;
    const auto batch = static_cast<benchmark::IterationCount>(kPairsAtOnce * duel_->operations());
    while (state.KeepRunningBatch(batch)) {
      state.SetIterationTime(static_cast<double>(duel_->run_pairs(kPairsAtOnce, outcome)) * 1e-9);
    }
    Json line = record(cell_, *duel_, cpus_, outcome);
    for (const char* key : {"latency_p50_ns", "latency_p99_ns", "messages_per_s", "bytes_per_s", "connections_per_s",
                            "tasks_per_s", "cpu_percent"}) {
      if (line["metrics"].contains(key)) state.counters[key] = line["metrics"][key].get<double>();
    }
    // As the reports have it: of latencies the multiple, of rates the share of the limit's.
    if (duel_->limit() != nullptr && cell_.measure != Measure::kIdle) {
      const double ratio = outcome.median_ratio(quantity_of(cell_.measure));
      const bool is_rate = cell_.measure == Measure::kRate || cell_.measure == Measure::kTasks;
      state.counters["ratio_to_limit"] = is_rate ? 1 / ratio : ratio;
    }
    return line;
  }

  Json run_study(benchmark::State& state) {
    Json line;
    while (state.KeepRunning()) {
      const std::int64_t start = Deadline::now_ns();
      line = record(cell_, cpus_, cell_.study(cpus_));
      state.SetIterationTime(static_cast<double>(Deadline::now_ns() - start) * 1e-9);
    }
    for (const auto& [key, value] : line["metrics"].items()) state.counters[key] = value.get<double>();
    return line;
  }

  const Case& cell_;
  AffinityScope scope_;
  Cpus cpus_;
  std::unique_ptr<Duel> duel_;
};

/// Shows what the default reporter shows, and writes the records of what Google Benchmark accepted as results.
class Recorder final : public benchmark::BenchmarkReporter {
 public:
  explicit Recorder(const std::string& path) : display_(benchmark::CreateDefaultDisplayReporter()) {
    if (path.empty()) return;
    file_.emplace(path, std::ios::app);
    if (!*file_) throw std::runtime_error("cannot write " + path);
  }

  void measure(const Case& cell, benchmark::State& state) {
    std::vector<Json>& lines = pending_[cell.full_name()];
    try {
      if (!session_ || &session_->cell() != &cell) {
        session_.reset();
        session_.emplace(cell);
      }
      lines.push_back(session_->run(state));
    } catch (const UnsupportedCell& reason) {
      lines.push_back(unsupported_record(cell, reason.what()));
      state.SkipWithError((std::string("unsupported: ") + reason.what()).c_str());
    }
  }

  bool ReportContext(const Context& context) override { return display_->ReportContext(context); }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (const auto found = pending_.find(run.run_name.function_name); found != pending_.end()) {
        write(found->second, static_cast<std::size_t>(std::max<std::int64_t>(1, run.repetitions)));
        pending_.erase(found);
      }
    }
    display_->ReportRuns(runs);
  }
  void Finalize() override { display_->Finalize(); }

 private:
  /// Each repetition is one run at the end; the runs before them served to find the number of iterations.
  void write(const std::vector<Json>& lines, std::size_t repetitions) {
    if (!file_) return;
    const auto first = lines.end() - static_cast<std::ptrdiff_t>(std::min(repetitions, lines.size()));
    for (auto line = first; line != lines.end(); ++line) *file_ << line->dump() << '\n';
    file_->flush();
    if (!*file_) throw std::runtime_error("cannot write the records file");
  }

  std::unique_ptr<benchmark::BenchmarkReporter> display_;
  std::optional<std::ofstream> file_;
  std::map<std::string, std::vector<Json>> pending_;
  std::optional<Session> session_;
};

int run(int argc, char** argv, const std::function<std::vector<Case>(const Options&)>& list_cases, Program program) {
  benchmark::Initialize(&argc, argv,
                        program == Program::kOneHost ? print_help<Program::kOneHost> : print_help<Program::kTwoHosts>);
  Options options;
  CLI::App app;
  describe(app, options, program);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 2;
  }
  const std::vector<Case> cases = list_cases(options);
  Recorder recorder(options.records);
  for (const Case& cell : cases) {
    auto* registered = benchmark::RegisterBenchmark(cell.full_name().c_str(),
                                                    [&](benchmark::State& state) { recorder.measure(cell, state); });
    registered->UseManualTime();
    if (cell.study) registered->Iterations(1);  // it has its own length
  }
  benchmark::AddCustomContext("crucible_seed", std::to_string(Duel::kSeed));
  benchmark::RunSpecifiedBenchmarks(&recorder);
  benchmark::Shutdown();
  return 0;
}

}  // namespace

int run_benchmarks(int argc, char** argv, const std::function<std::vector<Case>(const Options&)>& cases,
                   Program program) {
  try {
    return run(argc, argv, cases, program);
  } catch (const VerificationError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return kVerificationStatus;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}

}  // namespace crucible::bench
