// StoreCall: a request to an object of a store, while the store's lock is held for it.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>

#include "api/codec.h"
#include "boost_ipc/store_encoded.h"
#include "boost_ipc/store_memory.h"

namespace crucible::boost_ipc {

/// Says in the store that it is being changed: a holder of the lock that dies meanwhile leaves it half-changed.
class Change {
 public:
  explicit Change(std::atomic<std::uint32_t>& mark) noexcept : mark_(mark) { write(1); }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;
  ~Change() { write(0); }

 private:
  // A kill leaves what was written before it and nothing else, so it is enough that the compiler keeps the order.
  void write(std::uint32_t value) noexcept {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    mark_.store(value, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }

  std::atomic<std::uint32_t>& mark_;
};

class StoreCall {
 public:
  /// Throws EncodingError: it is no request.
  StoreCall(ByteView request, Bytes& answer);

  std::string_view method() const noexcept { return method_; }
  /// As they came. Throw std::invalid_argument: too few, or of another type.
  ByteView bytes(std::size_t at) const {
    if (at >= count_) throw std::invalid_argument("too few arguments");
    return arguments_[at];
  }
  template <class T>
  T get(std::size_t at) const {
    try {
      return decode<T>(bytes(at));
    } catch (const EncodingError&) {
      throw std::invalid_argument("argument " + std::to_string(at + 1) + " is of another type");
    }
  }

  void answer() { answer_behind(kNil, {}); }
  void answer(ByteView encoded) { answer_.assign(encoded.begin(), encoded.end()); }
  void answer(const Text& encoded) { answer(bytes_of(encoded)); }
  template <class T>
  void answer_value(const T& value) {
    answer(encode(value).view());
  }
  /// As a list of none or one.
  void answer_none() { answer_behind(kListOfNone, {}); }
  void answer_one(const Text& encoded) { answer_behind(kListOfOne, bytes_of(encoded)); }

 private:
  static constexpr std::size_t kMostArguments = 4;

  static constexpr std::byte kNil{0xc0}, kListOfNone{0x90}, kListOfOne{0x91};

  void answer_behind(std::byte first, ByteView value) {
    answer_.resize(1 + value.size());
    answer_[0] = first;
    std::ranges::copy(value, answer_.begin() + 1);
  }

  std::string_view method_;
  std::array<ByteView, kMostArguments> arguments_;
  std::size_t count_ = 0;
  Bytes& answer_;
};

/// What a method works with besides its object.
class StoreTurn {
 public:
  StoreTurn(Segment& memory, std::atomic<std::uint32_t>& mark, StoreCall& request) noexcept
      : segment(memory), changing(mark), call(request) {}

  Segment& segment;
  std::atomic<std::uint32_t>& changing;
  StoreCall& call;

  /// A copy of `bytes` in the store. Throw boost::interprocess::bad_alloc: it is full.
  Text text(ByteView bytes) const;
  void assign(Text& to, ByteView bytes) const;

 private:
  void require_size(std::size_t bytes) const;  // Boost has another error for what is larger than all there is
};

template <class T>
struct StoreMethod {
  void (*run)(T& object, const StoreTurn& turn);
  bool changes;  ///< the object, or only what the store has room for
};
template <class T>
using StoreMethods = std::unordered_map<std::string_view, StoreMethod<T>>;
const StoreMethods<StoredDict>& dict_methods();
const StoreMethods<StoredList>& list_methods();
/// Throws what the method does, and nothing is changed then; NotFound: there is none of this name.
template <class T>
void serve(T& object, const StoreMethods<T>& methods, const StoreTurn& turn) {
  const auto found = methods.find(turn.call.method());
  if (found == methods.end()) throw NotFound("no method '" + std::string(turn.call.method()) + "'");
  if (!found->second.changes) return found->second.run(object, turn);
  const Change change(turn.changing);
  found->second.run(object, turn);
}
/// Give a new object the items it is made with.
void fill(StoredDict& dict, const StoreTurn& turn, ByteView items);
void fill(StoredList& list, const StoreTurn& turn, ByteView items);

}  // namespace crucible::boost_ipc
