// What the tests of Pool share: every mechanism in every form that it has of it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/mechanism.h"
#include "api/pool.h"
#include "conformance/support/events.h"
#include "conformance/support/fixture.h"

namespace crucible::testing {

using namespace std::chrono_literals;

/// A form of a mechanism's pool.
struct PoolVariant {
  const Mechanism* mechanism;
  const PoolForm* form;
  std::optional<WaitStrategy> wait = {};  ///< with this strategy instead of the default

  std::string name() const;
};
std::vector<PoolVariant> all_pool_forms();
std::vector<PoolVariant> all_pool_variants();

/// A test that runs once per form, CRUCIBLE_INSTANTIATE_POOLS(Suite) after its TEST_Ps, or once more per wait strategy,
/// CRUCIBLE_INSTANTIATE_POOL_VARIANTS(Suite).
class PoolTest : public CleanFixture, public ::testing::WithParamInterface<PoolVariant> {
 protected:
  static const Mechanism& mechanism() { return *GetParam().mechanism; }
  static const Capabilities& capabilities() { return GetParam().form->capabilities; }
  static std::unique_ptr<Pool> make(int processes, PoolOptions options = {});
  /// The life of a process that is killed: it has made a pool, one worker of which is in a task, when signal 2 is set.
  static void own_busy_pool(int workers);

  void warm_up() override;
};

/// What tasks and their test share: made before the pool, so that its workers have it, and reached through here by
/// tasks, which capture nothing.
struct Board {
  static constexpr std::size_t kCells = 32'768;

  std::array<std::atomic<std::uint32_t>, 64> signals;  ///< set() and await(), for tasks and test alike
  std::array<std::atomic<std::int64_t>, kCells> cells;

  static Board& get();
  /// Empty again. Where no task of an earlier test can run any more.
  static void clear();
};
/// One-shot events by number.
void set_signal(std::size_t which);
void await_signal(std::size_t which);
bool is_set(std::size_t which);
/// Adds to a cell; what it was.
inline std::int64_t add(std::size_t cell, std::int64_t amount = 1) {
  return Board::get().cells.at(cell).fetch_add(amount, std::memory_order_acq_rel);
}
inline std::int64_t cell(std::size_t which) { return Board::get().cells.at(which).load(std::memory_order_acquire); }

/// The exit code in the WorkerLost that `result` ends with; nothing if it ends otherwise.
template <class T>
std::optional<int> lost_with(const AsyncResult<T>& result) {
  try {
    (void)result.get();
  } catch (const WorkerLost& lost) {
    return lost.exit_code();
  } catch (const std::exception& other) {
    ADD_FAILURE() << "not lost, but: " << other.what();
  }
  return std::nullopt;
}

/// Returns once the pool has as many workers as it was made with, none of them `gone`.
void await_whole(const Pool& pool, pid_t gone = 0);

// Tasks that many tests need.
inline int add_hundred(int number) { return number + 100; }
inline pid_t worker_pid() { return ::getpid(); }
/// Announces itself by the first signal and waits for the second.
inline pid_t hold(int begun, int go_on) {
  set_signal(static_cast<std::size_t>(begun));
  await_signal(static_cast<std::size_t>(go_on));
  return ::getpid();
}

}  // namespace crucible::testing

#define CRUCIBLE_INSTANTIATE_POOLS_OVER(suite, variants) \
  INSTANTIATE_TEST_SUITE_P(                              \
      , suite, ::testing::ValuesIn(variants),            \
      [](const ::testing::TestParamInfo<::crucible::testing::PoolVariant>& row) { return row.param.name(); })
#define CRUCIBLE_INSTANTIATE_POOLS(suite) CRUCIBLE_INSTANTIATE_POOLS_OVER(suite, ::crucible::testing::all_pool_forms())
#define CRUCIBLE_INSTANTIATE_POOL_VARIANTS(suite) \
  CRUCIBLE_INSTANTIATE_POOLS_OVER(suite, ::crucible::testing::all_pool_variants())
