// BoostIpcStore: dicts and lists in shared memory, used by each process directly. README.md in this folder explains it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/object_server.h"
#include "core/shared_block.h"

namespace crucible {

/// What takes the place of a server: a request is done by the caller itself, under the store's lock, before begin()
/// returns. Its objects last as long as the store.
class BoostIpcStore final : public ObjectServer {
 public:
  static constexpr std::string_view kMechanism = "boost_ipc", kScheme = "boost", kForm = "native";
  static constexpr std::size_t kDefaultBytes = std::size_t{16} << 20U, kLeastBytes = std::size_t{64} << 10U;
  static constexpr std::size_t kLongestRequest = std::size_t{64} << 20U;

  /// Throws BadArgument (`boost:@name` is an address; fewer bytes than kLeastBytes), Exists, std::system_error.
  static std::shared_ptr<BoostIpcStore> create(const std::string& address, std::size_t bytes);
  /// The one that lives there. Throws NotFound, Auth (another user's), BadArgument, std::system_error.
  static std::shared_ptr<BoostIpcStore> open(const std::string& address);
  static Reference arrived(const TravellingReference& reference);
  ~BoostIpcStore() override;

  Status begin(std::uint64_t object, ByteView request, std::unique_ptr<Call>& call, Deadline deadline) override;
  Status call(std::uint64_t object, ByteView request, Bytes& answer, Deadline deadline) override;
  Reference granted(std::uint64_t object, std::string type) override;
  const ServerId& id() const noexcept override { return id_; }
  std::string_view mechanism() const noexcept override { return kMechanism; }
  const std::string& address() const noexcept override { return address_; }

  /// Every use is Broken from now on, everywhere; the name is free.
  void close() noexcept;

 private:
  struct Shared;
  class Hold;
  class Done;
  class Registry;
  friend class Registry;
  template <class Self, class T>
  friend class ForkRegistry;

  BoostIpcStore(SharedBlock block, std::string address);
  static std::shared_ptr<BoostIpcStore> enter(SharedBlock block, const std::string& address);
  void serve(std::uint64_t object, ByteView request, Bytes& answer);
  bool is_closed() const noexcept;

  // Of a ForkRegistry: a store has no mutex of this process's own, and a child uses it as its parent does.
  void before_fork() const noexcept {}
  void after_fork_in_parent() const noexcept {}
  bool after_fork_in_child() const noexcept { return true; }

  const SharedBlock block_;
  const std::string address_;
  const ServerId id_;
  Shared& shared_;
  struct Contents;
  const std::unique_ptr<Contents> contents_;  ///< Boost's view of the memory
};

}  // namespace crucible
