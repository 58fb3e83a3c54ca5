// Managed objects as the workloads see them.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "api/manager.h"
#include "api/status.h"
#include "support/store_plays.h"

namespace crucible::bench {

/// A started server; its objects are used by processes forked later, each by a connection of its own.
inline std::shared_ptr<Manager> started_manager(const ManagerForm& form, std::optional<WaitStrategy> wait) {
  ManagerOptions options;
  options.wait = wait;
  std::shared_ptr<Manager> manager = form.make({}, options);
  manager->start();
  return manager;
}

/// A store with room for so many values, however its memory is divided.
inline std::shared_ptr<Manager> made_store(const ManagerForm& form, std::size_t bytes, std::uint64_t values) {
  constexpr std::size_t kBeside = 256;  // of a value: its key, indexes, what is lost between blocks
  ManagerOptions options;
  options.memory_bytes = (std::size_t{1} << 20U) + 3 * values * (bytes + kBeside);
  std::shared_ptr<Manager> manager = form.make({}, options);
  manager->start();
  return manager;
}

struct ManagedStore {
  void enter(std::size_t /*number*/) {}
  void set(const std::string& key, const Bytes& value) { dict.set(key, value); }
  template <class Use>
  void get(const std::string& key, Use use) {
    use(dict.get(key));
  }
  void set_many(std::span<const std::string> keys, std::span<const Bytes> values) {
    std::vector<managed::Answer<std::nullptr_t>> answers;
    answers.reserve(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      answers.push_back(dict.call_async<std::nullptr_t>("set", keys[i], values[i]));
    }
    for (auto& answer : answers) answer.get();
  }
  template <class Use>
  void get_many(std::span<const std::string> keys, Use use) {
    std::vector<managed::Answer<Bytes>> answers;
    answers.reserve(keys.size());
    for (const std::string& key : keys) answers.push_back(dict.call_async<Bytes>("get", key));
    for (auto& answer : answers) use(answer.get());
  }

  std::shared_ptr<Manager> manager;
  managed::Dict<std::string, Bytes> dict;
};

/// With its keys and their values in it.
inline ManagedStore filled_store(std::shared_ptr<Manager> manager, const Values& values) {
  constexpr std::size_t kMostAtOnce = std::size_t{1} << 20U;
  ManagedStore store = {.manager = manager, .dict = manager->dict<std::string, Bytes>()};
  std::map<std::string, Bytes> items;
  std::size_t bytes = 0;
  for (std::uint64_t key = 0; key < values.keys(); ++key) {
    Bytes value = values.make(key);
    bytes += value.size() + 16;
    items.emplace(key_of(key), std::move(value));
    if (bytes < kMostAtOnce && key + 1 < values.keys()) continue;
    store.dict.update(items);
    items.clear();
    bytes = 0;
  }
  return store;
}

struct ManagedList {
  void enter(std::size_t /*number*/) {}
  void append(const Bytes& item) { list.append(item); }
  template <class Use>
  void last(Use use) {
    use(list.get(-1));
  }
  std::size_t take() {
    const std::size_t length = list.size();
    list.clear();
    return length;
  }

  std::shared_ptr<Manager> manager;
  managed::List<Bytes> list;
};

struct ManagedLockThing {
  void acquire() {
    if (const Status status = lock.acquire(); status != Status::kOk) throw_status(status, "acquire");
  }
  void release() { lock.release(); }

  std::shared_ptr<Manager> manager;
  managed::Lock lock;
};

/// A side whose server never sleeps: between its blocks it is stopped, since it would take a CPU from the other side.
class StoppedBetween final : public Side {
 public:
  StoppedBetween(std::unique_ptr<Side> side, pid_t server) : side_(std::move(side)), server_(server) {
    ::kill(server_, SIGSTOP);
  }
  ~StoppedBetween() override { ::kill(server_, SIGCONT); }

  Block run(std::uint64_t operations) override {
    ::kill(server_, SIGCONT);
    Block block = side_->run(operations);
    ::kill(server_, SIGSTOP);
    return block;
  }
  std::uint64_t fewest_operations() const override { return side_->fewest_operations(); }
  std::uint64_t most_operations() const override { return side_->most_operations(); }
  std::int64_t block_ns() const override { return side_->block_ns(); }
  nlohmann::json fairness() const override { return side_->fairness(); }

 private:
  std::unique_ptr<Side> side_;
  pid_t server_;
};

}  // namespace crucible::bench
