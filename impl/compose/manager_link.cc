#include "compose/manager_link.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <exception>
#include <utility>

namespace crucible {
namespace {

using namespace std::chrono_literals;
using manager_wire::Answer;
using manager_wire::Header;
using manager_wire::kHeader;
using manager_wire::Request;

constexpr auto kPatience = 1ms;  // with a full transport, before its other direction is looked at

std::uint8_t code(Request request) noexcept { return static_cast<std::uint8_t>(request); }

Deadline sooner(Deadline one, std::chrono::nanoseconds left) {
  return !one.is_never() && one.left() < left ? one : Deadline::after(left);
}

// Waits for `changed`; false once the deadline has passed.
bool wait_for_change(std::condition_variable& changed, std::unique_lock<std::mutex>& guard, Deadline deadline) {
  if (deadline.is_never()) {
    changed.wait(guard);
    return true;
  }
  if (deadline.has_passed()) return false;
  changed.wait_for(guard, deadline.left());
  return true;
}

}  // namespace

// --- Greeting --------------------------------------------------------------------------------------------------

Status ManagerLink::greet(const manager_wire::Hello& hello, bool of_the_family, ServerId& found, Deadline deadline) {
  out_.resize(kHeader + sizeof hello);
  manager_wire::write_header(out_.data(), code(Request::kHello), 0, manager_wire::kVersion,
                             of_the_family ? manager_wire::kOfTheFamily : std::uint8_t{0});
  std::memcpy(out_.data() + kHeader, &hello, sizeof hello);
  Status status = connection_->send_bytes(out_, deadline);
  if (status == Status::kOk) status = connection_->recv_bytes(in_, manager_wire::kLongestMessage, deadline);
  if (status != Status::kOk) return status == Status::kTimeout ? status : Status::kBroken;
  if (in_.size() != kHeader + found.size()) return Status::kAuth;
  const Header header = manager_wire::read_header(in_.data());
  if (header.kind != static_cast<std::uint8_t>(Answer::kWelcome) || header.number != manager_wire::kVersion) {
    return Status::kAuth;
  }
  std::memcpy(found.data(), in_.data() + kHeader, found.size());
  return hello.server == ServerId{} || hello.server == found ? Status::kOk : Status::kStale;
}

Status ManagerLink::hold(const std::vector<std::uint64_t>& objects, Deadline deadline) {
  constexpr std::size_t kMost = manager_wire::kMostInline / sizeof(std::uint64_t);
  for (std::size_t first = 0; first < objects.size(); first += kMost) {
    const std::size_t count = std::min(kMost, objects.size() - first);
    out_.resize(kHeader + count * sizeof(std::uint64_t));
    manager_wire::write_header(out_.data(), code(Request::kHold), 0, count);
    std::memcpy(out_.data() + kHeader, objects.data() + first, count * sizeof(std::uint64_t));
    const Status status = connection_->send_bytes(out_, deadline);
    if (status != Status::kOk) return status == Status::kTimeout ? status : Status::kBroken;
  }
  return Status::kOk;
}

// --- Sending ---------------------------------------------------------------------------------------------------

Status ManagerLink::begin(std::uint64_t object, ByteView request, std::uint32_t& id, Deadline deadline) {
  if (request.size() > manager_wire::kLongestRequest) return Status::kBadLength;
  Status status = Status::kTimeout;
  {
    std::unique_lock sending(sending_, std::defer_lock);
    if (deadline.is_never()) {
      sending.lock();
    } else if (!sending.try_lock_for(std::max<std::chrono::nanoseconds>(deadline.left(), 1ms))) {
      return Status::kTimeout;
    }
    std::uint32_t seen = 0;
    bool owes = owes_give_up_;
    {
      const std::lock_guard guard(mutex_);
      if (is_broken_) return Status::kBroken;
      id = ++last_id_;
      pending_[id];
      owes = owes || owes_anything();
      seen = answers_seen();
    }
    status = owes ? send_owed(deadline) : Status::kOk;
    if (status == Status::kOk) status = send_parts(object, request, id, seen, deadline);
    if (status != Status::kOk) {
      const std::lock_guard guard(mutex_);
      pending_.erase(id);
    }
  }
  send_owed_soon();
  return status;
}

// The mutex is held. Answers to requests before this one were taken.
std::uint32_t ManagerLink::answers_seen() const noexcept {
  std::uint32_t seen = pending_.begin()->first;
  for (const std::uint32_t cancel : cancels_) seen = std::min(seen, cancel);  // or it could not be undone any more
  return seen;
}

Status ManagerLink::send_parts(std::uint64_t object, ByteView request, std::uint32_t id, std::uint32_t seen,
                               Deadline deadline) {
  for (bool is_first = true; is_first || !request.empty(); is_first = false) {
    const ByteView part = request.first(std::min(request.size(), manager_wire::kMostInline));
    request = request.subspan(part.size());
    const std::uint8_t flags = request.empty() ? std::uint8_t{0} : manager_wire::kContinued;
    out_.resize(kHeader);
    manager_wire::write_header(out_.data(), code(Request::kCall), id, object, flags, seen);
    out_.insert(out_.end(), part.begin(), part.end());
    const Status status = send_patiently(out_, deadline);
    if (status == Status::kOk) continue;
    owes_give_up_ = status == Status::kTimeout && !is_first;
    given_up_ = id;
    return status;
  }
  return Status::kOk;
}

// The server hears nobody who does not take its answers; so who cannot send takes them.
Status ManagerLink::send_patiently(ByteView message, Deadline deadline) {
  for (Deadline until = Deadline::immediate();; until = sooner(deadline, kPatience)) {
    Status status = connection_->send_bytes(message, until);
    if (status == Status::kOk) return status;
    if (status != Status::kTimeout) {
      break_off();
      return Status::kBroken;
    }
    Guard guard(mutex_);
    if (!is_receiving_) status = receive_one(guard, Deadline::immediate(), true);
    if (status == Status::kBroken || deadline.has_passed()) return status == Status::kOk ? Status::kTimeout : status;
  }
}

Status ManagerLink::send_owed(Deadline deadline) {
  if (owes_give_up_) {
    std::array<std::byte, kHeader> message;
    manager_wire::write_header(message.data(), code(Request::kGiveUp), given_up_);
    if (const Status status = send_patiently(message, deadline); status != Status::kOk) return status;
    owes_give_up_ = false;
  }
  for (;;) {
    Bytes message(kHeader);
    std::vector<std::uint32_t> cancels;
    std::vector<std::uint64_t> drops;
    {
      const std::lock_guard guard(mutex_);
      constexpr std::size_t kMost = manager_wire::kMostInline / sizeof(std::uint64_t);
      if (cancels_.empty() && drops_.empty()) return Status::kOk;
      if (!cancels_.empty()) {
        cancels = {cancels_.back()};
        cancels_.pop_back();
      } else {
        const auto first = drops_.size() > kMost ? drops_.end() - kMost : drops_.begin();
        drops.assign(first, drops_.end());
        drops_.erase(first, drops_.end());
      }
    }
    if (!cancels.empty()) {
      manager_wire::write_header(message.data(), code(Request::kCancel), cancels.front());
    } else {
      message.resize(kHeader + drops.size() * sizeof(std::uint64_t));
      manager_wire::write_header(message.data(), code(Request::kDrop), 0, drops.size());
      std::memcpy(message.data() + kHeader, drops.data(), drops.size() * sizeof(std::uint64_t));
    }
    const Status status = send_patiently(message, deadline);
    if (status == Status::kOk) continue;
    const std::lock_guard guard(mutex_);
    cancels_.insert(cancels_.end(), cancels.begin(), cancels.end());
    drops_.insert(drops_.end(), drops.begin(), drops.end());
    return status;
  }
}

// Whoever is sending now does it when it has finished.
void ManagerLink::send_owed_soon() noexcept {
  try {
    for (;;) {
      {
        const std::lock_guard guard(mutex_);
        if (!owes_anything()) return;
      }
      const std::unique_lock sending(sending_, std::try_to_lock);
      if (!sending || send_owed(Deadline::immediate()) != Status::kOk) return;
    }
  } catch (const std::exception&) {  // the next request meets the same
  }
}

void ManagerLink::cancel(std::uint32_t id) noexcept {
  {
    const std::lock_guard guard(mutex_);
    if (pending_.erase(id) == 0) return;
    cancels_.push_back(id);
  }
  send_owed_soon();
}

void ManagerLink::drop(std::uint64_t object) noexcept {
  {
    const std::lock_guard guard(mutex_);
    drops_.push_back(object);
  }
  send_owed_soon();
}

// --- Receiving -------------------------------------------------------------------------------------------------

void ManagerLink::break_off() noexcept {
  const std::lock_guard guard(mutex_);
  is_broken_ = true;
  changed_.notify_all();
}

// By one thread at a time, which lets go of `guard` meanwhile.
Status ManagerLink::receive_one(Guard& guard, Deadline deadline, bool is_sending) {
  is_receiving_ = true;
  guard.unlock();
  Status status = Status::kBroken;
  std::exception_ptr error;
  try {
    status = connection_->recv_bytes(in_, manager_wire::kLongestMessage, deadline);
  } catch (...) {
    error = std::current_exception();
  }
  guard.lock();
  is_receiving_ = false;
  if (status == Status::kOk) {
    take(in_, is_sending);
  } else if (status != Status::kTimeout) {
    is_broken_ = true;
    status = Status::kBroken;
  }
  changed_.notify_all();
  if (error) std::rethrow_exception(error);
  return is_broken_ ? Status::kBroken : status;
}

void ManagerLink::take(ByteView message, bool is_sending) {
  if (message.size() < kHeader) {
    is_broken_ = true;
    return;
  }
  const Header header = manager_wire::read_header(message.data());
  const bool is_last = (header.flags & manager_wire::kContinued) == 0;
  if (!is_last && !is_sending) ask_for_more(header.id);
  const auto found = pending_.find(header.id);
  if (found == pending_.end()) return;  // nobody wants it any more
  Pending& pending = found->second;
  pending.answer.insert(pending.answer.end(), message.begin() + kHeader, message.end());
  pending.has_failed = (header.flags & manager_wire::kFailed) != 0;
  pending.is_done = is_last;
}

// If it does not get through, the server tries by itself.
void ManagerLink::ask_for_more(std::uint32_t id) noexcept {
  const std::unique_lock sending(sending_, std::try_to_lock);
  if (!sending) return;
  std::array<std::byte, kHeader> message;
  manager_wire::write_header(message.data(), code(Request::kMore), id);
  try {
    (void)connection_->send_bytes(message, Deadline::immediate());
  } catch (const std::exception&) {
  }
}

Status ManagerLink::await(std::uint32_t id, Bytes& answer, Deadline deadline) {
  Guard guard(mutex_);
  for (;;) {
    const auto found = pending_.find(id);
    if (found == pending_.end()) return Status::kState;
    if (found->second.is_done) {
      answer = std::move(found->second.answer);
      const bool has_failed = found->second.has_failed;
      pending_.erase(found);
      return has_failed ? Status::kRemote : Status::kOk;
    }
    if (is_broken_) return Status::kBroken;
    if (is_receiving_) {
      if (!wait_for_change(changed_, guard, deadline)) return Status::kTimeout;
      continue;
    }
    const Status status = receive_one(guard, deadline);
    if (status == Status::kTimeout && deadline.has_passed()) return status;
  }
}

bool ManagerLink::is_ready(std::uint32_t id) {
  Guard guard(mutex_);
  for (;;) {
    const auto found = pending_.find(id);
    if (found == pending_.end() || found->second.is_done || is_broken_) return true;
    if (is_receiving_ || receive_one(guard, Deadline::immediate()) != Status::kOk) return is_broken_;
  }
}

void ManagerLink::orphan() noexcept {
  is_orphan_ = true;
  connection_->close();
}

}  // namespace crucible
