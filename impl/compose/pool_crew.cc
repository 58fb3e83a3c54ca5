// PoolDispatcher: how workers come and go.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <exception>
#include <system_error>
#include <utility>

#include "api/remote_error.h"
#include "compose/pool_dispatcher.h"

namespace crucible {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kLastWords = 100 * kMs;  // of a worker that has ended, where no end of file says that all came
constexpr std::int64_t kSeveredGrace = 1000 * kMs;  // between the end of a channel and that of its worker
constexpr std::int64_t kFirstPause = 10 * kMs;      // before the next try to start one
constexpr unsigned kMostDoublings = 6;
constexpr unsigned kMostEarlyEnds = 16;  // and as many as there are workers

std::string how(int exit_code) {
  if (exit_code >= 0) return "ended with exit code " + std::to_string(exit_code);
  return "was ended by signal " + std::to_string(-exit_code);
}

}  // namespace

void PoolDispatcher::start_worker(Worker& worker) {
  if (worker.id != 0 && !bringing_up_) board_.restarts.fetch_add(1, std::memory_order_relaxed);
  worker.id = worker.id == 0 ? worker.place + 1 : worker.id + workers_.size();
  claims_[worker.place].reset();
  worker.answered.store(0, std::memory_order_release);
  worker.sent = 0;
  worker.started = worker.reached = worker.ready = worker.leaving = worker.gone = false;
  worker.exit_code.reset();
  worker.left = plan_.tasks_per_worker;
  worker.long_at.reset();
  worker.unsent.clear();
  zygote_->start(worker.id);
}

void PoolDispatcher::hear_zygote() {
  while (const std::optional<Zygote::News> news = zygote_->next()) {
    Worker& worker = with_id(news->id);
    if (worker.id != news->id || worker.gone) continue;
    switch (news->kind) {
      case Zygote::News::kStarted: {
        const std::lock_guard lock(board_.mutex);
        board_.pids[worker.place] = news->number;
        worker.started = true;
        break;
      }
      case Zygote::News::kNotStarted:
        if (bringing_up_) throw std::system_error(news->number, std::generic_category(), "fork");
        worker.gone = true;
        retry_start(worker, "fork: " + std::generic_category().message(news->number));
        break;
      case Zygote::News::kEnded: {
        {
          const std::lock_guard lock(board_.mutex);
          board_.pids[worker.place] = 0;
        }
        worker.exit_code = news->number;
        hear_last_words(worker);
        break;
      }
    }
  }
  if (!zygote_->is_gone()) return;
  loop_.forget(*zygote_);
  fail("the process that starts its workers has ended, and they with it");
}

void PoolDispatcher::admit() {
  std::unique_ptr<Connection> channel;
  try {
    if (listener_->accept(channel, Deadline::immediate()) != Status::kOk) return;
  } catch (const std::system_error&) {  // its end is its worker's, who is started again
    return;
  }
  Stranger stranger;
  {
    const std::lock_guard lock(channels_mutex_);
    strangers_.push_back({.channel = std::move(channel)});
  }
  const auto at = std::prev(strangers_.end());
  loop_.watch(*at->channel, [this, at] { hear_stranger(at); });
}

void PoolDispatcher::hear_stranger(std::list<Stranger>::iterator stranger) {
  const Status status = stranger->channel->recv_bytes(in_, wire::kLongestMessage, Deadline::immediate());
  if (status == Status::kTimeout) return;
  loop_.forget(*stranger->channel);
  std::unique_ptr<Connection> channel;
  const bool is_hello = status == Status::kOk && in_.size() == pool_wire::kHeader &&
                        in_[0] == static_cast<std::byte>(pool_wire::Word::kHello);
  const std::uint64_t id = is_hello ? pool_wire::read_header(in_.data()).number : 0;
  Worker* const worker = id != 0 && with_id(id).id == id ? &with_id(id) : nullptr;
  const bool is_expected = worker != nullptr && !worker->reached && !worker->gone;
  {
    const std::lock_guard lock(channels_mutex_);
    channel = std::move(stranger->channel);
    strangers_.erase(stranger);
    if (is_expected) worker->channel = std::move(channel);
  }
  if (!is_expected) return;
  worker->reached = true;
  early_ends_ = 0;
  loop_.watch(*worker->channel, [this, worker] { (void)receive(*worker); });
  if (worker->exit_code) hear_last_words(*worker);
}

// Nothing more can come; how the worker ended its parent will tell.
void PoolDispatcher::lost_channel(Worker& worker) {
  close_channel(worker);
  if (worker.exit_code) {
    bury(worker);
  } else if (!worker.leaving) {
    worker.alarm_ns = Deadline::now_ns() + kSeveredGrace;
  }
}

// It has ended; what it sent before may still come.
void PoolDispatcher::hear_last_words(Worker& worker) {
  if (!take_back(worker)) {
    worker.alarm_ns = Deadline::now_ns() + kLastWords;
    return;
  }
  const std::uint64_t id = worker.id;
  if (worker.channel != nullptr) loop_.stand_down(*worker.channel);
  while (worker.channel != nullptr && receive(worker)) {
  }
  if (worker.id != id || worker.gone) return;  // it has been buried
  if (worker.channel == nullptr && worker.reached) {
    bury(worker);
  } else {
    worker.alarm_ns = Deadline::now_ns() + kLastWords;
  }
}

// Of what it had not answered it had begun one at most, which is lost with it.
void PoolDispatcher::bury(Worker& worker) {
  close_channel(worker);
  const std::uint64_t begun = claims_[worker.place].last();
  worker.answered.store(begun, std::memory_order_release);
  const int code = *std::exchange(worker.exit_code, std::nullopt);
  worker.gone = true;
  worker.alarm_ns = 0;
  for (auto given = worker.given.rbegin(); given != worker.given.rend(); ++given) {
    if (given->number > begun) {
      put_back(std::move(given->item));
      continue;
    }
    board_.lost.fetch_add(1, std::memory_order_relaxed);
    finish(given->item, {.status = Status::kWorkerLost, .exit_code = code, .text = "the worker " + how(code)});
  }
  worker.given.clear();
  if (failed_) return;
  if (!worker.reached) {
    retry_start(worker, "a worker " + how(code) + " before it could be reached");
  } else if (!worker.ready && plan_.initializer) {
    fail("a worker " + how(code) + " in its initializer");
  } else if (phase_ == PoolBoard::Phase::kRunning || !queue_.empty()) {
    start_worker(worker);
  }
}

void PoolDispatcher::retry_start(Worker& worker, const std::string& why) {
  if (bringing_up_ || ++early_ends_ > kMostEarlyEnds + workers_.size()) {
    fail(why);
    return;
  }
  if (phase_ != PoolBoard::Phase::kRunning && queue_.empty()) return;
  worker.alarm_ns = Deadline::now_ns() + (kFirstPause << std::min(early_ends_, kMostDoublings));
}

}  // namespace crucible
