#include "api/manager.h"

namespace crucible {
namespace {

// The server itself, which no reference keeps alive.
class RootReferent final : public ClientReferent {
 public:
  explicit RootReferent(std::shared_ptr<ObjectServer> server)
      : ClientReferent({.server = server->id(), .number = kServersOwn}, "server"), server_(std::move(server)) {}
  ObjectServer& server() override { return *server_; }
  Bytes travel() const override { throw EncodingError("a Manager travels in no message: send its address()"); }

 private:
  const std::shared_ptr<ObjectServer> server_;
};

}  // namespace

managed::Proxy Manager::root() const { return managed::Proxy(Reference(std::make_shared<RootReferent>(server()))); }

}  // namespace crucible
