#include "support/duel.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace crucible::bench {
namespace {

constexpr double kShortestWarmUpNs = 20e6;
constexpr double kLongestWarmUpNs = 100e6;
constexpr double kLongestWarmUpBlocks = 8;
constexpr double kSteady = 0.05;

}  // namespace

void Tally::add(const Block& block) {
  block_ns.push_back(block.elapsed_ns);
  cpu_ns.push_back(block.cpu_ns);
  usage += block.usage;
  latencies.add(block.latencies);
  shares.resize(std::max(shares.size(), block.shares.size()));
  for (std::size_t i = 0; i < block.shares.size(); ++i) shares[i] += block.shares[i];
}

double Outcome::median_ratio(Quantity quantity) const {
  std::vector<double> ratios;
  const double scale = static_cast<double>(limit_operations) / static_cast<double>(operations);
  for (std::size_t i = 0; i < limit.block_ns.size(); ++i) {
    ratios.push_back(scale * static_cast<double>(subject.of(quantity)[i]) / static_cast<double>(limit.of(quantity)[i]));
  }
  return median(std::move(ratios));
}

double median(std::vector<double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double warm_up(Side& side) { return warm_up(side, side.block_ns()); }

double warm_up(Side& side, std::int64_t block_ns) {
  constexpr std::ptrdiff_t kLast = 5;  // one block alone may have been disturbed
  const double longest = std::max(kLongestWarmUpNs, kLongestWarmUpBlocks * static_cast<double>(block_ns));
  std::uint64_t operations = 1;
  double spent = 0;
  bool steady = false;
  std::vector<double> paces;
  while (spent < kShortestWarmUpNs || (!steady && spent < longest)) {
    const auto elapsed = static_cast<double>(side.run(operations).elapsed_ns);
    const double pace = elapsed / static_cast<double>(operations);
    steady = !paces.empty() && std::abs(pace - paces.back()) <= kSteady * pace;
    paces.push_back(pace);
    spent += elapsed;
    if (elapsed < static_cast<double>(block_ns) / 2) operations = std::min(operations * 2, side.most_operations());
  }
  paces.erase(paces.begin(), paces.end() - std::min<std::ptrdiff_t>(kLast, std::ssize(paces)));
  return median(std::move(paces));
}

Fastest fastest(std::span<const std::function<std::unique_ptr<Side>()>> candidates) {
  constexpr int kTries = 5;
  constexpr double kTryNs = 200e3;
  Fastest best = {};
  auto best_pace = std::numeric_limits<double>::infinity();
  for (std::size_t index = 0; index < candidates.size(); ++index) {
    auto side = candidates[index]();
    if (candidates.size() == 1) return {std::move(side), 0};
    const auto first = static_cast<double>(side->run(1).elapsed_ns);
    const auto operations = static_cast<std::uint64_t>(std::clamp(kTryNs / std::max(first, 1.0), 2.0, 1000.0));
    auto pace = std::numeric_limits<double>::infinity();
    for (int i = 0; i < kTries; ++i) {
      pace = std::min(pace, static_cast<double>(side->run(operations).elapsed_ns) / static_cast<double>(operations));
    }
    if (pace < best_pace) {
      best_pace = pace;
      best = {std::move(side), index};
    }
  }
  return best;
}

Duel::Duel(std::unique_ptr<Side> subject, std::unique_ptr<Side> limit, std::string limit_name, Pairing pairing)
    : subject_(std::move(subject)), limit_(std::move(limit)), limit_name_(std::move(limit_name)) {
  const std::int64_t block_ns = std::max(subject_->block_ns(), limit_ ? limit_->block_ns() : 0);
  const auto fitting = [&](const Side& side, double pace_ns) {
    return std::clamp(static_cast<std::uint64_t>(static_cast<double>(block_ns) / pace_ns),
                      subject_->fewest_operations(), side.most_operations());
  };
  const double pace = warm_up(*subject_, block_ns);
  operations_ = fitting(*subject_, pace);
  if (!limit_) return;
  const double limit_pace = warm_up(*limit_, block_ns);
  limit_operations_ = fitting(*limit_, limit_pace);
  if (pairing == Pairing::kSameWork) operations_ = limit_operations_ = std::min(operations_, limit_operations_);
}

std::int64_t Duel::run_pairs(int count, Outcome& outcome) {
  outcome.operations = operations_;
  outcome.limit_operations = limit_operations_;
  std::int64_t subject_ns = 0;
  for (int i = 0; i < count; ++i) {
    const int limit_first = static_cast<int>(random_() & 1U);
    if (limit_) outcome.order.push_back(limit_first);
    if (limit_ && limit_first == 1) outcome.limit.add(limit_->run(limit_operations_));
    outcome.subject.add(subject_->run(operations_));
    if (limit_ && limit_first == 0) outcome.limit.add(limit_->run(limit_operations_));
    subject_ns += outcome.subject.block_ns.back();
  }
  return subject_ns;
}

}  // namespace crucible::bench
