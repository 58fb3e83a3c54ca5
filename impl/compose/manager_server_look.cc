// How the server looks for requests without system calls.
#include <sched.h>

#include <algorithm>
#include <utility>

#include "compose/manager_server.h"
#include "compose/server_session.h"
#include "core/relax.h"

namespace crucible {
namespace {

constexpr std::int64_t kLookNs = 120'000;   // without any request: twice what waking a client on another CPU takes
constexpr std::int64_t kRoundNs = 250'000;  // until the loop sees to the others again
constexpr std::int64_t kYieldNs = 1000;     // longer than a yield takes when nobody else wants this CPU
constexpr int kGlances = 128;
constexpr unsigned kFindsPerClock = 8;  // the clock is read after so many requests: it takes as long as a glance
constexpr unsigned kMostVainLooks = 3;
constexpr unsigned kTryAgain = 64;  // rounds, after so many vain looks
constexpr int kFewGlances = 16;
constexpr unsigned kMostFindsPerTurn = 4096;

}  // namespace

// Sleeping is announced to every client, which then has to make a system call with its request.
void ManagerServer::look_around() {
  std::erase_if(looks_.talkers, [](ServerSession* session) {
    const bool stays = !session->is_dropped && session->was_heard;
    if (!stays) session->is_talker = false;
    return !stays;
  });
  if (looks_.talkers.empty()) return;
  const bool always = looks_.glance == Glance::kAlways;
  if (!always && looks_.in_vain >= kMostVainLooks) {
    ++looks_.in_vain;
    if (looks_.in_vain % kTryAgain != 0) return;
  }
  for (ServerSession* const session : looks_.talkers) {
    session->was_heard = false;
    if (!session->is_paused) loop_.stand_down(*session->connection);
  }
  const std::int64_t start = Deadline::now_ns();
  std::int64_t heard = start;
  bool paid = false;
  unsigned finds = 0;
  unsigned finds_since_turn = 0;
  looks_.is_looking = true;
  for (bool ends = false; !ends;) {
    bool found = look_once();
    for (int glance = 1, most = looks_.yields_first ? kFewGlances : kGlances; !found && glance < most; ++glance) {
      relax();
      found = look_once();
    }
    if (!found) {
      const std::int64_t before = Deadline::now_ns();
      ::sched_yield();
      const bool others_ran = Deadline::now_ns() - before > kYieldNs;
      found = look_once();
      looks_.yields_first = found && others_ran;
    }
    if (found && ++finds_since_turn >= looks_.finds_per_turn) {
      finds_since_turn = 0;
      let_others_run();
    }
    if (found) {
      paid = true;
      ends = !stalled_.empty();
      if (++finds % kFindsPerClock != 0) continue;
    }
    const std::int64_t now = Deadline::now_ns();
    if (found) heard = now;
    ends = now - start > kRoundNs || now - heard > kLookNs || !stalled_.empty();
  }
  looks_.is_looking = false;
  looks_.in_vain = paid ? 0 : looks_.in_vain + 1;
}

// Whether anything came. Talkers are only ever added meanwhile.
bool ManagerServer::look_once() {
  bool found = false;
  for (std::size_t i = 0; i < looks_.talkers.size(); ++i) {
    ServerSession& session = *looks_.talkers[i];
    if (session.is_dropped || session.is_paused || !session.connection->has_news()) continue;
    hear(session);
    session.had_turn = true;
    found = true;
  }
  return found;
}

// A client on this CPU cannot ask while the server looks, and those on others would keep it looking for ever.
void ManagerServer::let_others_run() {
  const auto lacks_turn = [](const ServerSession* session) {
    return !session->had_turn && !session->is_dropped && !session->is_paused;
  };
  if (std::ranges::any_of(looks_.talkers, lacks_turn)) {
    ::sched_yield();
    const bool paid = std::ranges::any_of(looks_.talkers, [&](const ServerSession* session) {
      return lacks_turn(session) && session->connection->has_news();
    });
    looks_.finds_per_turn =
        paid ? static_cast<unsigned>(looks_.talkers.size()) : std::min(2 * looks_.finds_per_turn, kMostFindsPerTurn);
  }
  for (ServerSession* const session : looks_.talkers) session->had_turn = false;
}

// Who asks after a death must not be answered before it is noticed.
void ManagerServer::notice_deaths(const ServerSession& asking) {
  looks_.is_looking = false;
  loop_.serve_ended(*asking.connection);
  looks_.is_looking = true;
}

}  // namespace crucible
