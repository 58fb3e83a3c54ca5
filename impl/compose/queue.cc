#include "compose/queue.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "compose/queue_broker.h"
#include "core/event_loop.h"
#include "core/fork_order.h"
#include "core/fork_registry.h"

namespace crucible {
namespace {

using namespace std::chrono_literals;

constexpr auto kClosingPatience = 1s;  // with a broker that was stopped
constexpr auto kLongestRefusal = 5s;   // by a broker that lives: it has no descriptor left
constexpr auto kPause = 10ms;
constexpr std::size_t kKeyBytes = 32;
constexpr std::uint64_t kMostStorage = 1ULL << 40;

Bytes random_bytes(std::size_t count) {
  Bytes bytes(count);
  if (::getrandom(bytes.data(), count, 0) != static_cast<ssize_t>(count)) throw_errno("getrandom");
  return bytes;
}

void serve_queue(BrokerProcess::Duty& duty, const QueueCarrier& carrier, const std::string& door,
                 const DoorOptions& options, const wire::QueueId& id, const QueueBounds& bounds) {
  const std::unique_ptr<Listener> listener = carrier.listen(door, options);
  EventLoop loop;
  bool has_family = true;
  ReadableDescriptor family(duty.family());
  ReadableDescriptor creator(duty.creator());
  QueueBroker broker(loop, *listener, id, bounds);  // its end comes before the listener's, which it waits for
  loop.watch(family, [&] {
    has_family = false;
    loop.forget(family);
  });
  loop.watch(creator, [&] {
    if (!duty.answer(duty.has_family() || broker.has_strangers())) loop.forget(creator);
  });
  duty.report(listener->address());
  while (has_family || broker.has_strangers()) broker.run_once();
}

}  // namespace

// --- The queues of this process --------------------------------------------------------------------------------

class ComposedQueue::Registry : public ForkRegistry<Registry, ComposedQueue> {};

void ComposedQueue::register_with_forks() { Registry::get(); }

namespace {
[[gnu::constructor(fork_order::kOwner)]] void register_with_forks() { ComposedQueue::register_with_forks(); }
}  // namespace

// A forked child has its own connections: as long as it kept copies of its parent's, the broker would not learn of the
// parent's death.
bool ComposedQueue::after_fork_in_child() {
  mutex_.unlock();
  idle_.clear();
  for (QueueLink* link : busy_) link->sever();  // the rest of it is a thread's that does not exist here
  busy_.clear();
  connecting_ = leaving_ = 0;
  if (broker_ != nullptr) broker_->become_copy();
  return true;
}

// --- Making and opening ----------------------------------------------------------------------------------------

ComposedQueue::ComposedQueue(const QueueCarrier& carrier, std::string address, DoorOptions door)
    : carrier_(carrier),
      longest_(capabilities(carrier.pipe).max_message_bytes),
      address_(std::move(address)),
      door_options_(std::move(door)) {
  door_options_.pipe = {.capacity_bytes = carrier.pipe_bytes};
}

std::unique_ptr<ComposedQueue> ComposedQueue::create(const QueueCarrier& carrier, const std::string& address,
                                                     const QueueOptions& options) {
  if (options.wait) throw BadArgument("queue: a broker sleeps until it is asked");
  if (options.storage_bytes > kMostStorage) throw BadArgument("queue: more storage than any memory");
  DoorOptions door = address.empty() ? DoorOptions{.authkey = random_bytes(kKeyBytes)} : options.door;
  door.pipe = {.capacity_bytes = carrier.pipe_bytes};
  wire::QueueId id;
  std::ranges::copy(random_bytes(id.size()), id.begin());
  const QueueBounds bounds = {.maxsize = options.maxsize,
                              .storage_bytes = options.storage_bytes != 0 ? options.storage_bytes : kDefaultStorage,
                              .joinable = options.joinable};
  const std::string place = address.empty() ? std::string(carrier.scheme) + ":" : address;
  auto broker = std::make_unique<BrokerProcess>(
      "crucible-queue", [&](BrokerProcess::Duty& duty) { serve_queue(duty, carrier, place, door, id, bounds); });
  std::unique_ptr<ComposedQueue> queue(
      new ComposedQueue(carrier, address.empty() ? std::string() : broker->address(), std::move(door)));
  queue->door_ = broker->address();
  queue->id_ = id;
  queue->bounds_ = bounds;
  queue->broker_ = std::move(broker);
  Registry::get().enter(queue.get());
  return queue;
}

std::unique_ptr<ComposedQueue> ComposedQueue::open(const QueueCarrier& carrier, const std::string& address,
                                                   const QueueOptions& options, Deadline deadline) {
  if (options.wait) throw BadArgument("queue: a broker sleeps until it is asked");
  std::unique_ptr<ComposedQueue> queue(new ComposedQueue(carrier, address, options.door));
  queue->door_ = address;
  Registry::get().enter(queue.get());
  std::unique_ptr<Connection> connection = carrier.connect(address, queue->door_options_, deadline);
  if (connection == nullptr) return nullptr;
  auto link = queue->make_link(std::move(connection));
  wire::Welcome welcome;
  const Status status = link->greet(queue->id_, false, welcome, deadline);
  if (status == Status::kTimeout) return nullptr;
  if (status != Status::kOk) throw_status(status == Status::kBroken ? Status::kEof : status, "open");
  queue->id_ = welcome.id;
  queue->bounds_ = {
      .maxsize = welcome.maxsize, .storage_bytes = welcome.storage_bytes, .joinable = welcome.joinable != 0};
  queue->idle_.push_back(std::move(link));  // the broker lasts as long as it does
  return queue;
}

ComposedQueue::~ComposedQueue() {
  close();
  Registry::get().leave(this);
}

std::unique_ptr<QueueLink> ComposedQueue::make_link(std::unique_ptr<Connection> connection) const {
  return std::make_unique<QueueLink>(std::move(connection), !carrier_.pipe.outlives_sender, longest_, closed_);
}

// --- Links -----------------------------------------------------------------------------------------------------

// kOk: `link` is this thread's, and listed so that close() finds it.
Status ComposedQueue::take_link(std::unique_ptr<QueueLink>& link, Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return Status::kClosed;
    if (broken_) return Status::kBroken;
    if (!idle_.empty()) {
      link = std::move(idle_.back());
      idle_.pop_back();
      busy_.push_back(link.get());
      return Status::kOk;
    }
    ++connecting_;
  }
  Status status = Status::kBroken;
  std::exception_ptr failure;
  try {
    status = connect(link, deadline);
  } catch (...) {
    failure = std::current_exception();
  }
  {
    const std::lock_guard lock(mutex_);
    --connecting_;
    if (status == Status::kOk) busy_.push_back(link.get());
  }
  if (failure) std::rethrow_exception(failure);
  return status;
}

// A deadline may keep a call from waiting for others, not from coming to the broker, which never makes anybody wait. A
// try is given up now and then to see whether the queue was closed.
Status ComposedQueue::connect(std::unique_ptr<QueueLink>& link, Deadline deadline) {
  constexpr auto kFirstPatience = 500ms;
  const Deadline of_failures = Deadline::after(kLongestRefusal);
  for (auto patience = kFirstPatience; !closed_; patience *= 2) {
    Status status = Status::kTimeout;
    try {
      std::unique_ptr<Connection> connection = carrier_.connect(door_, door_options_, Deadline::after(patience));
      if (connection != nullptr) {
        link = make_link(std::move(connection));
        wire::Welcome welcome;
        status = link->greet(id_, broker_ != nullptr, welcome, Deadline::after(patience));
        if (status == Status::kOk) return status;
      }
    } catch (const Error&) {  // nobody there, or out of descriptors
      if (broker_ != nullptr && !broker_->is_gone() && of_failures.has_passed()) throw;
      status = Status::kBroken;
    }
    if (status != Status::kTimeout && (broker_ == nullptr || broker_->is_gone())) {
      broken_ = true;
      return Status::kBroken;
    }
    if (!deadline.is_immediate() && deadline.has_passed()) return Status::kTimeout;
    if (status != Status::kTimeout) std::this_thread::sleep_for(kPause);
  }
  return Status::kClosed;
}

void ComposedQueue::give_back(std::unique_ptr<QueueLink> link, bool is_well) noexcept {
  {
    const std::lock_guard lock(mutex_);
    std::erase(busy_, link.get());
    if (is_well && !closed_) return idle_.push_back(std::move(link));
    ++leaving_;
  }
  link.reset();
  const std::lock_guard lock(mutex_);
  --leaving_;
}

// What a thread of this process waits for is withdrawn; if that came too late, its call succeeds.
void ComposedQueue::await_users() noexcept {
  const Deadline deadline = Deadline::after(kClosingPatience);
  constexpr auto kLongestPause = 1000us;
  for (auto pause = 20us;; pause = std::min(pause * 2, kLongestPause)) {
    {
      const std::lock_guard lock(mutex_);
      if (busy_.empty() && connecting_ == 0 && leaving_ == 0) return;
      for (QueueLink* link : busy_) {
        if (deadline.has_passed()) {
          link->sever();
        } else {
          (void)link->interrupt();
        }
      }
    }
    std::this_thread::sleep_for(pause);
  }
}

void ComposedQueue::close() noexcept {
  Links idle;
  {
    const std::lock_guard lock(mutex_);
    if (closed_.exchange(true)) return;
    idle = std::exchange(idle_, {});
  }
  await_users();
  idle.clear();
  if (broker_ != nullptr) broker_->let_go();
}

}  // namespace crucible
