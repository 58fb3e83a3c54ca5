// ComposedPool: a Pool over any mechanism's connections. README.md in this folder explains how.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "api/capabilities.h"
#include "api/pool.h"
#include "compose/pool_board.h"
#include "compose/pool_dispatcher.h"
#include "compose/queue.h"

namespace crucible {

class ComposedPool final : public Pool {
 public:
  /// What follows from a mechanism's pipe.
  static constexpr Capabilities capabilities(const Capabilities& pipe) noexcept {
    return {.unbounded = true,
            .survives_kill = pipe.survives_kill,
            .max_message_bytes = pipe.max_message_bytes - pool_wire::kBeforeArguments};
  }

  /// As PoolForm. `looks`: see PoolPlan.
  static std::unique_ptr<ComposedPool> create(const QueueCarrier& carrier, bool looks, const PoolOptions& options);
  ~ComposedPool() override;

  Status submit(std::span<PoolTask> tasks, const std::shared_ptr<PoolJob>& job) override;
  Status perform(PoolTask& task, PoolOutcome& outcome) override;
  Status close_pool() override;
  Status terminate_pool() override;
  Status join_until(Deadline deadline) override;
  PoolStatistics statistics() const override;
  std::size_t size() const noexcept override { return plan_.workers; }
  std::vector<pid_t> workers() const override;
  std::string failure() const override;
  std::string_view mechanism() const noexcept override { return plan_.carrier.mechanism; }
  std::string_view form() const noexcept override { return "composed"; }
  /// Before main, so that a fork takes its mutexes behind the family's (core/fork_order.h).
  static void register_with_forks();

 private:
  template <class, class>
  friend class ForkRegistry;
  class Registry;

  explicit ComposedPool(const PoolPlan& plan);
  bool is_mine() const noexcept { return is_mine_; }
  Status refusal(std::span<const PoolTask> tasks) const;
  void before_fork();
  void after_fork_in_parent();
  bool after_fork_in_child();

  const PoolPlan plan_;
  bool is_mine_ = true;  // false in a fork; a system call less with each task than to ask for the pid
  // In a forked child not destroyed: threads that only the parent has wait there.
  struct Shared {
    PoolBoard board;
    PoolCallbacks callbacks;
  };
  std::unique_ptr<Shared> shared_ = std::make_unique<Shared>();
  PoolBoard& board_ = shared_->board;
  std::unique_ptr<PoolDispatcher> dispatcher_;
  std::unique_ptr<std::thread> thread_;
};

}  // namespace crucible
