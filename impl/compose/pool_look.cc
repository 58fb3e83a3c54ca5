// PoolDispatcher: how it looks for answers without system calls.
#include <sched.h>

#include <algorithm>

#include "compose/pool_dispatcher.h"
#include "core/relax.h"

namespace crucible {
namespace {

constexpr std::int64_t kLookNs = 20'000;    // without any answer
constexpr std::int64_t kRoundNs = 250'000;  // until the zygote is heard
constexpr int kGlances = 64;                // before it turns out whether a worker waits for this CPU
constexpr unsigned kMostVainLooks = 3;
constexpr unsigned kTryAgain = 64;  // sleeps, after so many vain looks

}  // namespace

// Sleeping is announced to every worker, which then has to make a system call with its answer.
void PoolDispatcher::look_around() {
  const auto is_busy = [](const auto& worker) { return worker->channel != nullptr && !worker->given.empty(); };
  if (plan_.channel.wait == WaitStrategy::kBlock || std::ranges::none_of(workers_, is_busy)) return;
  const bool spins = plan_.channel.wait == WaitStrategy::kSpin;
  if (!spins && vain_looks_ >= kMostVainLooks) {
    ++vain_looks_;
    if (vain_looks_ % kTryAgain != 0) return;
  }
  for (auto& worker : workers_) {
    if (is_busy(worker)) loop_.stand_down(*worker->channel);
  }
  const std::int64_t start = Deadline::now_ns();
  std::int64_t until = start + kLookNs;
  std::int64_t round = start + kRoundNs;
  bool paid = false;
  looking_ = true;
  int glances = 0;
  for (std::int64_t now = start; now < until && !failed_; now = Deadline::now_ns()) {
    if (now > round) {
      round = now + kRoundNs;
      hear_zygote();
    }
    heard_something_ = false;
    for (auto& worker : workers_) {
      if (is_busy(worker)) (void)receive(*worker);
    }
    if (!heard_something_) {
      if (++glances % kGlances == 0) {
        ::sched_yield();
      } else {
        relax();
      }
      continue;
    }
    paid = true;
    take_orders();
    if (phase_ == PoolBoard::Phase::kTerminating) break;
    deal();
    until = Deadline::now_ns() + kLookNs;
  }
  looking_ = false;
  vain_looks_ = paid ? 0 : vain_looks_ + 1;
}

}  // namespace crucible
