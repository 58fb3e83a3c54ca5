// The speed of light of a dictionary that is not shared at all: a hash map behind one lock.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

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

inline std::unique_ptr<Side> private_map_side(Mix mix, const Values& values, const Cpus& cpus) {
  PrivateMap map;
  for (std::uint64_t key = 0; key < values.keys(); ++key) map.set(key_of(key), values.make(key));
  return clients_of(StorePlay<PrivateMap>(map, mix, 1, values), 1, cpus, {{"entries", values.keys()}});
}

}  // namespace crucible::bench
