#include "conformance/pool_support.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#include <algorithm>
#include <climits>
#include <thread>

namespace crucible::testing {

std::string PoolVariant::name() const {
  std::string name(mechanism->name);
  if (form != &mechanism->pools.front()) name.append("_").append(form->name);
  if (wait) name.append("_").append(to_string(*wait));
  return name;
}

std::vector<PoolVariant> all_pool_forms() {
  std::vector<PoolVariant> all;
  for (const Mechanism& mechanism : mechanisms()) {
    for (const PoolForm& form : mechanism.pools) all.push_back({.mechanism = &mechanism, .form = &form});
  }
  return all;
}

std::vector<PoolVariant> all_pool_variants() {
  std::vector<PoolVariant> all = all_pool_forms();
  for (const Mechanism& mechanism : mechanisms()) {
    for (const PoolForm& form : mechanism.pools) {
      for (std::size_t i = 1; i < form.waits.size(); ++i) {
        all.push_back({.mechanism = &mechanism, .form = &form, .wait = form.waits[i]});
      }
    }
  }
  return all;
}

std::unique_ptr<Pool> PoolTest::make(int processes, PoolOptions options) {
  options.processes = processes;
  if (!options.wait) options.wait = GetParam().wait;
  return GetParam().form->create(options);
}

void PoolTest::own_busy_pool(int workers) {
  const auto pool = make(workers);
  const auto held = pool->apply_async(&hold, {0, 1});
  await_signal(0);
  set_signal(2);
  held.wait();
}

void PoolTest::warm_up() {
  CleanFixture::warm_up();
  Board::clear();
  (void)mechanism().make_pipe({});
  (void)make(1);
}

Board& Board::get() {
  static const SharedBox<Board> board;
  return *board;
}

void Board::clear() {
  for (auto& signal : get().signals) signal = 0;
  for (auto& cell : get().cells) cell = 0;
}

void set_signal(std::size_t which) {
  std::atomic<std::uint32_t>& word = Board::get().signals.at(which);
  word.store(1, std::memory_order_release);
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void await_signal(std::size_t which) {
  std::atomic<std::uint32_t>& word = Board::get().signals.at(which);
  while (word.load(std::memory_order_acquire) == 0) {
    ::syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0);
  }
}

bool is_set(std::size_t which) { return Board::get().signals.at(which).load(std::memory_order_acquire) != 0; }

void await_whole(const Pool& pool, pid_t gone) {
  for (;;) {
    const std::vector<pid_t> pids = pool.workers();
    if (pids.size() == pool.size() && std::ranges::find(pids, gone) == pids.end()) return;
    std::this_thread::sleep_for(1ms);
  }
}

}  // namespace crucible::testing
