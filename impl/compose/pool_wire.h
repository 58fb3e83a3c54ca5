// What a composed pool's owner and its workers say to each other. README.md in this folder documents it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "api/bytes.h"
#include "compose/wire.h"

namespace crucible::pool_wire {

using wire::Header;
using wire::kHeader;
using wire::read_header;
using wire::write_header;

/// From the owner.
enum class Order : std::uint8_t {
  kTask = 1,  ///< number: the task's, 1 and up in each worker; a Call, and the arguments if they fit
  kLeave,     ///< the worker is to end
};
/// From a worker, first of all kHello.
enum class Word : std::uint8_t {
  kHello = 65,  ///< number: the id that it was started by
  kReady,       ///< its initializer has returned
  kFailed,      ///< it has not; a Failure. The worker ends
  kMore,        ///< a piece of long arguments was received, and may be followed by another
  kResult,      ///< number: the task's; the result
  kThrew,       ///< number: the task's; a Failure
};

/// Behind the header of a kTask; then the function's name, whose length is the header's id; then the arguments, or, if
/// they and the name are longer than kMostInline, their length (8 bytes), and they as messages of their own, pieces of
/// kMostInline bytes. Without a name the worker is a fork of the same program, and the addresses are its own. Short: a
/// task with a small argument fits a cache line.
struct Call {
  std::uint64_t code;
  std::uint64_t function;
};
/// Of kTask: a chunk of calls of the function with the name.
constexpr std::uint8_t kIsChunk = 1;
/// Of kTask: the arguments follow in pieces.
constexpr std::uint8_t kIsLong = 2;
constexpr std::size_t kBeforeArguments = kHeader + sizeof(Call);
constexpr std::size_t kMostInline = wire::kLongestMessage - kBeforeArguments - sizeof(std::uint64_t);
/// So many pieces are under way before the worker has asked for more.
constexpr std::size_t kWindow = 2;

/// In memory that the owner and its workers share, one for each worker: which of the tasks that it was sent it has
/// begun. The owner may take back what is not begun.
class Claims {
 public:
  /// In the worker. False: the owner has taken it back, and it is to be passed over.
  bool claim(std::uint64_t task) noexcept {
    std::uint64_t seen = word_.load(std::memory_order_relaxed);
    return seen < task && word_.compare_exchange_strong(seen, task, std::memory_order_acq_rel);
  }
  /// In the owner: takes back all tasks behind those begun, up to `last`. The last one that was begun.
  std::uint64_t withdraw(std::uint64_t last) noexcept {
    std::uint64_t seen = word_.load(std::memory_order_relaxed);
    while (seen < last && !word_.compare_exchange_weak(seen, last, std::memory_order_acq_rel)) {
    }
    return seen;
  }
  /// The last task that was begun or taken back.
  std::uint64_t last() const noexcept { return word_.load(std::memory_order_acquire); }
  void reset() noexcept { word_.store(0, std::memory_order_release); }

 private:
  // A cache line of its own; neighbours are other processes'.
  alignas(128) std::atomic<std::uint64_t> word_;
};

}  // namespace crucible::pool_wire
