#include "core/event_loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <exception>
#include <utility>

#include "api/status.h"

namespace crucible {
namespace {

// poll(2) and epoll(7) name the same bits.
static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR && EPOLLHUP == POLLHUP &&
              EPOLLRDHUP == POLLRDHUP);

constexpr int kMostCallsAtTheEnd = 16;  // for what came before it

}  // namespace

EventLoop::EventLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) throw_errno("epoll_create1");
}

EventLoop::~EventLoop() {
  for (auto& [object, entry] : entries_) {
    if (entry->armed) disarm(*entry, 0);
  }
}

void EventLoop::watch(Waitable& object, Callback on_ready) {
  auto entry = std::make_unique<Entry>(Entry{.object = &object, .on_ready = std::move(on_ready)});
  entry->queued = true;
  unarmed_.push_back(entry.get());
  entries_[&object] = std::move(entry);
}

void EventLoop::forget(Waitable& object) noexcept {
  const auto found = entries_.find(&object);
  if (found == entries_.end()) return;
  Entry& entry = *found->second;
  if (entry.armed) disarm(entry, 0);
  if (entry.descriptor >= 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, entry.descriptor, nullptr);
  entry.object = nullptr;
  forgotten_.push_back(std::move(found->second));
  entries_.erase(found);
}

void EventLoop::stand_down(Waitable& object) noexcept {
  const auto found = entries_.find(&object);
  if (found != entries_.end() && found->second->armed) disarm(*found->second, 0);
}

bool EventLoop::pause(Waitable& object) noexcept {
  const auto found = entries_.find(&object);
  if (found == entries_.end()) return false;
  Entry& entry = *found->second;
  if (entry.armed) disarm(entry, 0);
  if (std::ranges::find(ready_, &entry) != ready_.end()) return false;
  entry.paused = true;
  return true;
}

void EventLoop::resume(Waitable& object) noexcept {
  const auto found = entries_.find(&object);
  if (found == entries_.end() || !std::exchange(found->second->paused, false)) return;
  if (!std::exchange(found->second->queued, true)) unarmed_.push_back(found->second.get());
}

void EventLoop::run_once(Deadline deadline) {
  for (Entry* const entry : std::exchange(unarmed_, {})) {
    entry->queued = false;
    if (entry->object != nullptr && !entry->paused) arm(*entry);
  }
  sleep(ready_.empty() ? deadline : Deadline::immediate());
  look_after_naps();
  std::vector<Entry*> ready = std::exchange(ready_, {});
  // epoll names what it named before first. Who asks after a death must not be answered before it is noticed.
  std::ranges::stable_partition(ready, [](const Entry* entry) { return entry->hung_up; });
  for (std::size_t i = 0; i < ready.size(); ++i) {
    Entry& entry = *ready[i];
    if (entry.object == nullptr) continue;
    unarmed_.push_back(&entry);
    const int calls = std::exchange(entry.hung_up, false) ? kMostCallsAtTheEnd : 1;
    try {
      for (int call = 0; call < calls && entry.object != nullptr; ++call) entry.on_ready();
    } catch (...) {
      ready_.assign(ready.begin() + static_cast<std::ptrdiff_t>(i) + 1, ready.end());
      throw;
    }
  }
  if (!forgotten_.empty()) {
    std::erase_if(unarmed_, [](const Entry* entry) { return entry->object == nullptr; });
    std::erase_if(ready_, [](const Entry* entry) { return entry->object == nullptr; });
    forgotten_.clear();
  }
}

void EventLoop::serve_ended(const Waitable& object) {
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), 0);
  std::vector<Entry*> ended;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    auto* const entry = static_cast<Entry*>(event.data.ptr);
    if ((event.events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) == 0 || entry->object == &object || entry->paused) continue;
    if (entry->armed) disarm(*entry, static_cast<short>(event.events));
    ended.push_back(entry);
  }
  for (Entry* const entry : ended) {
    for (int call = 0; call < kMostCallsAtTheEnd && entry->object != nullptr; ++call) entry->on_ready();
  }
}

void EventLoop::arm(Entry& entry) {
  pollfd slot = {.fd = -1, .events = 0, .revents = 0};
  bool ready = true;
  try {
    ready = entry.object->begin_wait(slot);
    entry.armed = !ready;
  } catch (const std::exception&) {  // its user shall meet what is wrong with it
  }
  if (!ready && announce(entry, slot)) {
    entry.longest_sleep_ms = entry.object->longest_sleep_ms();
    if (entry.longest_sleep_ms < 0) return;
    nap_ms_ = std::min(nap_ms_, entry.longest_sleep_ms);
    if (nappers_++ == 0) looked_ns_ = Deadline::now_ns();
    return;
  }
  if (entry.armed) {
    entry.longest_sleep_ms = -1;
    disarm(entry, 0);
  }
  if (!std::exchange(entry.queued, true)) ready_.push_back(&entry);
}

// False: the kernel cannot watch it.
bool EventLoop::announce(Entry& entry, const pollfd& slot) {
  if (slot.fd == entry.descriptor && slot.events == entry.events) return true;
  epoll_event event = {.events = static_cast<std::uint32_t>(static_cast<unsigned short>(slot.events)) | EPOLLRDHUP,
                       .data = {.ptr = &entry}};
  if (slot.fd != entry.descriptor && entry.descriptor >= 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, std::exchange(entry.descriptor, -1), nullptr);
  }
  const int operation = entry.descriptor < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (::epoll_ctl(epoll_.get(), operation, slot.fd, &event) != 0) return false;
  entry.descriptor = slot.fd;
  entry.events = slot.events;
  return true;
}

// Leaves it in ready_ or unarmed_.
void EventLoop::disarm(Entry& entry, short revents) {
  bool ready = true;
  entry.armed = false;
  if (entry.longest_sleep_ms >= 0) --nappers_;
  entry.longest_sleep_ms = -1;
  try {
    ready = entry.object->end_wait(revents);
  } catch (const std::exception&) {
  }
  if (!std::exchange(entry.queued, true)) (ready ? ready_ : unarmed_).push_back(&entry);
}

int EventLoop::longest_sleep_ms(Deadline deadline) const {
  const int nap = nappers_ > 0 ? nap_ms_ : INT_MAX;
  if (deadline.is_never()) return nappers_ > 0 ? nap : -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.left()).count();
  return static_cast<int>(std::min<std::int64_t>(left, nap));
}

void EventLoop::sleep(Deadline deadline) {
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), longest_sleep_ms(deadline));
  if (count < 0 && errno != EINTR) throw_errno("epoll_wait");
  for (int i = 0; i < count; ++i) {
    Entry& entry = *static_cast<Entry*>(events[static_cast<std::size_t>(i)].data.ptr);
    const std::uint32_t seen = events[static_cast<std::size_t>(i)].events;
    if (entry.paused) {  // somebody else's message; the kernel would go on telling of it
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, std::exchange(entry.descriptor, -1), nullptr);
      continue;
    }
    entry.hung_up = (seen & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0;
    if (entry.armed) disarm(entry, static_cast<short>(seen));
  }
}

// A peer may have been killed between what it did and the waking of who sleeps for it.
void EventLoop::look_after_naps() {
  if (nappers_ == 0) return;
  const std::int64_t now = Deadline::now_ns();
  if (now - looked_ns_ < nap_ms_ * 1'000'000LL) return;
  looked_ns_ = now;
  for (const auto& [object, entry] : entries_) {
    if (entry->armed && entry->longest_sleep_ms >= 0) disarm(*entry, 0);
  }
}

}  // namespace crucible
