// ObjectServer: where managed objects lie, as this process reaches it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/bytes.h"
#include "api/deadline.h"
#include "api/reference.h"
#include "api/remote_error.h"
#include "api/status.h"

namespace crucible {

/// One per process and server, shared by the proxies of its objects. Any thread. In a forked child it is another client
/// of the same server: it holds what its parent held at the fork, from its first call on.
///
/// A request is bytes, MessagePack's `thread, the method's name, arguments ...` in one list; so is its answer, one
/// value. References in both are written as inside() has it.
class ObjectServer : public std::enable_shared_from_this<ObjectServer> {
 public:
  /// A request under way.
  class Call {
   public:
    Call() = default;
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    /// What still waits there is withdrawn, and what it was granted unseen (a lock, a message) is given back.
    virtual ~Call() = default;
    /// Waits for the answer. kOk, once; afterwards kState, also in a forked child. kRemote: it failed there, `answer`
    /// is a Failure. kTimeout: not yet. kBroken: the server is gone; whether it was done is not known.
    virtual Status await(Bytes& answer, Deadline deadline) = 0;
    virtual bool is_ready() = 0;
  };

  ObjectServer() = default;
  ObjectServer(const ObjectServer&) = delete;
  ObjectServer& operator=(const ObjectServer&) = delete;
  virtual ~ObjectServer() = default;

  /// Hands a request over; requests of one process, and the ends of its holds, arrive in order. kTimeout: nothing
  /// arrives. kBadLength: longer than the server takes. kBroken, kStale, kAuth (its key is not known here). Throws
  /// std::system_error.
  virtual Status begin(std::uint64_t object, ByteView request, std::unique_ptr<Call>& call, Deadline deadline) = 0;
  /// The same, and waits for the answer.
  virtual Status call(std::uint64_t object, ByteView request, Bytes& answer, Deadline deadline);
  /// A hold that the server granted in an answer.
  virtual Reference granted(std::uint64_t object, std::string type) = 0;
  virtual const ServerId& id() const noexcept = 0;
  virtual std::string_view mechanism() const noexcept = 0;
  /// Where it listens.
  virtual const std::string& address() const noexcept = 0;

  /// The number of the calling thread in requests; ownership goes by it.
  static std::uint64_t thread_number() noexcept;
};

/// The object that stands for the server itself.
inline constexpr std::uint64_t kServersOwn = 0;

/// A client's hold.
class ClientReferent : public Referent {
 public:
  using Referent::Referent;
  /// Throws what keeps a hold that arrived in a message from being taken up.
  virtual ObjectServer& server() = 0;
};

/// Between this process and one server.
class ClientScope final : public ReferenceScope {
 public:
  explicit ClientScope(ObjectServer& server) noexcept : server_(server) {}
  /// Throws BadArgument: an object of another server.
  Bytes write(const Reference& reference) override;
  Reference read(ByteView bytes) override;

 private:
  ObjectServer& server_;
};

/// What travels in a message to no matter whom.
struct TravellingReference {
  std::string mechanism = {};
  std::string address = {};
  std::vector<std::byte> server = {};
  std::uint64_t number = 0;
  std::string type = {};
  std::uint64_t ticket = 0;  ///< names the hold that travels along
  /// Of the server's door: none, the family's, or one that the receiver must have used before.
  enum Key : std::uint8_t { kNone, kFamilys, kOwn };
  std::uint8_t key = kNone;
  std::string form = {};  ///< of the manager; empty: the mechanism's default
  MSGPACK_DEFINE(mechanism, address, server, number, type, ticket, key, form)
};
/// The reference that arrived in such a message, with its hold. Never waits long: where the server cannot be reached,
/// each use of it says so. Throws EncodingError, and BadArgument: a mechanism, or a form, that this program does not
/// have.
Reference arrived_reference(ByteView bytes);

}  // namespace crucible
