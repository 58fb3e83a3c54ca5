#include "boost_ipc/store_manager.h"

#include <unistd.h>

#include <utility>

#include "api/status.h"
#include "core/shared_name.h"

namespace crucible {

BoostIpcStoreManager::BoostIpcStoreManager(std::string address, const ManagerOptions& options)
    : bytes_(options.memory_bytes == 0 ? BoostIpcStore::kDefaultBytes : options.memory_bytes),
      address_(std::move(address)) {
  if (options.door.authkey) throw Unsupported("a store has no key: who may open it the kernel decides");
  if (address_.empty()) address_ = std::string(BoostIpcStore::kScheme) + ":";
}

BoostIpcStoreManager::~BoostIpcStoreManager() {
  if (life_ == Life::kStarted && starter_ == ::getpid()) shutdown();
}

template <class Begin>
void BoostIpcStoreManager::begin(Life life, const Begin& begin) {
  Life expected = Life::kNew;
  if (!life_.compare_exchange_strong(expected, Life::kOver)) {
    throw StateError("this manager was started, or connected, before");
  }
  try {
    store_ = begin();
  } catch (...) {
    life_ = Life::kNew;
    throw;
  }
  life_ = life;
}

void BoostIpcStoreManager::start(const std::function<void()>& initializer) {
  if (initializer) throw Unsupported("a store has no server that an initializer could run in");
  begin(Life::kStarted, [this] {
    const bool is_open = address_ == std::string(BoostIpcStore::kScheme) + ":";
    const std::string address = is_open ? address_ + "@" + SharedName::random_id() : address_;
    auto store = BoostIpcStore::create(address, bytes_);
    address_ = address;
    starter_ = ::getpid();
    return store;
  });
}

bool BoostIpcStoreManager::connect(Deadline /*deadline*/) {
  begin(Life::kConnected, [this] { return BoostIpcStore::open(address_); });
  return true;
}

void BoostIpcStoreManager::serve_forever(const std::function<void(const std::string&)>& /*ready*/) {
  if (life_ != Life::kNew) throw StateError("this manager was started, or connected, before");
  throw Unsupported("a store needs nobody to serve it");
}

void BoostIpcStoreManager::shutdown() {
  if (starter_ != ::getpid()) throw StateError("shutdown: of the process that started it");
  if (life_.exchange(Life::kOver) == Life::kOver) return;
  static_cast<BoostIpcStore&>(*store_).close();
}

const std::shared_ptr<ObjectServer>& BoostIpcStoreManager::server() const {
  if (life_ != Life::kStarted && life_ != Life::kConnected) throw StateError("this manager is not started");
  return store_;
}

}  // namespace crucible
