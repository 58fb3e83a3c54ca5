#include "support/open_loop.h"

#include <cmath>
#include <map>
#include <optional>
#include <random>
#include <vector>

namespace crucible::bench {
namespace {

constexpr double kSecond = 1e9;
constexpr int kPieces = 5;  // of each rate, so that one or two that the machine disturbed decide nothing
constexpr double kPieceNs = 30e6;
constexpr double kLongestPieceNs = 120e6;
constexpr double kFewestPerPiece = 250;  // 1,250 of a rate: enough for the 99th percentile
constexpr double kSustained = 0.99;
constexpr std::array kLadder = {0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.1};

/// What a rate came to, in all of its pieces.
struct Step {
  Latencies latencies;
  double messages = 0, elapsed_ns = 0;
  int sustained = 0, pieces = 0;

  bool holds() const noexcept { return 2 * sustained > pieces; }
  Json figures() const {
    Json found = {{"latency_p50_ns", nullptr}, {"latency_p99_ns", nullptr}, {"samples", latencies.samples()}};
    if (const auto value = latencies.percentile_ns(0.5)) found["latency_p50_ns"] = std::round(*value);
    if (const auto value = latencies.percentile_ns(0.99)) found["latency_p99_ns"] = std::round(*value);
    return found;
  }
  double achieved_per_s() const noexcept { return messages / elapsed_ns * kSecond; }
};

double median_of(std::span<const std::int64_t> values) { return median({values.begin(), values.end()}); }

/// Whether the receiver's own pace was at least 99 % of the schedule's: messages came hardly later at the end than in
/// the beginning. Medians, so that one stall of the machine in between, which was made good, does not decide.
bool kept_up(const Piece& piece, double nominal_ns) {
  const std::size_t part = std::max<std::size_t>(1, piece.latencies.size() / 10);
  const double grown = median_of(piece.latencies.last(part)) - median_of(piece.latencies.first(part));
  return nominal_ns >= kSustained * (nominal_ns + grown);
}

class Exploration {
 public:
  explicit Exploration(Loadable& subject) : subject_(subject), capacity_per_s_(flat_out()) {}

  void climb_ladder() {
    std::vector<double> pieces;
    for (int piece = 0; piece < kPieces; ++piece) pieces.insert(pieces.end(), kLadder.begin(), kLadder.end());
    std::shuffle(pieces.begin(), pieces.end(), random_);
    for (const double share : pieces) offer(share * capacity_per_s_);
  }

  /// The highest rate known to hold; nothing if none does.
  std::optional<double> search() {
    constexpr int kHalvings = 4;
    constexpr int kMostSteps = 8;  // who is faster on a schedule than when all are due at once may be so by far
    for (int i = 0; i < kMostSteps && steps_.rbegin()->second.holds(); ++i) try_out(steps_.rbegin()->first * 1.3);
    for (int i = 0; i < kMostSteps && !best(); ++i) try_out(steps_.begin()->first / 2);
    for (int i = 0; i < kHalvings && best(); ++i) {
      const auto above = steps_.upper_bound(*best());
      if (above == steps_.end()) break;
      try_out((*best() + above->first) / 2);
    }
    return best();
  }

  Json curve() const {
    Json rows = Json::array();
    for (const auto& [offered, step] : steps_) {
      Json row = {{"offered_per_s", offered}, {"achieved_per_s", step.achieved_per_s()}};
      row.update(step.figures());
      rows.push_back(std::move(row));
    }
    return rows;
  }

  Json closed_loop() {
    Step step;
    const std::uint64_t messages = long_enough([this](std::uint64_t count) { return subject_.one_in_flight(count); });
    for (int piece = 0; piece < kPieces; ++piece) add(step, subject_.one_in_flight(messages), false);
    Json found = {{"messages_per_s", step.achieved_per_s()}};
    found.update(step.figures());
    return found;
  }

  std::uint64_t samples() const {
    std::uint64_t sum = 0;
    for (const auto& [offered, step] : steps_) sum += step.latencies.samples();
    return sum;
  }

 private:
  template <class Run>
  static std::uint64_t long_enough(Run run) {
    std::uint64_t messages = 64;
    while (static_cast<double>(run(messages).elapsed_ns) < kPieceNs && messages < Loadable::kMostMessages)
      messages *= 2;
    return messages;
  }

  /// Messages per second when all are due at once: median of several pieces, once they are long enough.
  double flat_out() {
    const std::uint64_t messages = long_enough([this](std::uint64_t count) { return subject_.scheduled(0, count); });
    std::vector<double> rates;
    for (int i = 0; i < kPieces; ++i) {
      const Piece piece = subject_.scheduled(0, messages);
      rates.push_back(static_cast<double>(piece.latencies.size()) / static_cast<double>(piece.elapsed_ns) * kSecond);
    }
    return median(std::move(rates));
  }

  static void add(Step& step, const Piece& piece, bool held) {
    step.latencies.add(piece.latencies);
    step.messages += static_cast<double>(piece.latencies.size());
    step.elapsed_ns += static_cast<double>(piece.elapsed_ns);
    step.sustained += held ? 1 : 0;
    ++step.pieces;
  }

  void offer(double per_s) {
    const double period = kSecond / per_s;
    const double length = std::clamp(kFewestPerPiece * period, kPieceNs, kLongestPieceNs);
    const Piece piece = subject_.scheduled(period, static_cast<std::uint64_t>(std::max(length / period, 10.0)));
    add(steps_[per_s], piece, kept_up(piece, period * static_cast<double>(piece.latencies.size())));
  }

  void try_out(double per_s) {
    for (int piece = 0; piece < kPieces; ++piece) offer(per_s);
  }

  std::optional<double> best() const {
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
      if (step->second.holds()) return step->first;
    }
    return std::nullopt;
  }

  Loadable& subject_;
  std::mt19937_64 random_{Duel::kSeed};
  double capacity_per_s_;
  std::map<double, Step> steps_;
};

}  // namespace

Json explore_load(Loadable& subject) {
  Exploration exploration(subject);
  Json closed = exploration.closed_loop();
  exploration.climb_ladder();
  Json figures = Json::object();
  if (const auto sustainable = exploration.search()) figures["sustainable_per_s"] = *sustainable;
  figures["samples"] = exploration.samples();
  return {{"metrics", std::move(figures)},
          {"closed_loop", std::move(closed)},
          {"load_curve", exploration.curve()},
          {"fairness", {{"subject", subject.sheet()}}}};
}

}  // namespace crucible::bench
