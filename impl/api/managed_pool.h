// Proxy of a managed Pool.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "api/async_result.h"
#include "api/pool.h"
#include "api/pool_task.h"
#include "api/proxy.h"

namespace crucible::managed {

class RemotePool;

/// A crucible::Pool in the server, at work for any process that has a proxy: `pool->map(&square, numbers)`. What Pool
/// says of a task, its outcome and its callbacks holds here; besides:
///  - Workers are forks of the server, and so of the program as it was when the manager started, with nothing of the
///    server's open; with "spawn", the program run anew. Processes forked from the manager's creator name functions as
///    a Pool's owner does, others give crucible::Functions, which the server must have (BadArgument).
///  - close(), terminate() and join() are everybody's. join() waits for the workers, and for the callbacks of this
///    process. Dropping a handle ends nothing; the pool is terminated when nothing refers to it any more.
///  - What a process that ends had asked for is done, and its results are dropped. A result that had not arrived when
///    the last copy of a handle was destroyed is Terminated; once the server is gone, Broken.
///  - Every call throws what a Proxy's do, too.
/// A forked child shares its parent's pool, and none of its AsyncResults. An Imap needs the handle that made it.
class Pool : public Proxy {
 public:
  Pool() noexcept = default;
  explicit Pool(const Proxy& proxy);

  crucible::Pool& operator*() const;
  crucible::Pool* operator->() const { return &**this; }
  /// A task takes as long as it takes: AsyncResult::get_for() is who does not wait for it.
  void set_limit(std::chrono::nanoseconds duration) = delete;

 private:
  std::shared_ptr<RemotePool> pool_;
};

/// PoolTask on its way to the server: whether it is a chunk, name, code, function, arguments. The addresses are for a
/// fork of the same program.
using TravellingTask = std::tuple<bool, std::string, std::uint64_t, std::uint64_t, Bytes>;
/// PoolOutcome on its way back: status, bytes, exit code, text.
using TravellingOutcome = std::tuple<int, Bytes, int, std::string>;
/// What has come of a job: its number among its client's, and an outcome for each task.
using TravellingJob = std::tuple<std::uint64_t, std::vector<TravellingOutcome>>;

TravellingOutcome pack_outcome(const PoolOutcome& outcome);
PoolOutcome unpack_outcome(TravellingOutcome outcome);

/// PoolOptions on their way: 0, or the number of processes; 0, or max_tasks_per_child; -1, or the wait strategy; the
/// start method, or ""; the address of the initializer, or 0.
using TravellingPoolOptions = std::tuple<int, int, int, std::string, std::uint64_t>;
/// Throws BadArgument: an initializer that is no plain function.
TravellingPoolOptions pack_options(const PoolOptions& options);
PoolOptions unpack_options(const TravellingPoolOptions& options);

}  // namespace crucible::managed
