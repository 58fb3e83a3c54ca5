// PoolDispatcher: idle workers, lent to threads that wait for one task. Between such a thread and its worker there is
// nobody then: two switches between processes instead of four. README.md in this folder tells more.
#include <algorithm>
#include <exception>
#include <utility>

#include "compose/pool_dispatcher.h"

namespace crucible {

using pool_wire::kHeader;
using pool_wire::Word;

// The board's mutex is held. Who has nothing to do and nothing coming; and only while nobody waits for a worker.
void PoolDispatcher::offer_idle() {
  if (!plan_.carrier.pipe.survives_kill) return;  // nobody may be in a call on a channel whose worker is killed
  if (phase_ != PoolBoard::Phase::kRunning || board_.phase != phase_ || failed_ || plan_.tasks_per_worker != 0) return;
  if (!queue_.empty() || !board_.inbox.empty()) return;
  if (std::ranges::any_of(workers_, [](const auto& worker) { return worker->given.size() > 1; })) return;
  lends_ = true;
  for (auto& worker : workers_) {
    if (!worker->given.empty() || !can_take(*worker, 1) || worker->alarm_ns != 0) continue;
    if (!worker->paused) worker->paused = loop_.pause(*worker->channel);
    if (worker->paused) offers_.push_back(worker.get());
  }
}

// False: it is lent.
bool PoolDispatcher::take_back(Worker& worker) {
  const std::lock_guard lock(board_.mutex);
  std::erase(offers_, &worker);
  return !worker.lent;
}

void PoolDispatcher::welcome_back() {
  std::vector<Returned> returned;
  {
    const std::lock_guard lock(board_.mutex);
    returned.swap(returned_);
    for (const Returned& back : returned) back.worker->lent = false;
  }
  for (Returned& back : returned) {
    Worker& worker = *back.worker;
    if (back.item) {
      back.item->serial = ++serial_;
      worker.given.push_back({.number = worker.sent, .item = *std::move(back.item)});
    }
    if (back.expel) expel(worker);
    if (worker.exit_code) {
      hear_last_words(worker);
    } else if (std::exchange(worker.paused, false)) {
      loop_.resume(*worker.channel);
    }
  }
}

// The workers are dead: whoever waits for one is told, or learns it from the close.
void PoolDispatcher::await_lent() noexcept {
  std::unique_lock lock(board_.mutex);
  lends_ = false;
  offers_.clear();
  for (auto& worker : workers_) {
    const auto is_back = [this, &worker] {
      return !worker->lent ||
             std::ranges::any_of(returned_, [&](const Returned& b) { return b.worker == worker.get(); });
    };
    if (is_back()) continue;
    lock.unlock();
    worker->channel->close();
    lock.lock();
    board_.changed.wait(lock, is_back);
  }
  std::vector<Returned> returned = std::exchange(returned_, {});
  for (const Returned& back : returned) back.worker->lent = false;
  lock.unlock();
  for (Returned& back : returned) {
    if (back.item) finish(*back.item, {.status = abandoned_, .text = abandoned_text_});
  }
}

bool PoolDispatcher::perform(PoolTask& task, PoolOutcome& outcome, std::shared_ptr<PoolJob>& job,
                             std::unique_lock<std::mutex>& board) {
  if (!lends_ || !board_.dispatcher_sleeps || offers_.empty()) return false;
  if (task.arguments.size() + task.name.size() > pool_wire::kMostInline) return false;
  Worker& worker = *offers_.back();
  offers_.pop_back();
  worker.lent = true;
  board_.unfinished.fetch_add(1, std::memory_order_relaxed);
  board.unlock();
  bool expel = false;
  const Status status = ask(worker, task, outcome, expel);
  if (status == Status::kOk) {
    board_.done.fetch_add(1, std::memory_order_relaxed);
    board_.unfinished.fetch_sub(1, std::memory_order_relaxed);
  } else {
    job = std::make_shared<PoolJob>(1);
  }
  board.lock();
  if (status == Status::kOk && lends_ && board_.dispatcher_sleeps) {
    worker.lent = false;
    offers_.push_back(&worker);
    return true;
  }
  returned_.push_back({.worker = &worker, .item = std::nullopt, .expel = expel});
  if (job) returned_.back().item = PoolItem{.job = job, .index = 0, .task = std::move(task)};
  board_.changed.notify_all();
  board_.wake();
  return true;
}

// kOk: it has answered. Otherwise it is not to be spoken to any more.
Status PoolDispatcher::ask(Worker& worker, const PoolTask& task, PoolOutcome& outcome, bool& expel) try {
  Bytes& message = worker.message;
  (void)write_task(message, task, ++worker.sent);
  Status status = worker.channel->send_bytes(message);
  while (status == Status::kOk) {
    status = worker.channel->recv_bytes(message);
    if (status != Status::kOk) break;
    const bool is_whole = message.size() >= kHeader;
    const pool_wire::Header header = is_whole ? pool_wire::read_header(message.data()) : pool_wire::Header{};
    const auto word = static_cast<Word>(header.kind);
    if (word == Word::kMore) continue;  // the last of an earlier task's pieces
    const bool answers = (word == Word::kResult || word == Word::kThrew) && header.number == worker.sent;
    if (!answers) {
      expel = true;
      return Status::kBroken;
    }
    worker.answered.store(header.number, std::memory_order_release);
    outcome.status = word == Word::kResult ? Status::kOk : Status::kRemote;
    outcome.bytes.assign(message.begin() + kHeader, message.end());
    return Status::kOk;
  }
  return status;
} catch (const std::exception&) {
  expel = true;
  return Status::kBroken;
}

}  // namespace crucible
