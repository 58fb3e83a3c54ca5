// What several clients do with objects that a server holds for all of them (plays of a Gang).
//
// A Store is a dictionary, as a client sees it; every process has its own copy of the handle:
//   void enter(std::size_t number)                  a member's, before its first operation: its connection
//   void set(const std::string& key, const Bytes& value)
//   void get(const std::string& key, Use use)       use(ByteView) with what is there
//   void set_many(std::span<const std::string> keys, std::span<const Bytes> values)
//   void get_many(std::span<const std::string> keys, Use use)
//                                                   the same, the next being asked before the last is answered
//   static constexpr bool kPipelines                whether it has the latter two
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "api/bytes.h"
#include "api/deadline.h"
#include "support/gang.h"
#include "support/payload.h"

namespace crucible::bench {

/// What a client asks for: every so manyth operation is a set, 0: none, 1: all.
struct Mix {
  std::uint64_t set_each = 0;
};
constexpr Mix kGets = {.set_each = 0}, kSets = {.set_each = 1}, kMixed = {.set_each = 10};

inline std::string key_of(std::uint64_t number) {
  std::string key = "k0000000";
  for (std::size_t at = key.size(); number > 0; number /= 10) key[--at] = static_cast<char>('0' + number % 10);
  return key;
}

/// A value tells its key: its stamp is the key's number, plus a multiple of the number of keys.
class Values {
 public:
  Values(std::size_t bytes, std::uint64_t keys) : payload_(bytes), keys_(keys) {}

  Bytes make(std::uint64_t key) const {
    Bytes value(payload_.bytes());
    payload_.fill(value);
    payload_.stamp(value, key);
    return value;
  }
  void stamp(Bytes& value, std::uint64_t key, std::uint64_t version) const {
    payload_.stamp(value, key + keys_ * version);
  }
  void verify(ByteView value, std::uint64_t key) const {
    const std::uint64_t stamp = value.size() < Payload::kWord ? 0 : Payload::sequence_of(value);
    if (stamp % keys_ != key) [[unlikely]]
      throw VerificationError("verification failed: key " + std::to_string(key) + " has the value " +
                              std::to_string(stamp));
    payload_.verify(value, value.size(), stamp);
  }
  std::uint64_t keys() const noexcept { return keys_; }

 private:
  Payload payload_;
  std::uint64_t keys_;
};

/// Keys in an order that no cache foresees, other for each client.
class Walk {
 public:
  explicit Walk(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 1) {}
  std::uint64_t next(std::uint64_t keys) noexcept {
    state_ ^= state_ << 13U;
    state_ ^= state_ >> 7U;
    state_ ^= state_ << 17U;
    return state_ % keys;
  }

 private:
  std::uint64_t state_;
};

/// Clients of one dictionary share the operations of a block; what each got is verified, and after a block of sets that
/// one of them is there. kWindow: so many are under way at a time.
template <class Store, std::size_t kWindow = 1>
class StorePlay {
 public:
  static constexpr bool kTimesAll = true;

  StorePlay(Store store, Mix mix, std::size_t clients, const Values& values)
      : store_(std::move(store)), mix_(mix), clients_(clients), values_(values), walk_(0) {}

  void act(std::size_t number, std::uint64_t operations, Slot& slot, std::int64_t* latencies) {
    if (sent_.empty()) {
      store_.enter(number);
      walk_ = Walk(number + 1);
      for (std::size_t i = 0; i < kWindow; ++i) sent_.push_back(values_.make(0));
    }
    slot.done = operations / clients_ + (number < operations % clients_ ? 1 : 0);
    batch(1);
    slot.start_ns = slot.end_ns = Deadline::now_ns();
    for (std::uint64_t left = slot.done; left > 0;) {
      const std::size_t now = std::min<std::uint64_t>(left, kWindow);
      batch(now);
      left -= now;
      if constexpr (kWindow == 1) {
        const std::int64_t end = Deadline::now_ns();
        latencies[slot.timed++] = end - slot.end_ns;
        slot.end_ns = end;
      }
    }
    if constexpr (kWindow > 1) slot.end_ns = Deadline::now_ns();
    check_last();
  }
  std::vector<std::uint64_t> settle(std::uint64_t operations, std::span<const Slot> slots) const {
    std::uint64_t done = 0;
    std::vector<std::uint64_t> shares;
    for (const Slot& slot : slots) done += slot.done;
    if (done != operations) throw VerificationError("verification failed: operations were lost");
    return shares;
  }

 private:
  void batch(std::size_t count) {
    const bool is_set = mix_.set_each != 0 && turn_++ % mix_.set_each == 0;
    for (std::size_t i = 0; i < count; ++i) {
      numbers_[i] = walk_.next(values_.keys());
      keys_[i] = key_of(numbers_[i]);
      if (is_set) values_.stamp(sent_[i], numbers_[i], ++version_);
    }
    if constexpr (kWindow == 1) {
      if (is_set) return store_.set(keys_[0], sent_[0]);
      store_.get(keys_[0], [&](ByteView value) { values_.verify(value, numbers_[0]); });
    } else {
      const std::span keys = std::span(keys_).first(count);
      if (is_set) return store_.set_many(keys, std::span(sent_).first(count));
      std::size_t at = 0;
      store_.get_many(keys, [&](ByteView value) { values_.verify(value, numbers_[at++]); });
      if (at != count) throw VerificationError("verification failed: answers were lost");
    }
  }
  void check_last() {
    store_.get(keys_[0], [&](ByteView value) { values_.verify(value, numbers_[0]); });
  }

  Store store_;
  Mix mix_;
  std::size_t clients_;
  Values values_;
  Walk walk_;
  std::vector<Bytes> sent_;
  std::array<std::string, kWindow> keys_;
  std::array<std::uint64_t, kWindow> numbers_ = {};
  std::uint64_t turn_ = 0;
  std::uint64_t version_ = 0;
};

/// Clients append to one list, which the parent checks and empties after each block. `List` has enter() as a Store,
/// append(const Bytes&), and for the parent last(Use) and size_t take(), which empties it and says how long it was.
template <class List>
class AppendPlay {
 public:
  static constexpr bool kTimesAll = true;

  AppendPlay(List list, std::size_t clients, const Values& values)
      : list_(std::move(list)), clients_(clients), values_(values) {}

  void act(std::size_t number, std::uint64_t operations, Slot& slot, std::int64_t* latencies) {
    if (item_.empty()) {
      list_.enter(number);
      item_ = values_.make(0);
    }
    slot.done = operations / clients_ + (number < operations % clients_ ? 1 : 0);
    append();
    slot.start_ns = slot.end_ns = Deadline::now_ns();
    for (std::uint64_t i = 0; i < slot.done; ++i) {
      append();
      const std::int64_t end = Deadline::now_ns();
      latencies[slot.timed++] = end - slot.end_ns;
      slot.end_ns = end;
    }
  }
  std::vector<std::uint64_t> settle(std::uint64_t operations, std::span<const Slot> /*slots*/) {
    list_.last([&](ByteView value) { values_.verify(value, 0); });
    const std::size_t length = list_.take();
    if (length != operations + clients_) {
      throw VerificationError("verification failed: " + std::to_string(length) + " items of " +
                              std::to_string(operations + clients_) + " in the list");
    }
    return {};
  }

 private:
  void append() {
    values_.stamp(item_, 0, ++version_);
    list_.append(item_);
  }

  List list_;
  std::size_t clients_;
  Values values_;
  Bytes item_;
  std::uint64_t version_ = 0;
};

template <class Play>
std::unique_ptr<Side> clients_of(Play play, std::size_t clients, const Cpus& cpus, nlohmann::json fairness,
                                 std::vector<pid_t> helpers = {}) {
  const auto second = [](std::size_t /*number*/) { return true; };  // the server has the first
  fairness["clients"] = clients;
  // Long enough that server and clients find out how to wait for each other.
  const std::uint64_t fewest = std::min<std::uint64_t>(100 * clients, 400);
  return std::make_unique<Gang<Play>>(std::move(play), clients, cpus, second, std::move(fairness), fewest,
                                      std::move(helpers));
}

}  // namespace crucible::bench
