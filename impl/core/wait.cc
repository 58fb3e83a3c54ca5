#include "core/wait.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "api/status.h"

namespace crucible {
namespace {

void require_distinct(std::span<const WaitItem> items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].object() == nullptr && items[i].descriptor() < 0) throw BadArgument("wait: a negative descriptor");
    if (std::find(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(i), items[i]) !=
        items.begin() + static_cast<std::ptrdiff_t>(i)) {
      throw BadArgument("wait: an item stands twice");
    }
  }
}

using std::chrono::milliseconds;

// One attempt to sleep on all items. Whatever happens, every object that was begun is ended.
class Round {
 public:
  explicit Round(std::span<const WaitItem> items) : items_(items), slots_(items.size()), armed_(items.size()) {
    try {
      for (; begun_ < items_.size(); ++begun_) begin(begun_);
    } catch (...) {
      end();
      throw;
    }
  }
  Round(const Round&) = delete;
  Round& operator=(const Round&) = delete;
  ~Round() { end(); }

  void sleep(Deadline deadline) {
    if (!ready_.empty()) deadline = Deadline::immediate();
    const bool may_last = longest_ms_ < 0 || (!deadline.is_never() && deadline.left() < milliseconds(longest_ms_));
    (void)sleep_on(slots_, may_last ? deadline : Deadline::after(milliseconds(longest_ms_)));
  }

  std::vector<std::size_t> finish() {
    end();
    std::sort(ready_.begin(), ready_.end());
    return std::move(ready_);
  }

 private:
  void begin(std::size_t i) {
    slots_[i] = {.fd = items_[i].descriptor(), .events = POLLIN, .revents = 0};
    if (items_[i].object() == nullptr) return;
    slots_[i].fd = -1;  // poll(2) ignores it
    if (items_[i].object()->begin_wait(slots_[i])) {
      slots_[i].fd = -1;
      ready_.push_back(i);
    } else {
      armed_[i] = true;
      const int longest_ms = items_[i].object()->longest_sleep_ms();
      if (longest_ms >= 0 && (longest_ms_ < 0 || longest_ms < longest_ms_)) longest_ms_ = longest_ms;
    }
  }

  void end() {
    for (std::size_t i = 0; i < begun_; ++i) {
      const bool is_ready = items_[i].object() == nullptr
                                ? slots_[i].revents != 0
                                : armed_[i] && items_[i].object()->end_wait(slots_[i].revents);
      if (is_ready) ready_.push_back(i);
    }
    begun_ = 0;
  }

  std::span<const WaitItem> items_;
  std::vector<pollfd> slots_;
  std::vector<bool> armed_;
  std::vector<std::size_t> ready_;
  std::size_t begun_ = 0;
  int longest_ms_ = -1;
};

}  // namespace

Wake sleep_on(std::span<pollfd> slots, Deadline deadline) {
  timespec left = {};
  if (!deadline.is_never()) {
    const auto ns = deadline.left().count();
    left = {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
  }
  const int ready = ppoll(slots.data(), slots.size(), deadline.is_never() ? nullptr : &left, nullptr);
  if (ready > 0) return Wake::kReady;
  if (ready == 0) return Wake::kTimeout;
  if (errno == EINTR) return Wake::kInterrupted;
  throw_errno("ppoll");
}

std::vector<std::size_t> wait(std::span<const WaitItem> items, Deadline deadline) {
  require_distinct(items);
  if (items.empty() && deadline.is_never()) return {};
  while (true) {
    Round round(items);
    round.sleep(deadline);
    std::vector<std::size_t> ready = round.finish();
    if (!ready.empty() || deadline.has_passed()) return ready;
  }
}

}  // namespace crucible
