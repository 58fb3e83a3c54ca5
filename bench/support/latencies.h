// A distribution of latencies that fits any number of samples.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace crucible::bench {

/// Log-linear bins of 1 %, from a nanosecond to a thousand seconds. Movable.
class Latencies {
 public:
  /// A percentile with fewer samples beyond it is luck, not a figure.
  static constexpr double kFewestBeyond = 10;

  Latencies();
  Latencies(Latencies&& other) noexcept;
  Latencies& operator=(Latencies&& other) noexcept;
  ~Latencies();

  void add(std::span<const std::int64_t> nanoseconds);
  /// Adds the samples of another process or repetition.
  void merge(const Latencies& other);

  std::uint64_t samples() const noexcept { return samples_; }
  std::int64_t max_ns() const noexcept { return max_ns_; }
  /// The latency that the fraction `quantile` of the samples does not exceed; nothing with fewer than kFewestBeyond
  /// beyond.
  std::optional<double> percentile_ns(double quantile) const;

 private:
  struct Histogram;
  std::unique_ptr<Histogram> histogram_;
  std::uint64_t samples_ = 0;
  std::int64_t max_ns_ = 0;
};

}  // namespace crucible::bench
