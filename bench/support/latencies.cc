#include "support/latencies.h"

#include <algorithm>
#include <boost/histogram/axis/regular.hpp>
#include <boost/histogram/histogram.hpp>
#include <boost/histogram/make_histogram.hpp>
#include <boost/histogram/storage_adaptor.hpp>
#include <vector>

namespace crucible::bench {
namespace {

using Axis = boost::histogram::axis::regular<double, boost::histogram::axis::transform::log>;
constexpr double kShortest = 1.0;
constexpr double kLongest = 1e12;
constexpr unsigned kBins = 2778;  // ln(1e12) / ln(1.01): 1 % each

auto make() {
  return boost::histogram::make_histogram_with(boost::histogram::dense_storage<std::uint64_t>(),
                                               Axis(kBins, kShortest, kLongest));
}

}  // namespace

struct Latencies::Histogram {
  decltype(make()) counts = make();
};

Latencies::Latencies() : histogram_(std::make_unique<Histogram>()) {}
Latencies::Latencies(Latencies&& other) noexcept = default;
Latencies& Latencies::operator=(Latencies&& other) noexcept = default;
Latencies::~Latencies() = default;

void Latencies::add(std::span<const std::int64_t> nanoseconds) {
  for (const std::int64_t sample : nanoseconds) {
    histogram_->counts(std::clamp(static_cast<double>(sample), kShortest, kLongest / 2));
    max_ns_ = std::max(max_ns_, sample);
  }
  samples_ += nanoseconds.size();
}

void Latencies::merge(const Latencies& other) {
  // Bin by bin: in the library's own operator GCC 12 sees an uninitialised value when it sanitizes.
  for (int i = 0; i < static_cast<int>(kBins); ++i) histogram_->counts.at(i) += other.histogram_->counts.at(i);
  samples_ += other.samples_;
  max_ns_ = std::max(max_ns_, other.max_ns_);
}

std::optional<double> Latencies::percentile_ns(double quantile) const {
  const auto total = static_cast<double>(samples_);
  // A rounding error must not cost the percentile that exactly enough samples lie beyond.
  constexpr double kRounding = 1e-6;
  if (total * (1 - quantile) < kFewestBeyond - kRounding) return std::nullopt;
  double below = 0;
  for (int i = 0; i < static_cast<int>(kBins); ++i) {
    const auto here = static_cast<double>(histogram_->counts.at(i));
    if (here > 0 && below + here >= quantile * total) {
      const auto bin = histogram_->counts.axis().bin(i);
      const double inside = std::clamp((quantile * total - below) / here, 0.0, 1.0);
      return std::min(bin.lower() + inside * bin.width(), static_cast<double>(max_ns_));
    }
    below += here;
  }
  return std::nullopt;
}

}  // namespace crucible::bench
