// CrowdGate: lets close() wake whoever is blocked in a call on an object that any number of threads use at a time.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>

#include "core/gate.h"

namespace crucible {

/// As Gate (core/gate.h), by the same signal and the same order of flag and thread, for any number of threads. A caller
/// enters its thread's number in a place that it tries to have for itself, so that entering and leaving cost two writes
/// to a cache line that is nobody else's. A fork's copy may be left with threads that only the parent has: places that
/// stay taken, and that close() passes over.
class CrowdGate {
 public:
  /// Held for the length of a call. A thread holds one at a time.
  class Pass {
   public:
    explicit Pass(CrowdGate& gate) : place_(gate.enter()) {}
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    ~Pass() {
      if (place_ != nullptr) place_->store(0, std::memory_order_release);
    }
    /// False: the gate is closed, the object's descriptors must not be touched.
    explicit operator bool() const noexcept { return place_ != nullptr; }

   private:
    std::atomic<pid_t>* place_;
  };

  CrowdGate() = default;
  CrowdGate(const CrowdGate&) = delete;
  CrowdGate& operator=(const CrowdGate&) = delete;
  ~CrowdGate();

  bool closed() const noexcept { return closed_.load(std::memory_order_acquire); }
  /// True for the first caller only, and only when nobody is inside any more: it may now free the descriptors.
  bool close() noexcept;

 private:
  static constexpr std::size_t kPlaces = 16;
  struct alignas(64) Place {
    std::atomic<pid_t> inside = 0;
  };
  struct Room {
    std::array<Place, kPlaces> places;
    std::atomic<Room*> next = nullptr;  // made when all places were taken; never freed before the gate
  };

  /// Null: closed. Throws std::bad_alloc.
  std::atomic<pid_t>* enter();

  Room room_;
  std::atomic<bool> closed_ = false;
};

}  // namespace crucible
