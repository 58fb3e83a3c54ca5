#include "core/crowd.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace crucible {

CrowdGate::~CrowdGate() {
  for (Room* room = room_.next.load(std::memory_order_acquire); room != nullptr;) {
    Room* const next = room->next.load(std::memory_order_acquire);
    delete room;
    room = next;
  }
}

// The publication must precede the look at the flag for close(), which does it the other way round: hence seq_cst.
std::atomic<pid_t>* CrowdGate::enter() {
  const pid_t thread = this_thread();
  for (Room* room = &room_;;) {
    for (std::size_t i = 0; i < kPlaces; ++i) {
      std::atomic<pid_t>& inside = room->places[(static_cast<std::size_t>(thread) + i) % kPlaces].inside;
      pid_t nobody = 0;
      if (!inside.compare_exchange_strong(nobody, thread, std::memory_order_seq_cst)) continue;
      if (!closed_.load(std::memory_order_seq_cst)) return &inside;
      inside.store(0, std::memory_order_release);
      return nullptr;
    }
    Room* next = room->next.load(std::memory_order_acquire);
    if (next == nullptr) {
      auto* const made = new Room;
      if (room->next.compare_exchange_strong(next, made, std::memory_order_acq_rel)) {
        next = made;
      } else {
        delete made;
      }
    }
    room = next;
  }
}

bool CrowdGate::close() noexcept {
  if (closed_.exchange(true, std::memory_order_seq_cst)) return false;
  auto pause = std::chrono::microseconds(20);
  constexpr auto kLongestPause = std::chrono::microseconds(1000);
  for (Room* room = &room_; room != nullptr; room = room->next.load(std::memory_order_acquire)) {
    for (Place& place : room->places) {
      for (pid_t thread = 0; (thread = place.inside.load(std::memory_order_seq_cst)) != 0;) {
        // The signal may come before the caller has reached its system call, so it is repeated until the caller has
        // left.
        if (!wake_thread(thread)) break;  // a fork's copy of an object that another thread of the parent was using
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 2, kLongestPause);
      }
    }
  }
  return true;
}

}  // namespace crucible
