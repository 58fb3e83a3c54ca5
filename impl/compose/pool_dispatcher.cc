#include "compose/pool_dispatcher.h"

#include <pthread.h>
#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <exception>
#include <utility>

#include "api/mechanism.h"
#include "core/wait.h"

extern "C" {  // glibc 2.36 declares these functions without it
#include <sys/pidfd.h>
}

namespace crucible {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kKeyBytes = 32;

DoorOptions with_new_key(const PipeOptions& channel) {
  DoorOptions door = {.authkey = Bytes(kKeyBytes), .pipe = channel};
  if (::getrandom(door.authkey->data(), kKeyBytes, 0) != static_cast<ssize_t>(kKeyBytes)) throw_errno("getrandom");
  return door;
}

}  // namespace

PoolDispatcher::PoolDispatcher(const PoolPlan& plan, PoolBoard& board, PoolCallbacks& callbacks)
    : plan_(plan),
      board_(board),
      callbacks_(callbacks),
      // What a killed worker had answered must not be lost, or a second task would be lost with it.
      depth_(plan.carrier.pipe.outlives_sender ? kMostDepth : 1),
      memory_(SealedMemory::make(plan.workers * sizeof(pool_wire::Claims))),
      claims_(memory_->objects<pool_wire::Claims>()),
      door_(with_new_key(plan.channel)),
      listener_(context(plan.carrier.mechanism).listen(std::string(plan.carrier.scheme) + ":", door_)),
      bell_(board.bell.get()) {
  for (std::size_t place = 0; place < plan.workers; ++place) {
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->place = place;
  }
  board_.pids.resize(plan.workers);
  if (plan.spawned) {
    spawn_zygote();
  } else {
    fork_zygote();
  }
  loop_.watch(bell_, [this] { board_.bell.hush(); });
  loop_.watch(*listener_, [this] { admit(); });
  loop_.watch(*zygote_, [this] { hear_zygote(); });
  for (auto& worker : workers_) start_worker(*worker);
}

PoolDispatcher::~PoolDispatcher() { end_workers(); }

void PoolDispatcher::bring_up() {
  while (!std::ranges::all_of(workers_, [](const auto& worker) { return worker->started && worker->reached; })) {
    loop_.run_once(next_alarm());
    ring_alarms();
    if (failed_) throw Broken(board_.failure);
  }
  bringing_up_ = false;
}

void PoolDispatcher::run() noexcept {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  pthread_setname_np(pthread_self(), "crucible-pool");
  while (!is_over()) {
    try {
      work();
    } catch (const std::exception& error) {  // no memory, no descriptor: what it was about is seen again
      fail(error.what());
    }
  }
  end_workers();
  {
    const std::lock_guard lock(board_.mutex);
    board_.workers_gone = true;
    board_.changed.notify_all();
  }
  callbacks_.finish();
  const std::lock_guard lock(board_.mutex);
  board_.ended = true;
  board_.changed.notify_all();
}

void PoolDispatcher::work() {
  take_orders();
  if (phase_ == PoolBoard::Phase::kTerminating) return;
  deal();
  if (plan_.looks) look_around();
  if (is_over()) return;
  Deadline deadline = next_alarm();
  {
    const std::lock_guard lock(board_.mutex);
    if (!board_.inbox.empty() || !returned_.empty() || board_.phase != phase_) deadline = Deadline::immediate();
    board_.dispatcher_sleeps = true;
    offer_idle();
  }
  loop_.run_once(deadline);
  {
    const std::lock_guard lock(board_.mutex);
    board_.dispatcher_sleeps = false;
    lends_ = false;
    offers_.clear();
  }
  ring_alarms();
}

bool PoolDispatcher::is_over() {
  if (phase_ == PoolBoard::Phase::kTerminating || failed_) return true;
  return phase_ == PoolBoard::Phase::kClosing && queue_.empty() &&
         std::ranges::all_of(workers_, [](const auto& w) { return w->gone; });
}

void PoolDispatcher::take_orders() {
  welcome_back();
  std::vector<PoolItem> inbox;
  {
    const std::lock_guard lock(board_.mutex);
    inbox.swap(board_.inbox);
    phase_ = board_.phase;
  }
  for (PoolItem& item : inbox) {
    item.serial = ++serial_;
    queue_.push_back(std::move(item));
  }
  if (phase_ == PoolBoard::Phase::kTerminating) abandon_all(Status::kTerminated, "the pool was terminated");
}

Deadline PoolDispatcher::next_alarm() const {
  std::int64_t first = 0;
  for (const auto& worker : workers_) {
    if (worker->alarm_ns != 0 && (first == 0 || worker->alarm_ns < first)) first = worker->alarm_ns;
  }
  return first == 0 ? Deadline::never() : Deadline::after(std::chrono::nanoseconds(first - Deadline::now_ns()));
}

void PoolDispatcher::ring_alarms() {
  for (auto& worker : workers_) {
    if (worker->alarm_ns == 0 || Deadline::now_ns() < worker->alarm_ns) continue;
    worker->alarm_ns = 0;
    ring_alarm(*worker);
  }
}

void PoolDispatcher::ring_alarm(Worker& worker) {
  if (worker.lent) {
    if (worker.exit_code) worker.channel->close();  // whom its children keep open; who waits for it comes back
  } else if (worker.exit_code) {
    bury(worker);  // nothing has come for long enough
  } else if (worker.gone) {
    start_worker(worker);
  } else if (worker.channel == nullptr) {
    if (worker.reached) zygote_->kill(worker.id, SIGKILL);  // it lives, and can neither hear nor say anything
  } else if (!worker.unsent.empty()) {
    const Bytes message = std::exchange(worker.unsent, {});
    send(worker, message);
    if (worker.unsent.empty() && worker.long_at) send_long(worker);
  }
}

// The pool ends here; whoever waits for anything learns why.
void PoolDispatcher::fail(const std::string& why) {
  if (failed_) return;
  failed_ = true;
  {
    const std::lock_guard lock(board_.mutex);
    board_.failure = "the pool failed: " + why;
  }
  abandon_all(Status::kBroken, "the pool failed: " + why);
}

void PoolDispatcher::abandon_all(Status status, const std::string& text) {
  abandoned_ = status;
  abandoned_text_ = text;
  std::vector<PoolItem> inbox;
  {
    const std::lock_guard lock(board_.mutex);
    inbox.swap(board_.inbox);
  }
  for (auto& worker : workers_) {
    for (Given& given : worker->given) finish(given.item, {.status = status, .text = text});
    worker->given.clear();
  }
  for (PoolItem& item : queue_) finish(item, {.status = status, .text = text});
  queue_.clear();
  for (PoolItem& item : inbox) finish(item, {.status = status, .text = text});
}

// No worker is killed while this thread is in a call on its channel: a mechanism may not survive that.
void PoolDispatcher::end_workers() noexcept {
  if (!zygote_) return;
  loop_.forget(*zygote_);
  // Where kills are not survived nobody may touch a channel after its worker's.
  for (auto& worker : workers_) {
    if (worker->channel != nullptr) loop_.stand_down(*worker->channel);
  }
  for (Stranger& stranger : strangers_) loop_.stand_down(*stranger.channel);
  zygote_->end();
  zygote_.reset();
  await_dead_workers();
  await_lent();
  for (auto& worker : workers_) {
    close_channel(*worker);
    worker->gone = true;
  }
  for (Stranger& stranger : strangers_) loop_.forget(*stranger.channel);
  strangers_.clear();
  if (listener_ != nullptr) {
    loop_.forget(*listener_);
    listener_.reset();
  }
  const std::lock_guard lock(board_.mutex);
  std::ranges::fill(board_.pids, 0);
}

// A zygote that was killed leaves them dying, and what closes a channel may be slow while its peer lives.
void PoolDispatcher::await_dead_workers() noexcept try {
  constexpr std::chrono::seconds kPatience{1};
  for (const pid_t pid : board_.pids) {
    const Fd process(pid == 0 ? -1 : ::pidfd_open(pid, 0));
    if (process) (void)wait({process.get()}, Deadline::after(kPatience));
  }
} catch (const std::exception&) {  // poll(2) fails for want of memory only; then nobody waits
}

void PoolDispatcher::close_channel(Worker& worker) noexcept {
  if (worker.channel == nullptr) return;
  loop_.forget(*worker.channel);
  worker.paused = false;
  std::unique_ptr<Connection> channel;
  {
    const std::lock_guard lock(channels_mutex_);
    channel = std::move(worker.channel);
  }
}

std::uint64_t PoolDispatcher::running() const noexcept {
  std::uint64_t count = 0;
  for (const auto& worker : workers_) {
    if (claims_[worker->place].last() > worker->answered.load(std::memory_order_acquire)) ++count;
  }
  return count;
}

void PoolDispatcher::become_copy() noexcept {
  for (auto& worker : workers_) {
    if (worker->channel != nullptr) worker->channel->close();
  }
  for (Stranger& stranger : strangers_) stranger.channel->close();
  if (zygote_) zygote_->become_copy();
  loop_.become_copy();
  board_.bell.reset();
  memory_.reset();
}

}  // namespace crucible
