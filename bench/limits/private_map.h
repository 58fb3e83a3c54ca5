// The speed of light of what is not shared at all: a hash map, and a vector, behind one lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "support/store_plays.h"

namespace crucible::bench {

/// A get copies the value out, as one from elsewhere must.
struct PrivateMap {
  static constexpr std::string_view kName = "private_map";

  struct Guarded {
    std::mutex mutex;
    std::unordered_map<std::string, Bytes> items;
  };
  void enter(std::size_t /*number*/) {}
  void set(const std::string& key, const Bytes& value) {
    const std::lock_guard lock(guarded->mutex);
    guarded->items[key] = value;
  }
  template <class Use>
  void get(const std::string& key, Use use) {
    Bytes copy;
    {
      const std::lock_guard lock(guarded->mutex);
      copy = guarded->items.at(key);
    }
    use(copy);
  }
  std::shared_ptr<Guarded> guarded = std::make_shared<Guarded>();
};

/// The same of a list.
struct PrivateList {
  static constexpr std::string_view kName = "private_list";

  struct Guarded {
    std::mutex mutex;
    std::vector<Bytes> items;
  };
  void enter(std::size_t /*number*/) {}
  void append(const Bytes& item) {
    const std::lock_guard lock(guarded->mutex);
    guarded->items.push_back(item);
  }
  template <class Use>
  void last(Use use) {
    use(guarded->items.back());
  }
  std::size_t take() {
    const std::size_t length = guarded->items.size();
    guarded->items.clear();
    return length;
  }

  std::shared_ptr<Guarded> guarded = std::make_shared<Guarded>();
};

inline std::unique_ptr<Side> private_map_side(Mix mix, const Values& values, const Cpus& cpus) {
  PrivateMap map;
  for (std::uint64_t key = 0; key < values.keys(); ++key) map.set(key_of(key), values.make(key));
  return clients_of(StorePlay<PrivateMap>(map, mix, 1, values), 1, cpus, {{"entries", values.keys()}});
}

/// An AppendPlay whose one client checks and empties the list, since nobody else can.
class PrivateAppendPlay {
 public:
  static constexpr bool kTimesAll = true;

  explicit PrivateAppendPlay(const Values& values) : play_(PrivateList(), 1, values) {}
  void act(std::size_t number, std::uint64_t operations, Slot& slot, std::int64_t* latencies) {
    play_.act(number, operations, slot, latencies);
    (void)play_.settle(operations, {});
  }
  std::vector<std::uint64_t> settle(std::uint64_t /*operations*/, std::span<const Slot> /*slots*/) const { return {}; }

 private:
  AppendPlay<PrivateList> play_;
};

inline std::unique_ptr<Side> private_list_side(const Values& values, const Cpus& cpus) {
  return clients_of(PrivateAppendPlay(values), 1, cpus, {{"emptied", "after each block"}});
}

}  // namespace crucible::bench
