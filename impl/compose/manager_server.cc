// The server's clients, and what is sent to them.
#include "compose/manager_server.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>

#include "compose/manager_objects.h"
#include "compose/server_session.h"

namespace crucible {
namespace {

using namespace std::chrono_literals;
using manager_wire::Answer;

// What a transport has not taken is tried again after so long, longer each time.
constexpr int kLongestRetryMs = 16;
// A transport may be too small for a part ever to fit it while nobody receives. Then its receiver is waited for, for so
// long at a time, and the others with it.
constexpr int kRoundsBeforePatience = 16;
constexpr auto kPatience = 2ms;
// A client that has so many bytes of answers to take is not heard until it has taken some.
constexpr std::size_t kMostOutgoing = std::size_t{1} << 20U;
constexpr std::chrono::nanoseconds kTicketsLife = 1h;

Status send_part(Connection& connection, std::uint8_t kind, std::uint32_t id, std::uint8_t flags, ByteView part,
                 Deadline deadline) {
  std::array<std::byte, manager_wire::kLongestMessage> message;
  const std::uint64_t number =
      kind == static_cast<std::uint8_t>(Answer::kWelcome) ? manager_wire::kVersion : std::uint64_t{0};
  manager_wire::write_header(message.data(), kind, id, number, flags);
  if (!part.empty()) std::memcpy(message.data() + manager_wire::kHeader, part.data(), part.size());
  try {
    return connection.send_bytes({message.data(), manager_wire::kHeader + part.size()}, deadline);
  } catch (const std::exception&) {
    return Status::kBrokenPipe;
  }
}

}  // namespace

ManagerServer::ManagerServer(std::string_view mechanism, EventLoop& loop, Listener& listener, const ServerId& id,
                             ManagedTypes types, Glance glance)
    : mechanism_(mechanism),
      loop_(loop),
      listener_(listener),
      types_(std::move(types)),
      delivered_(bell_.get()),
      objects_(id,
               [this] {
                 if (!has_dead_.exchange(true) && std::this_thread::get_id() != thread_) bell_.ring();
               }),
      root_(make_root_object(*this)),
      looks_{.glance = glance} {
  loop_.watch(listener_, [this] { welcome_newcomers(); });
  loop_.watch(delivered_, [this] { serve_deliveries(); });
}

ManagerServer::~ManagerServer() {
  objects_.end();
  workers_.end();
  deliveries_.clear();
  loop_.forget(listener_);
  loop_.forget(delivered_);
  hear_family_ = nullptr;
  while (!heirs_.empty()) forget_heir(heirs_.begin()->first);
  while (!sessions_.empty()) drop(*sessions_.begin()->first);
  dropped_.clear();
  tickets_.clear();
  timers_.clear();
  objects_.bury();
}

const ObjectTable& objects_of(const ManagerServer& server) noexcept { return server.objects(); }

Deadline ManagerServer::next_look() const {
  std::int64_t left_ns = -1;
  const auto sooner = [&left_ns](std::int64_t ns) { left_ns = left_ns < 0 ? ns : std::min(left_ns, ns); };
  if (!stalled_.empty()) sooner(std::min(1 << std::min(stalled_rounds_, 10), kLongestRetryMs) * 1'000'000LL);
  if (!timers_.empty()) sooner(std::max<std::int64_t>(timers_.begin()->first - Deadline::now_ns(), 0));
  return left_ns < 0 ? Deadline::never() : Deadline::after(std::chrono::nanoseconds(left_ns));
}

void ManagerServer::run_once() {
  if (looks_.glance != Glance::kNever) {
    look_around();
    tidy();  // a sleep may be long
  }
  loop_.run_once(looks_.glance == Glance::kAlways && !sessions_.empty() ? Deadline::immediate() : next_look());
  if (!timers_.empty()) serve_timers();
  if (!stalled_.empty()) flush_stalled();
  tidy();
}

void ManagerServer::tidy() {
  if (!dropped_.empty())
    std::erase_if(looks_.talkers, [](const ServerSession* session) { return session->is_dropped; });
  for (std::unique_ptr<ServerSession>& session : std::exchange(dropped_, {})) {
    undertaker_.take(std::move(session->connection));
  }
  while (!tickets_.empty() && tickets_.begin()->second.ends_ns < Deadline::now_ns()) tickets_.erase(tickets_.begin());
  if (has_dead_.exchange(false)) objects_.bury();
}

void ManagerServer::welcome_newcomers() {
  std::unique_ptr<Connection> connection;
  while (true) {
    const Status status = listener_.accept(connection, Deadline::immediate());
    if (status == Status::kAuth) continue;
    if (status != Status::kOk) return;
    auto owned = std::make_unique<ServerSession>();
    ServerSession& session = *owned;
    session.connection = std::move(connection);
    session.number = ++last_session_;
    sessions_[&session] = std::move(owned);
    loop_.watch(*session.connection, [this, &session] { hear(session); });
  }
}

// A client that breaks the rules, or for whose message there is no memory, is dropped; the others go on.
void ManagerServer::hear(ServerSession& session) {
  session.was_heard = true;
  if (looks_.glance != Glance::kNever && !std::exchange(session.is_talker, true)) looks_.talkers.push_back(&session);
  bool is_well = false;
  try {
    is_well = receive(session);
  } catch (const std::exception&) {
  }
  if (!is_well) drop(session);
}

void ManagerServer::inherit(ByteView announcement, Fd line) {
  manager_wire::Announcement said = {};
  if (announcement.size() != sizeof said || !line) return;
  std::memcpy(&said, announcement.data(), sizeof said);
  auto heir = std::make_unique<Heir>(std::move(line));
  if (const auto parent = heirs_.find(said.parent); parent != heirs_.end()) heir->holds = parent->second->holds;
  for (const auto& [session, owned] : sessions_) {
    if (session->client != said.parent) continue;
    heir->holds = session->holds;
    heir->holds.insert(session->inherited.begin(), session->inherited.end());
  }
  loop_.watch(heir->end, [this, number = said.heir] {
    if (hear_family_) hear_family_();  // it may have had heirs itself
    forget_heir(number);
  });
  heirs_[said.heir] = std::move(heir);
}

void ManagerServer::forget_heir(std::uint64_t heir) {
  const auto found = heirs_.find(heir);
  if (found == heirs_.end()) return;
  loop_.forget(found->second->end);
  heirs_.erase(found);
}

// With a client goes what it waits for, then what it holds.
void ManagerServer::drop(ServerSession& session) {
  if (std::exchange(session.is_dropped, true)) return;
  if (hear_family_ && !session.is_stranger) hear_family_();
  if (session.is_stranger) --strangers_;
  coming_bytes_ -= session.coming.size();
  stalled_.erase(&session);
  loop_.forget(*session.connection);
  while (!session.parked.empty()) {
    const CallPointer call = session.parked.begin()->second.call;
    unpark(session, session.parked.begin()->first);
    call->abandon();
    call->object()->withdraw(call);
  }
  for (const auto& [number, weak] : std::exchange(session.entangled, {})) {
    if (const std::shared_ptr<ServedObject> object = weak.lock()) object->leave(session.number);
  }
  session.holds.clear();
  session.inherited.clear();
  const auto found = sessions_.find(&session);
  dropped_.push_back(std::move(found->second));
  sessions_.erase(found);
}

void ManagerServer::unpark(ServerSession& session, std::uint32_t id) {
  const auto found = session.parked.find(id);
  if (found == session.parked.end()) return;
  const auto [first, last] = timers_.equal_range(found->second.until_ns);
  for (auto timer = first; timer != last; ++timer) {
    if (timer->second != found->second.call) continue;
    timers_.erase(timer);
    break;
  }
  session.parked.erase(found);
}

void ManagerServer::serve_timers() {
  const std::int64_t now = Deadline::now_ns();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const CallPointer call = timers_.begin()->second;
    timers_.erase(timers_.begin());
    call->object()->time_out(call);
  }
}

void ManagerServer::deliver(std::function<void()> job) {
  const std::lock_guard lock(deliveries_mutex_);
  deliveries_.push_back(std::move(job));
  bell_.ring();
}

void ManagerServer::serve_deliveries() {
  std::vector<std::function<void()>> jobs;
  {
    const std::lock_guard lock(deliveries_mutex_);
    bell_.hush();
    jobs.swap(deliveries_);
  }
  for (const std::function<void()>& job : jobs) job();
}

std::uint64_t ManagerServer::make_ticket(std::shared_ptr<ServedObject> object) {
  tickets_[++last_ticket_] = {.object = std::move(object), .ends_ns = Deadline::now_ns() + kTicketsLife.count()};
  return last_ticket_;
}

void ManagerServer::redeem(std::uint64_t ticket, ServerSession& session) {
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end()) throw NotFound("this proxy was taken out of its message before, or too late");
  session.hold(found->second.object);
  tickets_.erase(found);
}

// --- Sending -------------------------------------------------------------------------------------------------

void ManagerServer::send(ServerSession& session, std::uint8_t kind, std::uint32_t id, std::uint8_t flags,
                         ByteView body) {
  if (session.is_dropped) return;
  if (session.outgoing.empty() && body.size() <= manager_wire::kMostInline) {
    const Status status = send_part(*session.connection, kind, id, flags, body, Deadline::immediate());
    if (status == Status::kOk) return;
    if (status != Status::kTimeout) return drop(session);
  }
  session.outgoing_bytes += body.size();
  session.outgoing.push_back({.kind = kind, .flags = flags, .id = id, .body = Bytes(body.begin(), body.end())});
  if (session.outgoing.size() == 1) send_some(session);
  if (session.is_dropped || session.is_paused || session.outgoing_bytes <= kMostOutgoing) return;
  session.is_paused = true;
  loop_.forget(*session.connection);
}

// As much as its transport takes at once.
void ManagerServer::send_some(ServerSession& session, Deadline deadline) {
  while (!session.outgoing.empty()) {
    ServerSession::Outgoing& next = session.outgoing.front();
    const std::size_t size = std::min(next.body.size() - next.moved, manager_wire::kMostInline);
    const bool is_last = next.moved + size == next.body.size();
    const auto flags = static_cast<std::uint8_t>(next.flags | (is_last ? 0U : manager_wire::kContinued));
    const Status status = send_part(*session.connection, next.kind, next.id, flags,
                                    ByteView(next.body).subspan(next.moved, size), deadline);
    if (status == Status::kTimeout) {
      stalled_.insert(&session);
      return;
    }
    if (status != Status::kOk) return drop(session);
    stalled_rounds_ = 0;
    next.moved += size;
    if (!is_last) continue;
    session.outgoing_bytes -= next.body.size();
    session.outgoing.pop_front();
  }
  if (std::exchange(session.is_paused, false)) {
    loop_.watch(*session.connection, [this, &session] { hear(session); });
  }
}

void ManagerServer::flush_stalled() {
  ++stalled_rounds_;
  const std::vector<ServerSession*> stalled(stalled_.begin(), stalled_.end());
  // However many there are, one is waited for at a time.
  const std::size_t favoured = stalled_rounds_ > kRoundsBeforePatience
                                   ? static_cast<std::size_t>(stalled_rounds_) % stalled.size()
                                   : stalled.size();
  for (std::size_t i = 0; i < stalled.size(); ++i) {
    if (stalled_.erase(stalled[i]) == 0) continue;
    send_some(*stalled[i], i == favoured ? Deadline::after(kPatience) : Deadline::immediate());
  }
  if (stalled_.empty()) stalled_rounds_ = 0;
}

}  // namespace crucible
