// BoostIpcStoreManager: a Manager of dicts and lists only, which needs no server.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/manager.h"
#include "boost_ipc/store.h"

namespace crucible {

/// start() makes the store, ManagerOptions::memory_bytes large or 16 MiB; connect() opens it. What only a server could
/// do throws Unsupported: another type of object, an initializer, a key, serve_forever().
class BoostIpcStoreManager final : public Manager {
 public:
  static constexpr Capabilities kCapabilities = {.local_names = true,
                                                 .max_message_bytes = BoostIpcStore::kLongestRequest};
  /// As ManagerForm has them.
  static std::unique_ptr<Manager> make(const std::string& address, const ManagerOptions& options) {
    return std::make_unique<BoostIpcStoreManager>(address, options);
  }
  static Reference arrived(const TravellingReference& reference) { return BoostIpcStore::arrived(reference); }

  BoostIpcStoreManager(std::string address, const ManagerOptions& options);
  ~BoostIpcStoreManager() override;

  void start(const std::function<void()>& initializer = {}) override;
  bool connect(Deadline deadline = Deadline::never()) override;
  void serve_forever(const std::function<void(const std::string&)>& ready = {}) override;
  void shutdown() override;
  std::optional<pid_t> pid() const override { return std::nullopt; }
  const std::string& address() const noexcept override { return address_; }
  const std::shared_ptr<ObjectServer>& server() const override;
  std::string_view mechanism() const noexcept override { return BoostIpcStore::kMechanism; }
  std::string_view form() const noexcept override { return BoostIpcStore::kForm; }

 private:
  enum class Life : std::uint8_t { kNew, kStarted, kConnected, kOver };

  template <class Begin>
  void begin(Life life, const Begin& begin);

  const std::size_t bytes_;
  std::string address_;
  std::atomic<Life> life_ = Life::kNew;
  std::shared_ptr<ObjectServer> store_;
  pid_t starter_ = 0;
};

}  // namespace crucible
