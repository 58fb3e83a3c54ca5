// PoolDispatcher: tasks, and what comes of them.
#include <algorithm>
#include <csignal>
#include <cstring>
#include <exception>
#include <utility>
#include <vector>

#include "api/remote_error.h"
#include "compose/pool_dispatcher.h"

namespace crucible {
namespace {

using pool_wire::Call;
using pool_wire::Header;
using pool_wire::kBeforeArguments;
using pool_wire::kHeader;
using pool_wire::Order;
using pool_wire::Word;

constexpr std::int64_t kRetryNs = 1'000'000;
constexpr std::size_t kSmallArguments = 256;  // of which a channel holds as many as a worker is ever sent
constexpr int kMostAnswersAtOnce = 64;        // lest one worker keep the others waiting

bool fits_inline(const PoolTask& task) noexcept {
  return task.arguments.size() + task.name.size() <= pool_wire::kMostInline;
}

bool is_small(const PoolTask& task) noexcept { return task.arguments.size() + task.name.size() <= kSmallArguments; }

}  // namespace

void PoolDispatcher::deal() {
  if (depth_ > 1) withdraw_for_idle();
  hand_out();
  if (phase_ == PoolBoard::Phase::kClosing && queue_.empty()) let_idle_leave();
}

// Idle workers first; what is left goes to those who will be idle soonest.
void PoolDispatcher::hand_out() {
  for (std::size_t depth = 1; depth <= depth_ && !queue_.empty(); ++depth) {
    for (auto& worker : workers_) {
      if (queue_.empty()) break;
      if (can_take(*worker, depth)) give(*worker);
    }
  }
}

bool PoolDispatcher::can_take(const Worker& worker, std::size_t depth) const {
  if (!worker.ready || worker.leaving || worker.lent || worker.exit_code || worker.channel == nullptr) return false;
  if (!worker.unsent.empty() || worker.long_at) return false;
  if (plan_.tasks_per_worker != 0 && worker.left == 0) return false;
  if (worker.sent - worker.answered.load(std::memory_order_relaxed) >= std::min(depth, worker.depth)) return false;
  // Long arguments need a worker that receives them.
  if (worker.given.empty()) return true;
  const PoolTask& task = queue_.front().task;
  return fits_inline(task) && (depth <= kLeastDepth || is_small(task));
}

void PoolDispatcher::give(Worker& worker) {
  worker.given.push_back({.number = ++worker.sent, .item = std::move(queue_.front())});
  queue_.pop_front();
  if (plan_.tasks_per_worker != 0) --worker.left;
  if (std::exchange(worker.paused, false)) loop_.resume(*worker.channel);
  if (looking_) loop_.stand_down(*worker.channel);
  const bool is_long = !write_task(out_, worker.given.back().item.task, worker.sent);
  if (is_long) {
    worker.long_at = 0;
    worker.allowance = pool_wire::kWindow;
  }
  send(worker, out_);
  if (is_long && worker.unsent.empty()) send_long(worker);
}

// False: the arguments are too long to be in it.
bool PoolDispatcher::write_task(Bytes& out, const PoolTask& task, std::uint64_t number) {
  const Call call = {.code = reinterpret_cast<std::uint64_t>(task.code),
                     .function = reinterpret_cast<std::uint64_t>(task.function)};
  const bool fits = fits_inline(task);
  const int flags = (task.is_chunk ? pool_wire::kIsChunk : 0) | (fits ? 0 : pool_wire::kIsLong);
  out.resize(kBeforeArguments);
  pool_wire::write_header(out.data(), static_cast<std::uint8_t>(Order::kTask),
                          static_cast<std::uint32_t>(task.name.size()), number, static_cast<std::uint8_t>(flags));
  std::memcpy(out.data() + kHeader, &call, sizeof call);
  const std::uint64_t length = task.arguments.size();
  const ByteView behind = fits ? ByteView(task.arguments) : std::as_bytes(std::span(&length, 1));
  const ByteView name = as_bytes(task.name);
  out.insert(out.end(), name.begin(), name.end());
  out.insert(out.end(), behind.begin(), behind.end());
  return fits;
}

void PoolDispatcher::send_long(Worker& worker) {
  const Bytes& arguments = worker.given.back().item.task.arguments;
  while (worker.allowance > 0 && worker.unsent.empty()) {
    const ByteView rest = ByteView(arguments).subspan(*worker.long_at);
    const ByteView piece = rest.first(std::min(rest.size(), pool_wire::kMostInline));
    *worker.long_at += piece.size();
    --worker.allowance;
    send(worker, piece);
    if (*worker.long_at == arguments.size()) {
      worker.long_at.reset();
      return;
    }
  }
}

// Without waiting: nobody may keep this thread waiting. There is room, unless the worker was stopped or the channel is
// very small; then the message is kept and sent again.
void PoolDispatcher::send(Worker& worker, ByteView message) {
  Status status = Status::kBroken;
  try {
    status = worker.channel->send_bytes(message, Deadline::immediate());
  } catch (const std::exception&) {
    expel(worker);
  }
  if (status == Status::kTimeout) {
    worker.unsent.assign(message.begin(), message.end());
    worker.alarm_ns = Deadline::now_ns() + kRetryNs;
  }
  // Other outcomes mean that the worker is ending, which is reported by its parent.
}

// What waits behind a task that may never end goes to a worker that has nothing to do, before anything younger does.
void PoolDispatcher::withdraw_for_idle() {
  const auto waits = [](const auto& worker) {
    return worker->given.size() > 1 && worker->unsent.empty() && !worker->exit_code;
  };
  const auto is_idle = [this](const auto& worker) { return worker->given.empty() && can_take(*worker, 1); };
  const auto idle = static_cast<std::size_t>(std::ranges::count_if(workers_, is_idle));
  if (idle == 0 || std::ranges::none_of(workers_, waits)) return;
  std::vector<Worker*> busy;
  for (auto& worker : workers_) {
    if (waits(worker)) busy.push_back(worker.get());
  }
  std::ranges::sort(busy, {}, [](const Worker* worker) { return worker->given[1].item.serial; });
  for (Worker* const worker : busy) {
    if (queue_.size() >= idle && queue_[idle - 1].serial < worker->given[1].item.serial) return;
    withdraw(*worker);
  }
}

void PoolDispatcher::withdraw(Worker& busy) {
  const std::uint64_t begun = claims_[busy.place].withdraw(busy.sent);
  while (!busy.given.empty() && busy.given.back().number > begun) {
    put_back(std::move(busy.given.back().item));
    busy.given.pop_back();
    if (plan_.tasks_per_worker != 0) ++busy.left;
  }
  if (busy.given.empty()) busy.answered.store(busy.sent, std::memory_order_release);
}

void PoolDispatcher::put_back(PoolItem item) {
  const auto place = std::ranges::lower_bound(queue_, item.serial, {}, &PoolItem::serial);
  queue_.insert(place, std::move(item));
}

void PoolDispatcher::let_idle_leave() {
  for (auto& worker : workers_) {
    if (!worker->ready || worker->leaving || worker->lent || !worker->given.empty()) continue;
    if (worker->channel == nullptr) continue;
    if (std::exchange(worker->paused, false)) loop_.resume(*worker->channel);
    worker->leaving = true;
    out_.resize(kHeader);
    pool_wire::write_header(out_.data(), static_cast<std::uint8_t>(Order::kLeave), 0);
    send(*worker, out_);
  }
}

// Who has nothing left by the time that its answers are heard does tasks faster than it is given any: the next time it
// gets more at once. Who is still busy with what it has needs no more behind that than keeps it from waiting.
void PoolDispatcher::adapt_depth(Worker& worker) noexcept {
  worker.depth =
      worker.given.empty() ? std::min(2 * worker.depth, kMostDepth) : std::max(worker.depth / 2, kLeastDepth);
}

// False: there is nothing more now, or will never be.
bool PoolDispatcher::receive(Worker& worker) {
  const std::size_t before = worker.given.size();
  for (int i = 0; i < kMostAnswersAtOnce; ++i) {
    Status status = Status::kBroken;
    try {
      // Whether a channel without news has ended only the kernel knows; the zygote will say.
      status = looking_ && !worker.channel->has_news()
                   ? Status::kTimeout
                   : worker.channel->recv_bytes(in_, Connection::kNoLimit, Deadline::immediate());
    } catch (const std::exception&) {
      expel(worker);
    }
    if (status == Status::kTimeout) {
      if (worker.given.size() != before) adapt_depth(worker);
      return false;
    }
    if (status != Status::kOk) {
      lost_channel(worker);
      return false;
    }
    heard_something_ = true;
    hear(worker);
    if (worker.channel == nullptr) return false;
  }
  return true;
}

void PoolDispatcher::hear(Worker& worker) {
  if (in_.size() < kHeader) {
    expel(worker);
    return;
  }
  const Header header = pool_wire::read_header(in_.data());
  const bool answers = !worker.given.empty() && header.number == worker.given.front().number;
  switch (static_cast<Word>(header.kind)) {
    case Word::kReady: worker.ready = true; return;
    case Word::kFailed: {
      std::string what = "something unknown";
      try {
        const auto failure = decode<Failure>(ByteView(in_).subspan(kHeader));
        what = failure.type + ": " + failure.message;
      } catch (const EncodingError&) {
      }
      fail("the initializer of a worker threw " + what);
      return;
    }
    case Word::kMore:
      if (!worker.long_at) return;  // the last of them
      ++worker.allowance;
      send_long(worker);
      return;
    case Word::kResult:
      if (!answers) break;
      answer(worker, Status::kOk);
      return;
    case Word::kThrew:
      if (!answers) break;
      answer(worker, Status::kRemote);
      return;
    case Word::kHello: break;
  }
  expel(worker);
}

void PoolDispatcher::answer(Worker& worker, Status status) {
  Given given = std::move(worker.given.front());
  worker.given.pop_front();
  // If what followed was taken back the worker passes over it.
  worker.answered.store(worker.given.empty() ? worker.sent : given.number, std::memory_order_release);
  board_.done.fetch_add(1, std::memory_order_relaxed);
  in_.erase(in_.begin(), in_.begin() + kHeader);
  const bool is_long = in_.size() > wire::kLongestMessage;
  finish(given.item, {.status = status, .bytes = is_long ? std::move(in_) : Bytes(in_)});
  if (plan_.tasks_per_worker != 0 && worker.left == 0 && worker.given.empty() && !worker.leaving) {
    worker.leaving = true;
    out_.resize(kHeader);
    pool_wire::write_header(out_.data(), static_cast<std::uint8_t>(Order::kLeave), 0);
    send(worker, out_);
  }
}

void PoolDispatcher::finish(PoolItem& item, PoolOutcome outcome) {
  board_.unfinished.fetch_sub(1, std::memory_order_relaxed);
  item.task.arguments = {};
  if (item.job->finish(item.index, std::move(outcome))) callbacks_.complete(std::move(item.job));
  item.job.reset();
}

// It says what no worker says: its memory or its channel is somebody else's now.
void PoolDispatcher::expel(Worker& worker) { zygote_->kill(worker.id, SIGKILL); }

}  // namespace crucible
