// PoolDispatcher: the thread of a composed pool that knows its workers. README.md in this folder explains it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/bytes.h"
#include "api/connection.h"
#include "api/listener.h"
#include "api/pool.h"
#include "compose/pool_board.h"
#include "compose/pool_wire.h"
#include "compose/queue.h"
#include "core/event_loop.h"
#include "core/sealed_memory.h"
#include "core/zygote.h"

namespace crucible {

/// How a composed pool is carried, and how it is made.
struct PoolPlan {
  const QueueCarrier& carrier;
  bool spawned;  ///< workers are no forks of this process, but of this program run anew
  bool looks;    ///< before it sleeps: the mechanism's messages can be seen without a system call
  std::size_t workers;
  std::function<void()> initializer;
  int tasks_per_worker;  ///< 0: no limit
  PipeOptions channel;
};

class PoolDispatcher {
 public:
  /// Starts the zygote and asks it for the workers. Throws as PoolForm::create.
  PoolDispatcher(const PoolPlan& plan, PoolBoard& board, PoolCallbacks& callbacks);
  PoolDispatcher(const PoolDispatcher&) = delete;
  PoolDispatcher& operator=(const PoolDispatcher&) = delete;
  ~PoolDispatcher();

  /// Returns when every worker can be reached. Throws as PoolForm::create.
  void bring_up();
  /// The dispatcher's thread: until the pool is over and no worker is left.
  void run() noexcept;
  /// Does a task with an idle worker, if there is one, in the caller's thread; otherwise false. `board` holds the
  /// board's mutex, which is let go meanwhile. True: `outcome` is set, or, if its worker has ended, the dispatcher has
  /// the task as one of the job that `make_job` makes, which is then left in `job`. Any thread.
  bool perform(PoolTask& task, PoolOutcome& outcome, std::shared_ptr<PoolJob>& job,
               std::unique_lock<std::mutex>& board);
  /// Tasks that a worker has begun. Any thread.
  std::uint64_t running() const noexcept;
  /// Around a fork: the channels stay as they are.
  std::mutex& channels_mutex() noexcept { return channels_mutex_; }
  /// In a forked child, which shall keep no end of a channel open. The object must not be destroyed there.
  void become_copy() noexcept;

 private:
  static constexpr std::size_t kLeastDepth = 2;
  static constexpr std::size_t kMostDepth = 32;

  struct Given {
    std::uint64_t number;
    PoolItem item;
  };
  /// One place for a worker, and who has it.
  struct Worker {
    std::size_t place = 0;
    std::uint64_t id = 0;
    std::unique_ptr<Connection> channel;
    bool started = false;             ///< its pid is known
    bool reached = false;             ///< it has said hello
    bool ready = false;               ///< its initializer has returned
    bool leaving = false;             ///< it was told to
    bool gone = false;                ///< nobody has the place
    bool lent = false;                ///< to a thread that waits for its answer
    bool paused = false;              ///< the loop does not look at its channel
    std::optional<int> exit_code;     ///< it has ended; what it sent may still come
    std::deque<Given> given;          ///< not answered, in order
    std::uint64_t sent = 0;           ///< the last task that it was sent
    std::size_t depth = kLeastDepth;  ///< tasks that it may have been sent and not answered
    std::atomic<std::uint64_t> answered = 0;
    int left = 0;                        ///< tasks before it is replaced
    std::optional<std::size_t> long_at;  ///< of given.back()'s arguments so many bytes are sent
    std::size_t allowance = 0;           ///< pieces that may follow
    Bytes unsent;                        ///< for which the channel had no room
    Bytes message;                       ///< of who it is lent to
    std::int64_t alarm_ns = 0;           ///< when something is to be done about it, see ring_alarm(); 0: never
  };
  struct Stranger {
    std::unique_ptr<Connection> channel;
  };
  /// A worker that comes back, and what it was lent for if that is not done.
  struct Returned {
    Worker* worker;
    std::optional<PoolItem> item;
    bool expel;
  };

  // pool_dispatcher.cc: the loop, and how the pool ends; pool_look.cc.
  void work();
  bool is_over();
  void take_orders();
  void look_around();
  Deadline next_alarm() const;
  void ring_alarms();
  void ring_alarm(Worker& worker);
  void fail(const std::string& why);
  void abandon_all(Status status, const std::string& text);
  void end_workers() noexcept;
  void await_dead_workers() noexcept;
  void close_channel(Worker& worker) noexcept;

  // pool_crew.cc: how workers come and go.
  void fork_zygote();
  void spawn_zygote();
  void start_worker(Worker& worker);
  Worker& with_id(std::uint64_t id) { return *workers_[(id - 1) % workers_.size()]; }
  void hear_zygote();
  void admit();
  void hear_stranger(std::list<Stranger>::iterator stranger);
  void lost_channel(Worker& worker);
  void hear_last_words(Worker& worker);
  void bury(Worker& worker);
  void retry_start(Worker& worker, const std::string& why);

  // pool_loan.cc: idle workers lent to who waits for a task.
  void offer_idle();
  bool take_back(Worker& worker);
  void welcome_back();
  void await_lent() noexcept;
  static Status ask(Worker& worker, const PoolTask& task, PoolOutcome& outcome, bool& expel);

  // pool_deal.cc: tasks and what comes of them.
  void deal();
  void hand_out();
  bool can_take(const Worker& worker, std::size_t depth) const;
  void give(Worker& worker);
  static bool write_task(Bytes& out, const PoolTask& task, std::uint64_t number);
  void send_long(Worker& worker);
  void send(Worker& worker, ByteView message);
  void withdraw_for_idle();
  void withdraw(Worker& busy);
  void put_back(PoolItem item);
  void let_idle_leave();
  bool receive(Worker& worker);
  void hear(Worker& worker);
  static void adapt_depth(Worker& worker) noexcept;
  void answer(Worker& worker, Status status);
  void finish(PoolItem& item, PoolOutcome outcome);
  void expel(Worker& worker);

  const PoolPlan plan_;
  PoolBoard& board_;
  PoolCallbacks& callbacks_;
  const std::size_t depth_;  // that no worker's goes beyond
  std::shared_ptr<SealedMemory> memory_;
  pool_wire::Claims* const claims_;  // in it, one for each place
  DoorOptions door_;
  std::unique_ptr<Listener> listener_;
  std::optional<Zygote> zygote_;
  ReadableDescriptor bell_;
  EventLoop loop_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::list<Stranger> strangers_;
  std::deque<PoolItem> queue_;  // by serial
  std::uint64_t serial_ = 0;
  PoolBoard::Phase phase_ = PoolBoard::Phase::kRunning;
  bool bringing_up_ = true;
  bool failed_ = false;
  Status abandoned_ = Status::kOk;  // what unfinished tasks end with, and why
  std::string abandoned_text_;
  // Guarded by the board's mutex.
  bool lends_ = false;  // while the dispatcher sleeps, and nobody waits for a worker
  std::vector<Worker*> offers_;
  std::vector<Returned> returned_;
  unsigned early_ends_ = 0;  // workers in a row that ended before they could be reached
  unsigned vain_looks_ = 0;
  bool looking_ = false;
  bool heard_something_ = false;
  Bytes in_;
  Bytes out_;
  std::mutex channels_mutex_;
};

}  // namespace crucible
